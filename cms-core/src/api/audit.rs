// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit trail: its records, how they are asked for, and what a verification answers.
//!
//! [`Record`] is one shape on the wire and on disk: the order of its fields is the order of its
//! canonical bytes, which the hash covers. Changing either is a new `v`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::clock::Timestamp;

/// How the recorded operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Success,
    /// It was refused.
    Denied,
    /// It was allowed, but failed.
    Failure,
}

impl AuditOutcome {
    /// The outcome's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failure => "failure",
        }
    }
}

/// A point of a chain: the record with this number had this hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The number of the record within its chain.
    pub seq: u64,
    /// The record's hash.
    pub hash: String,
}

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this shape: 1.
    pub v: u8,
    /// A UUID of version 7. Within a chain, ids only grow, whatever the clock does.
    pub id: String,
    /// The chain that the record belongs to.
    pub chain: String,
    /// The number within the chain, from 1, without gaps.
    pub seq: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Who: `user:eve`, `key:…`, `root`, `system` or `anonymous`.
    pub actor: String,
    /// What, such as `secret:reveal`.
    pub action: String,
    /// In which project; `platform` for what belongs to none.
    pub project: String,
    /// To what, such as `projects/rag/secret/db/main`.
    pub resource: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Why it was refused or failed, or the reason that the caller gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// The address of the caller, as far as it is known and trusted.
    pub address: Option<String>,
    /// The release that was involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The version that was written or read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The heads of other chains when this was recorded, so that no chain can be cut off unseen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, Link>,
    /// The hash of the record before, in this chain; zeros for the first.
    pub prev: String,
    /// The keyed hash (HMAC-SHA-256) of everything above, in this order.
    pub hash: String,
}

/// Which records are asked for, newest first unless `after` is given. What is left out does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only this project's; for an API key, its own project unless another is named.
    pub project: Option<String>,
    /// Only this actor's, such as `user:eve`.
    pub actor: Option<String>,
    /// Only this action, such as `secret:reveal`.
    pub action: Option<String>,
    /// Only resources that begin with this.
    pub resource: Option<String>,
    /// Only what ended like this.
    pub outcome: Option<AuditOutcome>,
    /// Only from this time on.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Only before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
    /// Only what was committed after the record with this id, or after `latest`, the last one there is;
    /// then oldest first, in the order of commits. This list has no end: `next_cursor` is always given,
    /// and asked with again (beside the same `after`) it answers what has come since.
    pub after: Option<String>,
    /// How many records, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// Where the last page ended: its `next_cursor`.
    pub cursor: Option<String>,
}

/// What is wrong with the first broken record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// Its contents are not those that were hashed.
    Altered,
    /// It is missing, though later ones of its chain are there.
    Removed,
    /// It does not stand where its number says.
    Reordered,
    /// The chain ends before it, though its head or another chain knows of it.
    Truncated,
    /// The record that another chain linked to was another one.
    Unlinked,
}

/// The first broken record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenAt {
    /// Its chain.
    pub chain: String,
    /// Its number in the chain.
    pub seq: u64,
    /// Its id, if it can still be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is wrong.
    pub damage: Damage,
    /// The same in words.
    pub detail: String,
}

impl fmt::Display for BrokenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chain.as_str() {
            "" => f.write_str(&self.detail),
            chain => write!(f, "record {} of chain `{chain}`: {}", self.seq, self.detail),
        }
    }
}

/// What a verification of the trail found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerification {
    /// Whether the trail is whole.
    pub ok: bool,
    /// How many records were hashed again.
    pub records: u64,
    /// How many chains there are.
    pub chains: u64,
    /// A digest over the heads of all chains; note it down to compare later.
    pub head: String,
    /// The public key that signs exports (Ed25519, hexadecimal).
    pub signing_key: String,
    /// The first broken record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<BrokenAt>,
}

/// What a verification of an export found, away from the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportVerification {
    /// Whether the export is as it was made, and was whole then.
    pub ok: bool,
    /// How many records it holds.
    pub records: u64,
    /// When it was made, if that can be read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made_at: Option<Timestamp>,
    /// The project whose records these are; `null` if it is all of them.
    pub project: Option<String>,
    /// The public key that has signed it.
    pub signed_by: Option<String>,
    /// Whether that is the key which was expected; `false` if none was given to compare.
    pub trusted: bool,
    /// Whether every record was hashed again with the key of the chains.
    pub rehashed: bool,
    /// The first line that is wrong, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The first broken record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<BrokenAt>,
}
