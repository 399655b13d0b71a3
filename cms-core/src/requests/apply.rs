// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Applying a request: documents, release, activation and the request's own end in one commit, or none
//! of it.

use super::draft::{Texts, batch};
use super::record::{EndRecord, RequestRecord};
use super::standing::{Standing, targets};
use super::{ATTEMPTS, Read, Requests, contended, given_reason, written};
use crate::api::requests::{ApplyRequest, ChangeRequest, RequestState};
use crate::audit::NewRecord;
use crate::auth::Action;
use crate::context::RequestContext;
use crate::documents::{check_message, write_action};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::releases::activate::{Cause, read_environment};
use crate::releases::read_release;
use crate::store::{Outcome, Scope, Transaction};

impl Requests {
    /// Applies a request that has its approvals; in an emergency, one that has not.
    ///
    /// # Errors
    /// `Denied` with the code `approval_required` without the approvals; `Conflict` if it is not open,
    /// or stale; whatever the checks find.
    pub async fn apply(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        apply: ApplyRequest,
    ) -> Result<ChangeRequest> {
        check_message(apply.reason.as_deref())?;
        let (action, reason) = match apply.emergency {
            true => (Action::RequestEmergency, Some(given_reason(apply.reason.as_ref())?)),
            false => (Action::RequestApply, apply.reason),
        };
        let proof = self.authorize(ctx, action, project, id).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let Read { entry, mut record } = self.read(&scope, id).await?;
            self.authorize_writes(ctx, action, &scope, &record).await?;
            let standing = self.check_open(&scope, &record).await?;
            let mut still = Transaction::new();
            if !apply.emergency {
                self.check_due(&record, &standing)?;
                still.conditions = standing.conditions;
            }
            let end = self.end(ctx, RequestState::Applied, reason.clone());
            let batch = batch(&scope, &record).await?;
            let (promoted, environment) = (record.draft.release.clone(), record.draft.environment.clone());
            let mut shown = self.show(ctx, &scope, &record, entry.version + 1, &Texts::new()).await?;
            record.end = Some(EndRecord { emergency: apply.emergency, ..end });
            let news = self.news(&scope, "request.applied", &record).await?;
            let closing = |release: Option<&str>| {
                let release = release.map(str::to_owned);
                if let Some(end) = &mut record.end {
                    end.release = release;
                    (shown.state, shown.state_reason) = (end.state, end.reason.clone());
                    shown.outcome = Some(end.to_wire());
                }
                ctx.offer(&shown)?;
                let audited = NewRecord::of(&proof).reason(reason.clone());
                let place = (&*entry.key, Some(&entry));
                Ok((audited, still.and(written(&news, place, &record)?)))
            };
            let is_done = match promoted {
                Some(release) => {
                    self.apply_promotion(ctx, &scope, environment.as_deref(), &release, closing).await?
                }
                None => self.writer.write_batch(ctx, &proof, &batch, closing).await?.is_some(),
            };
            if is_done {
                return Ok(shown);
            }
        }
        Err(contended())
    }

    /// Makes a release active as an approved promotion asks; false if somebody else was faster.
    async fn apply_promotion(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        environment: Option<&str>,
        release: &str,
        closing: impl FnOnce(Option<&str>) -> Result<(NewRecord, Transaction)> + Send,
    ) -> Result<bool> {
        let read = read_environment(scope, environment.unwrap_or_default()).await?;
        self.check_release(scope, &read_release(scope, release).await?.set, &read.name).await?;
        let (record, closing) = closing(Some(release))?;
        let stamp = self.stamp(ctx, record.reason.clone());
        let (_, change) = self.activation(ctx, scope, &read, release, Cause::Request, &stamp).await?;
        let outcome = self.kit.commit(ctx, record.release(release), change.and(closing)).await?;
        Ok(matches!(outcome, Outcome::Committed { .. }))
    }

    /// Whoever applies a request must be allowed to do what it does.
    async fn authorize_writes(
        &self,
        ctx: &RequestContext,
        action: Action,
        scope: &Scope,
        record: &RequestRecord,
    ) -> Result<()> {
        let mut does = record.draft.changes.iter().map(|change| write_action(change.kind));
        for target in targets(scope, record)? {
            self.kit.authorize(ctx, action, target.clone()).await?;
            let does = does.next().unwrap_or(Action::EnvironmentActivate);
            self.kit.authorize(ctx, does, target).await?;
        }
        Ok(())
    }

    /// Refuses what is not approved, or not to be applied yet.
    fn check_due(&self, record: &RequestRecord, standing: &Standing) -> Result<()> {
        if let Some(at) = record.draft.apply_at.filter(|at| *at > self.kit.now()) {
            return Err(Error::conflict("not_yet_due", format!("the request is to be applied at {at}")));
        }
        let Some(missing) = standing.needs.iter().find(|need| need.given < need.quorum) else {
            return Ok(());
        };
        let place = missing.environment.as_ref().map(|name| format!(" for `{name}`")).unwrap_or_default();
        let text = format!(
            "the request has {} of the {} approvals that it needs{place}",
            missing.given, missing.quorum
        );
        Err(Error::new(ErrorKind::Denied, "approval_required", text)
            .with_hint("let others approve its `hash`; an emergency takes a right of its own and a reason"))
    }
}
