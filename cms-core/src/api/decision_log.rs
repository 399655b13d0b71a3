// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logged decisions on the wire, in the fields of OPA's decision log
//! (<https://www.openpolicyagent.org/docs/management-decision-logs>) and a few of our own, and how they
//! are asked for and replayed. Inputs and results stay JSON text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::PageQuery;
use crate::clock::Timestamp;

/// How an environment logs its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionLog {
    /// One of how many decisions is logged, by chance; 1: every decision; 0: none.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub every: u32,
    /// For how many days they are kept, 1 to 365; 30 if not given.
    #[serde(default = "thirty")]
    #[schema(minimum = 1, maximum = 365)]
    pub keep_days: u32,
}

const fn thirty() -> u32 {
    30
}

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecisionOutcome {
    /// `true`, or an object whose `allow` is `true`.
    Allow,
    /// `false`, or an object whose `allow` is not `true`.
    Deny,
    /// Another value.
    Value,
    /// No rule had a value for this input.
    Undefined,
    /// The evaluation failed.
    Error,
}

/// One logged decision.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LoggedDecision {
    /// `project`, `environment` and `version` of the program that decided.
    pub labels: BTreeMap<String, String>,
    /// The id of the decision.
    pub decision_id: String,
    /// The release that decided, by the environment's name.
    pub bundles: BTreeMap<String, Revision>,
    /// The rule: `rag/authz/allow`.
    pub path: String,
    /// The input, as far as it was not erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Box<RawValue>>,
    /// The result, where there was one and as far as it was not erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub result: Option<Box<RawValue>>,
    /// Why there is no result, if the evaluation failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<DecisionFault>,
    /// The address of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// `timer_server_handler_ns`: how long it took, in nanoseconds.
    pub metrics: BTreeMap<String, u64>,
    /// What the policy had removed before the decision was kept, as JSON Pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
    /// What the policy had replaced before the decision was kept, as JSON Pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
    /// What the decision came to.
    pub outcome: DecisionOutcome,
    /// Who asked: `key:…`, `user:…`.
    pub caller: String,
    /// On whose behalf, by the input: its `user` or `subject`, or the `id` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The id of the request.
    pub request_id: String,
}

impl LoggedDecision {
    /// The release that decided.
    pub fn release(&self) -> Option<&str> {
        self.bundles.values().next().map(|bundle| bundle.revision.as_str())
    }
}

/// Which state of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// The id of the release.
    pub revision: String,
}

/// Why a decision failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionFault {
    /// The stable word.
    pub code: String,
    /// The text.
    pub message: String,
}

/// Which logged decisions are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionQuery {
    /// The environment, where the project has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// On whose behalf, or who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The rule, or a package above it: `rag/authz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DecisionOutcome>,
    /// The release that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
    /// How many items, 1 to 200; 50 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// Where the last page ended: its `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl DecisionQuery {
    /// The page that is asked for.
    pub fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }
}

/// Decides anew what was decided before, by another release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayDecisions {
    /// The release that decides now.
    pub release: String,
    /// Which decisions; the newest if not given. `limit` counts them, 1 to 200.
    #[serde(default)]
    pub decisions: DecisionQuery,
}

/// What decisions would come to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DecisionReplay {
    /// How many were decided anew.
    pub replayed: u64,
    /// How many could not be, as a part of their input was not kept.
    pub incomplete: u64,
    /// Those that come to something else now.
    pub changed: Vec<ChangedDecision>,
    /// What to pass as `cursor` to go on with older ones; `null` at the end.
    pub next_cursor: Option<String>,
}

/// A decision that comes to something else.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangedDecision {
    /// The id of the decision.
    pub decision_id: String,
    /// The rule.
    pub path: String,
    /// The input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Box<RawValue>>,
    /// What it came to; absent where it was undefined or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub before: Option<Box<RawValue>>,
    /// What it comes to now; absent where it is undefined or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub after: Option<Box<RawValue>>,
    /// Why it fails now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<DecisionFault>,
}
