// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases, environments and their history as they lie in the store.

use serde::{Deserialize, Serialize};

use crate::api::decision_log::DecisionLog;
use crate::api::releases::{Activation, Approvals, Release};
use crate::clock::Timestamp;
use crate::documents::record::SetRecord;

/// An immutable manifest; its id is the hash of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseRecord {
    pub(crate) v: u8,
    pub(crate) id: String,
    pub(crate) author: String,
    pub(crate) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    pub(crate) set: SetRecord,
}

impl ReleaseRecord {
    /// The release as it goes on the wire, without its documents.
    pub(crate) fn release(&self) -> Release {
        Release {
            id: self.id.clone(),
            author: self.author.clone(),
            created_at: self.time,
            message: self.message.clone(),
            document_count: self.set.len(),
            documents: None,
        }
    }
}

/// An environment's pointer and settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnvironmentRecord {
    pub(crate) v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) activated_at: Option<Timestamp>,
    /// The number of the last activation; 0: there was none.
    pub(crate) version: u64,
    /// `None`: as the project has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auto_release: Option<bool>,
    #[serde(default)]
    pub(crate) approvals: Approvals,
    /// The releases that were rolled back, the last one at the end, until a person activates something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rolled_back: Vec<String>,
    /// `None`: its decisions are not logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decision_log: Option<DecisionLog>,
}

/// One activation of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActivationRecord {
    pub(crate) v: u8,
    pub(crate) version: u64,
    pub(crate) release: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
    /// The activation that a rollback from this one goes back to, so that two rollbacks in a row go
    /// back two releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    pub(crate) kind: String,
    pub(crate) author: String,
    pub(crate) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl ActivationRecord {
    /// The activation as it goes on the wire.
    pub(crate) fn activation(&self) -> Activation {
        Activation {
            version: self.version,
            release: self.release.clone(),
            previous: self.previous.clone(),
            kind: self.kind.clone(),
            author: self.author.clone(),
            time: self.time,
            message: self.message.clone(),
        }
    }
}
