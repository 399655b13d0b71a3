// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A decision on its way into the log: noted on the path of the answer, which waits for nothing, and
//! written out behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::decision_log::{DecisionFault, DecisionOutcome, LoggedDecision, Revision};
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{EnvironmentId, ProjectId};
use crate::policies::engine::Snapshot;

/// What one decision takes in memory beside its texts, about.
const OVERHEAD_BYTES: usize = 512;

/// A decision that was made.
#[derive(Debug)]
pub(in crate::decisions) struct Note {
    pub(in crate::decisions) project: ProjectId,
    pub(in crate::decisions) environment: EnvironmentId,
    pub(in crate::decisions) release: Arc<str>,
    pub(in crate::decisions) snapshot: Arc<Snapshot>,
    pub(in crate::decisions) decision_id: String,
    pub(in crate::decisions) path: String,
    pub(in crate::decisions) input: Option<String>,
    pub(in crate::decisions) result: Option<Box<RawValue>>,
    pub(in crate::decisions) fault: Option<DecisionFault>,
    pub(in crate::decisions) caller: Arc<Principal>,
    pub(in crate::decisions) address: Option<IpAddr>,
    pub(in crate::decisions) request_id: Arc<str>,
    pub(in crate::decisions) time: Timestamp,
    pub(in crate::decisions) took: Duration,
}

impl Note {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.input.as_ref().map_or(0, String::len)
            + self.result.as_ref().map_or(0, |result| result.get().len());
        texts + OVERHEAD_BYTES
    }

    /// The decision as it is kept, before anything is masked.
    pub(super) fn logged(self) -> Result<(LoggedDecision, Arc<Snapshot>), serde_json::Error> {
        let input = self.input.map(RawValue::from_string).transpose()?;
        let labels = BTreeMap::from([
            ("project".to_owned(), self.project.to_string()),
            ("environment".to_owned(), self.environment.to_string()),
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        let revision = Revision { revision: self.release.to_string() };
        let nanos = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        let decision = LoggedDecision {
            labels,
            decision_id: self.decision_id,
            bundles: BTreeMap::from([(self.environment.to_string(), revision)]),
            path: self.path,
            user: input.as_deref().and_then(user),
            outcome: outcome(self.result.as_deref(), self.fault.is_some()),
            input,
            result: self.result,
            error: self.fault,
            requested_by: self.address.map(|address| address.to_string()),
            timestamp: self.time,
            metrics: BTreeMap::from([("timer_server_handler_ns".to_owned(), nanos)]),
            erased: Vec::new(),
            masked: Vec::new(),
            caller: self.caller.to_string(),
            request_id: self.request_id.to_string(),
        };
        Ok((decision, self.snapshot))
    }
}

/// What a result means to whoever asked for permission.
pub(super) fn outcome(result: Option<&RawValue>, has_failed: bool) -> DecisionOutcome {
    #[derive(serde::Deserialize)]
    struct Verdict {
        allow: bool,
    }
    let allowed = |allow| if allow { DecisionOutcome::Allow } else { DecisionOutcome::Deny };
    match result.map(RawValue::get) {
        None if has_failed => DecisionOutcome::Error,
        None => DecisionOutcome::Undefined,
        Some("true") => DecisionOutcome::Allow,
        Some("false") => DecisionOutcome::Deny,
        Some(text) => serde_json::from_str(text)
            .map_or(DecisionOutcome::Value, |verdict: Verdict| allowed(verdict.allow)),
    }
}

/// On whose behalf it was asked: the input's `user` or `subject`, or the `id` in it.
fn user(input: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Asked {
        #[serde(default)]
        user: Value,
        #[serde(default)]
        subject: Value,
    }
    let Asked { user, subject } = serde_json::from_str(input.get()).ok()?;
    [user, subject].into_iter().find_map(|named| match named {
        Value::String(name) => Some(name),
        Value::Object(fields) => fields.get("id")?.as_str().map(str::to_owned),
        _ => None,
    })
}
