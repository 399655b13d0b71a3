// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Change requests as they lie in the store. The shape carries its version `v`; a golden file under
//! `testdata/` keeps it readable. The texts lie beside those of documents, by their hashes.

use serde::{Deserialize, Serialize};

use crate::api::documents::{ChangeOp, Kind};
use crate::api::requests::{Approval, RequestChange, RequestCheck, RequestOutcome, RequestState};
use crate::clock::Timestamp;

/// What the relative keys of requests begin with.
pub(super) const REQUESTS: &str = "req/";

/// A change request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    pub(crate) v: u8,
    pub(crate) id: String,
    pub(crate) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Who opened it.
    pub(crate) author: String,
    /// Everybody who has a hand in it and so cannot approve it: who opened or edited it, and who made
    /// the API keys with which that was done.
    pub(crate) authors: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) draft: Draft,
    pub(crate) bound: Bound,
    pub(crate) checks: Vec<RequestCheck>,
    /// The hash of the draft and of what it is bound to.
    pub(crate) hash: String,
    pub(crate) approvals: Vec<ApprovalRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<EndRecord>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) changes: Vec<ChangeRecord>,
    /// Instead of changes: the release that is to be active in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) apply_at: Option<Timestamp>,
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeRecord {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// SHA-256 of the new text; without one, the document is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<String>,
    /// For configs: the schema to keep to, empty for none; as before if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    pub(crate) base_version: u64,
}

/// The circumstances that approvals were given under. When they change, the request is stale.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// What the environments ask for that the request reaches.
    pub(crate) rules: Vec<RuleRecord>,
    /// What is active there of the documents that change.
    pub(crate) active: Vec<ActiveRecord>,
    /// Which release a promotion replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<String>,
}

/// What an environment asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuleRecord {
    pub(crate) environment: String,
    pub(crate) quorum: u32,
    pub(crate) approvers: Vec<String>,
}

/// Which versions of the documents that change are active in an environment that asks for approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActiveRecord {
    pub(crate) environment: String,
    /// In the order of the changes; 0: none.
    pub(crate) versions: Vec<u64>,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApprovalRecord {
    pub(crate) by: String,
    /// Tells the user from another one who gets the name later; the root credential has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
    pub(crate) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndRecord {
    pub(crate) state: RequestState,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) emergency: bool,
}

impl RequestRecord {
    /// What those who follow the project's events hear.
    pub(crate) fn event(&self) -> serde_json::Value {
        let state = self.end.as_ref().map_or(RequestState::Open, |end| end.state);
        let release = self.end.as_ref().and_then(|end| end.release.clone());
        serde_json::json!({
            "id": self.id, "title": self.title, "author": self.author, "state": state, "hash": self.hash, "approvals": self.approvals.len(),
            "environment": self.draft.environment, "release": release,
        })
    }
}

impl ChangeRecord {
    /// The change as it goes on the wire.
    pub(super) fn to_wire(&self) -> RequestChange {
        RequestChange {
            kind: self.kind,
            name: self.name.clone(),
            op: if self.hash.is_some() { ChangeOp::Put } else { ChangeOp::Delete },
            hash: self.hash.clone(),
            schema: self.schema.clone(),
            base_version: self.base_version,
        }
    }
}

impl ApprovalRecord {
    /// The approval as it goes on the wire.
    pub(super) fn to_wire(&self) -> Approval {
        Approval { by: self.by.clone(), at: self.at, comment: self.comment.clone() }
    }
}

impl EndRecord {
    /// The end as it goes on the wire.
    pub(super) fn to_wire(&self) -> RequestOutcome {
        RequestOutcome {
            by: self.by.clone(),
            at: self.at,
            reason: self.reason.clone(),
            release: self.release.clone(),
            emergency: self.emergency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_version_1_stays_readable() {
        let at = Timestamp::from_millis;
        let record = RequestRecord {
            v: 1,
            id: "01980000-0000-7000-8000-000000000000".into(),
            title: "Admins may search".into(),
            reason: Some("ticket 7".into()),
            author: "user:amy".into(),
            authors: vec!["user:amy".into()],
            created_at: at(0),
            updated_at: at(1),
            expires_at: at(2),
            draft: Draft {
                changes: vec![
                    ChangeRecord {
                        kind: Kind::Policy,
                        name: "a".into(),
                        hash: Some("00ff".into()),
                        schema: None,
                        base_version: 1,
                    },
                    ChangeRecord {
                        kind: Kind::Data,
                        name: "b".into(),
                        hash: None,
                        schema: None,
                        base_version: 3,
                    },
                ],
                release: None,
                environment: Some("prod".into()),
                apply_at: Some(at(3)),
            },
            bound: Bound {
                rules: vec![RuleRecord {
                    environment: "prod".into(),
                    quorum: 2,
                    approvers: vec!["ann".into()],
                }],
                active: vec![ActiveRecord { environment: "prod".into(), versions: vec![1, 0] }],
                replaces: None,
            },
            checks: vec![RequestCheck { name: "tests".into(), ok: true, detail: None }],
            hash: "ff00".into(),
            approvals: vec![ApprovalRecord {
                by: "user:ann".into(),
                uid: Some("0a".into()),
                at: at(4),
                comment: None,
            }],
            end: Some(EndRecord {
                state: RequestState::Applied,
                by: "root".into(),
                at: at(5),
                reason: Some("outage".into()),
                release: Some("aa".into()),
                emergency: true,
            }),
        };
        let golden = include_str!("../../testdata/request_v1.json");
        assert_eq!(serde_json::from_str::<RequestRecord>(golden).unwrap(), record);
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&record).unwrap()), golden);
    }
}
