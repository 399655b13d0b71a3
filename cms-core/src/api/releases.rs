// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases and environments on the wire.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
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
    /// Which approvals whatever goes live here needs; 0: none.
    pub approvals: Approvals,
    /// Releases that were rolled back here: only a person puts them in force again, by activating.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<String>,
    /// How its decisions are logged; `null`: not at all.
    #[serde(default)]
    pub decision_log: Option<DecisionLog>,
}

/// The approvals that an environment asks for: their number alone, or with who gives them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Approvals {
    /// So many, by project-admins and up.
    Quorum(u32),
    /// By a rule.
    Rule(ApprovalRule),
}

/// Who must approve what goes live in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// How many different people; 0: none.
    pub quorum: u32,
    /// Who may: names of users, and of roles such as `project-admin`. Project-admins and up, if none is
    /// named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// For how many seconds requests stay open, unless they say so themselves; 7 days if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<u64>,
}

impl Approvals {
    /// How many different people must approve.
    pub fn quorum(&self) -> u32 {
        match self {
            Self::Quorum(quorum) | Self::Rule(ApprovalRule { quorum, .. }) => *quorum,
        }
    }

    /// Who may approve; nobody in particular, if it is empty.
    pub fn approvers(&self) -> &[String] {
        match self {
            Self::Quorum(_) => &[],
            Self::Rule(rule) => &rule.approvers,
        }
    }

    /// For how many seconds requests stay open.
    pub fn expires_after(&self) -> Option<u64> {
        match self {
            Self::Quorum(_) => None,
            Self::Rule(rule) => rule.expires_after,
        }
    }
}

impl Default for Approvals {
    fn default() -> Self {
        Self::Quorum(0)
    }
}

impl<'de> Deserialize<'de> for Approvals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ApprovalsVisitor)
    }
}

/// Reads either form and reports what is wrong within it, which an untagged enum would not.
struct ApprovalsVisitor;

impl<'de> Visitor<'de> for ApprovalsVisitor {
    type Value = Approvals;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of approvals, or an object with `quorum` and `approvers`")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Approvals, E> {
        let quorum = u32::try_from(number).map_err(|_| E::custom("so many approvals cannot be given"))?;
        Ok(Approvals::Quorum(quorum))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Approvals, A::Error> {
        ApprovalRule::deserialize(de::value::MapAccessDeserializer::new(map)).map(Approvals::Rule)
    }
}

/// Settings of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutEnvironment {
    /// Whether every accepted change is released and activated here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_release: Option<bool>,
    /// Which approvals whatever goes live here needs: how many (0: none), or a rule. Asking for less
    /// than before takes the right to go over the heads of the approvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
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
    /// `activate`, `rollback`, `auto` or `request`.
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
