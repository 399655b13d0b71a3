// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promotion: what is active in one environment becomes active in another, as a whole or not at all; by a
//! request where the target asks for approvals.

use super::draft::{Texts, bound, content_hash};
use super::record::{Draft, RequestRecord};
use super::{ATTEMPTS, Requests, contended};
use crate::api::releases::Activation;
use crate::api::requests::{ChangeRequest, Promote, Promotion, RequestCheck};
use crate::audit::NewRecord;
use crate::auth::{Action, Authorized, PrincipalKind, Target};
use crate::context::RequestContext;
use crate::documents::check_message;
use crate::documents::record::SetRecord;
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::releases::activate::{Cause, ReadEnvironment, Stamp, before_of, move_pointer, read_environment};
use crate::releases::guard::check_sticks;
use crate::releases::{compare_sets, not_active, read_release};
use crate::store::{Outcome, Scope, Transaction};

impl Requests {
    /// Promotes what is active in another environment, or says what that would do.
    ///
    /// # Errors
    /// `Conflict` with the code `not_active` if `expected` is not active in the target; `Unprocessable` if
    /// the release does not pass its checks.
    pub async fn promote(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        to: &EnvironmentId,
        promote: Promote,
    ) -> Result<Promotion> {
        check_message(promote.message.as_deref())?;
        let from = EnvironmentId::parse(&promote.from)?;
        let target = Target::new(project, "environment").environment(Some(to)).named(to.as_str());
        // A plan shows texts, which not everybody sees who sees environments.
        for action in [Action::PolicyRead, Action::DataRead, Action::ConfigRead] {
            self.kit.authorize(ctx, action, Target::new(project, "environment")).await?;
        }
        let proof = self.kit.authorize(ctx, Action::EnvironmentRead, target.clone()).await?;
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let (source, read) = (known(&scope, &from).await?, known(&scope, to).await?);
            let release = source.record.release.ok_or_else(|| nothing_active(&from))?;
            if let Some(expected) = &promote.expected
                && read.record.release.as_ref() != Some(expected)
            {
                return Err(not_active(to, expected, read.record.release.as_deref()));
            }
            let mut plan = self.plan(&scope, &from, &read, &release).await?;
            if promote.dry_run || plan.previous.as_ref() == Some(&release) {
                return Ok(plan);
            }
            if read.record.approvals.quorum() > 0 {
                let proof = self.kit.authorize(ctx, Action::RequestCreate, target).await?;
                plan.request = Some(self.open_promotion(ctx, &proof, &plan, promote.message).await?);
                return Ok(plan);
            }
            let proof = self.kit.authorize(ctx, Action::EnvironmentActivate, target.clone()).await?;
            if let Some(given) = ctx.given()? {
                return Ok(given);
            }
            let stamp = self.stamp(ctx, promote.message.clone());
            let (activation, change) =
                self.activation(ctx, &scope, &read, &release, Cause::Activate, &stamp).await?;
            let audited = NewRecord::of(&proof).release(release).reason(stamp.message.clone());
            plan.activation = Some(activation);
            ctx.offer(&plan)?;
            if let Outcome::Committed { .. } = self.kit.commit(ctx, audited, change).await? {
                return Ok(plan);
            }
        }
        Err(contended())
    }

    /// What a promotion does, after everything that it makes active was checked.
    async fn plan(
        &self,
        scope: &Scope,
        from: &EnvironmentId,
        to: &ReadEnvironment,
        release: &str,
    ) -> Result<Promotion> {
        let new = read_release(scope, release).await?.set;
        let old = match &to.record.release {
            Some(release) => read_release(scope, release).await?.set,
            None => SetRecord::empty(),
        };
        let checks = self.check_release(scope, &new, &to.name).await?;
        let target = EnvironmentId::parse(&to.name)?;
        Ok(Promotion {
            from: from.to_string(),
            to: to.name.clone(),
            release: release.to_owned(),
            previous: to.record.release.clone(),
            changes: compare_sets(scope, &old, &new).await?,
            configs: self.writer.gate().compare_configs(scope, &old, &new, &target).await?,
            checks,
            activation: None,
            request: None,
        })
    }

    /// Checks a set as a whole, as it is about to be active in an environment.
    pub(super) async fn check_release(
        &self,
        scope: &Scope,
        set: &SetRecord,
        environment: &str,
    ) -> Result<Vec<RequestCheck>> {
        let gate = self.writer.gate();
        let tests = gate.check_set(scope, set).await?;
        gate.check_release(scope, set, &EnvironmentId::parse(environment)?).await?;
        let passed = |name: &str, detail| RequestCheck { name: name.to_owned(), ok: true, detail };
        let tests = Some(format!("{tests} tests hold"));
        Ok(vec![passed("schema", None), passed("tests", tests), passed("validation", None)])
    }

    /// What activates a release, and how that reads in the history.
    pub(super) async fn activation(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        read: &ReadEnvironment,
        release: &str,
        cause: Cause,
        stamp: &Stamp,
    ) -> Result<(Activation, Transaction)> {
        if matches!(ctx.principal.kind, PrincipalKind::Key { .. } | PrincipalKind::System) {
            check_sticks(scope, read, release).await?;
        }
        let before = before_of(&read.record);
        let (record, change) = move_pointer(scope, read, release, cause, before, stamp)?;
        Ok((record.activation(), change))
    }

    pub(super) fn stamp(&self, ctx: &RequestContext, message: Option<String>) -> Stamp {
        Stamp { author: ctx.principal.to_string(), time: self.kit.now(), message }
    }

    async fn open_promotion(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        plan: &Promotion,
        message: Option<String>,
    ) -> Result<ChangeRequest> {
        let scope = self.kit.scope(proof);
        self.check_room(&scope).await?;
        let (release, environment) = (Some(plan.release.clone()), Some(plan.to.clone()));
        let draft = Draft { changes: Vec::new(), release, environment, apply_at: None };
        let bound = bound(&scope, &draft).await?;
        let now = self.kit.now();
        let record = RequestRecord {
            v: 1,
            id: uuid::Uuid::now_v7().to_string(),
            title: format!("Promote {} to {}", plan.from, plan.to),
            reason: message,
            author: ctx.principal.to_string(),
            authors: self.hands(ctx).await?,
            created_at: now,
            updated_at: now,
            expires_at: self.expiry(&scope, &draft, &bound, None).await?,
            checks: plan.checks.clone(),
            hash: content_hash(&scope, &draft, &bound)?,
            draft,
            bound,
            approvals: Vec::new(),
            end: None,
        };
        self.submit(ctx, &scope, &record, &Texts::new(), Transaction::new()).await
    }
}

/// Reads an environment that the project has.
async fn known(scope: &Scope, name: &EnvironmentId) -> Result<ReadEnvironment> {
    let read = read_environment(scope, name.as_str()).await?;
    match read.entry {
        Some(_) => Ok(read),
        None => Err(Error::not_found(format!("environment `{name}`"))),
    }
}

fn nothing_active(from: &EnvironmentId) -> Error {
    Error::conflict(
        "nothing_active",
        format!("no release is active in `{from}`, so there is nothing to promote"),
    )
}
