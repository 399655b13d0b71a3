// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Change requests on the wire: drafts of changes that go live once others have approved them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::configs::ConfigChange;
use super::documents::{ChangeOp, DraftChange, Kind};
use super::releases::{Activation, ReleaseChange};
use crate::clock::Timestamp;

/// Opens a change request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// What it is about, in a line.
    pub title: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The changes, 1 to 100.
    pub changes: Vec<DraftChange>,
    /// Where the changes are to be live, beside the environments that release by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// When it is applied by itself, if it is approved by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub apply_at: Option<Timestamp>,
    /// For how many seconds it stays open; 7 days if nobody says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// Edits an open change request. What is not given stays. Approvals that were given are void.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The changes, in place of those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<DraftChange>>,
    /// When it is applied by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub apply_at: Option<Timestamp>,
    /// For how many seconds from now on it stays open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// Where a change request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// It waits for approvals.
    Open,
    /// It may be applied.
    Approved,
    /// An approver has refused it.
    Rejected,
    /// Its author has taken it back.
    Withdrawn,
    /// It is done.
    Applied,
    /// What it was made for has changed since; its author may edit it.
    Stale,
    /// Its time is over.
    Expired,
}

/// A change request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeRequest {
    /// The id.
    pub id: String,
    /// SHA-256 of everything that is approved: changes and bases, environment, time and rule.
    pub hash: String,
    /// Where it stands.
    pub state: RequestState,
    /// Why it stands there, where that needs words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// What it is about.
    pub title: String,
    /// Why.
    pub reason: Option<String>,
    /// Who opened it.
    pub author: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last edited.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Until when it stays open.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Where it is to be live, beside the environments that release by themselves.
    pub environment: Option<String>,
    /// When it is applied by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub apply_at: Option<Timestamp>,
    /// The changes, without their texts; none for a promotion.
    pub changes: Vec<RequestChange>,
    /// The release that a promotion makes active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Which approvals it needs, by the environments that it reaches.
    pub needs: Vec<NeededApprovals>,
    /// The approvals that it has.
    pub approvals: Vec<Approval>,
    /// What was checked when it was submitted.
    pub checks: Vec<RequestCheck>,
    /// The difference to what is there, in unified form, document by document; `null` for who may not
    /// read the documents, and in lists.
    pub diff: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RequestOutcome>,
    /// How often it was written; the version for `If-Match`.
    pub version: u64,
}

/// A change of one document, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestChange {
    /// The kind.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// What becomes of it.
    pub op: ChangeOp,
    /// SHA-256 of the new text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The schema that the config keeps to from then on; empty for none, as before if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The version that the change was made for.
    pub base_version: u64,
}

/// Which approvals an environment asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NeededApprovals {
    /// The environment; `null` where none asks, as a request needs somebody else's approval anyway.
    pub environment: Option<String>,
    /// How many different people.
    pub quorum: u32,
    /// Who may; project-admins and up, if it is empty.
    pub approvers: Vec<String>,
    /// How many of those who may now have approved.
    pub given: u32,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Who approved.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestCheck {
    /// `validation`, `tests` or `schema`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestOutcome {
    /// Who ended it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The release that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether it was applied without its approvals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
}

/// Approves a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The hash of what was looked at.
    pub hash: String,
    /// What is to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Refuses a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectRequest {
    /// Why.
    pub reason: String,
}

/// Applies a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Whether to go over the heads of the approvers. Takes a right of its own, and a reason.
    #[serde(default)]
    pub emergency: bool,
    /// Why; mandatory in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which requests are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RequestQuery {
    /// Only those that stand there.
    pub state: Option<RequestState>,
    /// How many items, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// Where the last page ended: its `next_cursor`.
    pub cursor: Option<String>,
}

/// Promotes what is active in another environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The environment whose active release is promoted.
    pub from: String,
    /// The release that must be active in the target now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Whether only the plan is wanted.
    #[serde(default)]
    pub dry_run: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A promotion: its plan, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Promotion {
    /// Where the release is active already.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// The release.
    pub release: String,
    /// What it replaces.
    pub previous: Option<String>,
    /// What differs, document by document.
    pub changes: Vec<ReleaseChange>,
    /// What services will read otherwise, config by config.
    pub configs: Vec<ConfigChange>,
    /// What was checked.
    pub checks: Vec<RequestCheck>,
    /// The activation; `null` for a plan, where nothing differs, and where approvals are needed first.
    pub activation: Option<Activation>,
    /// The request that was opened, where the target asks for approvals.
    pub request: Option<ChangeRequest>,
}
