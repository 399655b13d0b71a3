// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases and environments on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decision_log::DecisionLog;
use super::documents::Kind;
use crate::clock::Timestamp;

/// Makes a release of the current documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRelease {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An immutable manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// The hash of the manifest, in hexadecimal.
    pub id: String,
    /// Who made it first.
    pub author: String,
    /// When it was made first.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Why.
    pub message: Option<String>,
    /// How many documents it holds.
    pub document_count: u64,
    /// The documents; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Vec<ReleaseDocument>>,
}

/// One document of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseDocument {
    /// The kind.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// The version.
    pub version: u64,
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
}

/// Two releases, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseDiff {
    /// The older release.
    pub from: String,
    /// The newer release.
    pub to: String,
    /// What differs.
    pub changes: Vec<ReleaseChange>,
}

/// What differs in one document between two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseChange {
    /// The kind.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// The version in the older release.
    pub from_version: Option<u64>,
    /// The version in the newer release.
    pub to_version: Option<u64>,
    /// The difference in unified form.
    pub diff: String,
}

/// An environment: a pointer at a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// The name.
    pub name: String,
    /// The active release, if any was activated.
    pub release: Option<String>,
    /// When it was activated.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub activated_at: Option<Timestamp>,
    /// How often its pointer was moved or its settings changed; the version for `If-Match`.
    pub version: u64,
    /// Whether every accepted change is released and activated here.
    pub auto_release: bool,
    /// How many approvals a change needs; 0: none.
    pub approvals: u32,
    /// How its decisions are logged; `null`: not at all.
    #[serde(default)]
    pub decision_log: Option<DecisionLog>,
}

/// Settings of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutEnvironment {
    /// Whether every accepted change is released and activated here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_release: Option<bool>,
    /// How many approvals a change needs. Change requests are not available yet: only 0 is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u32>,
    /// How its decisions are logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_log: Option<DecisionLog>,
}

/// Moves an environment's pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Activate {
    /// The release to activate.
    pub release: String,
    /// The release that must be active now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Moves an environment's pointer back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackEnvironment {
    /// The release to go back to; the one that was active before, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One entry of an environment's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activation {
    /// The number of the activation, from 1.
    pub version: u64,
    /// The release that became active.
    pub release: String,
    /// The release that was active before.
    pub previous: Option<String>,
    /// `activate`, `rollback` or `auto`.
    pub kind: String,
    /// Who did it.
    pub author: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Why.
    pub message: Option<String>,
}

/// The public keys that verify the signatures of a project's bundles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleKeys {
    /// The keys; the one that signs now comes first.
    pub keys: Vec<BundleKey>,
}

/// A public key, as JWK and as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleKey {
    /// The id that signatures name in their header.
    pub kid: String,
    /// Always `EC`.
    pub kty: String,
    /// Always `P-256`.
    pub crv: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Always `ES256`.
    pub alg: String,
    /// The first coordinate, base64url.
    pub x: String,
    /// The second coordinate, base64url.
    pub y: String,
    /// The same key as OPA's configuration takes it.
    pub pem: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// From when on it signs.
    #[schema(value_type = String, format = DateTime)]
    pub signs_from: Timestamp,
}

/// A new key to sign bundles with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBundleKey {
    /// For how long the new key is shown before it signs, so that those who verify can learn of it; at
    /// most 90 days, at once if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_seconds: Option<u32>,
}
