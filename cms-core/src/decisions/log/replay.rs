// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What would have been decided: logged decisions, asked again of another release.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::decision_log::{
    ChangedDecision, DecisionFault, DecisionReplay, LoggedDecision, ReplayDecisions,
};
use crate::context::RequestContext;
use crate::decisions::evaluation::run;
use crate::decisions::{Decisions, query_path};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::policies::engine::{EvaluationOptions, Snapshot};
use crate::releases::read_release;

impl Decisions {
    /// Decides logged decisions anew by another release, and tells which come to something else. Nothing
    /// is logged and nothing changes.
    ///
    /// # Errors
    /// `NotFound` if there is no such release; otherwise as [`Decisions::logged`].
    pub async fn replay(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        ask: &ReplayDecisions,
    ) -> Result<DecisionReplay> {
        let reader = self.reader(ctx, project, ask.decisions.environment.as_deref()).await?;
        let record = read_release(&reader.scope, &ask.release).await?;
        let snapshot = self.artifacts.snapshot(&reader.scope, &record.set).await?;
        let page = reader.page(&ask.decisions, &ask.decisions.page()).await?;
        let mut replay =
            DecisionReplay { replayed: 0, incomplete: 0, changed: Vec::new(), next_cursor: page.next_cursor };
        for decision in page.items {
            if is_incomplete(&decision) {
                replay.incomplete += 1;
                continue;
            }
            replay.replayed += 1;
            let snapshot = snapshot.clone();
            replay.changed.extend(self.kit.lane.run(project, move || changed(&snapshot, decision)).await??);
        }
        Ok(replay)
    }
}

/// Whether what was asked, or what it came to, is no longer known.
fn is_incomplete(decision: &LoggedDecision) -> bool {
    !decision.erased.is_empty() || !decision.masked.is_empty()
}

fn changed(snapshot: &Snapshot, decision: LoggedDecision) -> Result<Option<ChangedDecision>> {
    let path = query_path(&decision.path)?;
    let input = decision.input.as_deref().map(RawValue::get);
    let answer = run(snapshot, &path, input, EvaluationOptions::default());
    let had_failed = decision.error.is_some();
    let (after, error) = match answer {
        Ok(after) => (after, None),
        Err(error) => (None, Some(fault(&error))),
    };
    let same =
        had_failed == error.is_some() && value(decision.result.as_deref())? == value(after.as_deref())?;
    Ok((!same).then_some(ChangedDecision {
        decision_id: decision.decision_id,
        path: decision.path,
        input: decision.input,
        before: decision.result,
        after,
        error,
    }))
}

/// The error of a decision, as it is logged.
pub(in crate::decisions) fn fault(error: &Error) -> DecisionFault {
    DecisionFault { code: error.code().to_owned(), message: error.message().to_owned() }
}

fn value(text: Option<&RawValue>) -> Result<Option<Value>> {
    text.map(|text| serde_json::from_str(text.get())).transpose().map_err(Error::internal)
}
