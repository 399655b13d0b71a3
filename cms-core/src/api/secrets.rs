// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets on the wire. Values appear in two places only: in what is put, and in what a reveal
//! answers; both hide them from `Debug`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
pub use crate::secrets::SecretData;

/// A new version of a secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// The fields and their values; any JSON value each.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub data: SecretData,
    /// What describes the secret and is not secret itself; replaces what was there. Left out: kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The version that must be the present one; 0: the secret must not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cas: Option<u64>,
    /// Why it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether a version can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretState {
    /// It can.
    Live,
    /// It is deleted, and can be brought back.
    Deleted,
    /// Its value is gone for good.
    Destroyed,
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// The path.
    pub path: String,
    /// The version that this is about; the present one in lists.
    pub version: u64,
    /// Whether that version can be read.
    pub state: SecretState,
    /// Who wrote that version.
    pub author: String,
    /// When that version was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Why that version was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What describes the secret.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The engine behind it.
    pub engine: String,
}

/// A secret with masked values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaskedSecret {
    /// The secret.
    #[serde(flatten)]
    pub secret: Secret,
    /// The fields: the first 3 and last 4 characters of strings of 16 and more, else `••••`.
    pub data: BTreeMap<String, String>,
}

/// What to reveal, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealSecret {
    /// The version; the present one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Why the value is needed; kept on the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A revealed secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RevealedSecret {
    /// The path.
    pub path: String,
    /// The version.
    pub version: u64,
    /// The fields and their values.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub data: SecretData,
}

/// One version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretVersion {
    /// The version, from 1.
    pub version: u64,
    /// Whether it can be read.
    pub state: SecretState,
    /// Who wrote it.
    pub author: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Why it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was deleted or destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub removed_at: Option<Timestamp>,
}

/// The versions that were deleted, brought back or destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedVersions {
    /// The path.
    pub path: String,
    /// The present version.
    pub version: u64,
    /// The versions that were named, as they are now.
    pub versions: Vec<SecretVersion>,
}

/// Which versions to bring back or to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseVersions {
    /// The versions; the present one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<u64>>,
}

/// Which versions to destroy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestroyVersions {
    /// The versions, at least one.
    pub versions: Vec<u64>,
}

/// How to make the next version of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecret {
    /// The field to replace; may be left out if the secret has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What makes the new value; 32 random letters and digits if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// The version that must be the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cas: Option<u64>,
    /// Why it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What makes a new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// `alphanumeric` (also `random`), `hex`, `base64url` (also `base64`), `digits`, `password` or `uuid`.
    pub kind: String,
    /// How many characters, 8 to 1024; 32 if not given. `uuid` takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// For `password`: of which classes at least one character each is taken (`lower`, `upper`,
    /// `digit`, `symbol`); all four if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_and_revealed_does_not_show_in_debug() {
        let put: PutSecret =
            serde_json::from_str(r#"{"data":{"key":"sk-live-canary"},"message":"m"}"#).unwrap();
        assert!(!format!("{put:?}").contains("canary"));
        let revealed = RevealedSecret { path: "a".into(), version: 1, data: put.data };
        assert!(!format!("{revealed:?}").contains("canary"));
        assert_eq!(
            serde_json::to_string(&revealed).unwrap(),
            r#"{"path":"a","version":1,"data":{"key":"sk-live-canary"}}"#
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        for text in [r#"{"data":{},"ttl":1}"#, r#"{"data":{},"Cas":1}"#, r#"{"cas":1}"#] {
            assert!(serde_json::from_str::<PutSecret>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<RevealSecret>(r#"{"versions":1}"#).is_err());
    }
}
