// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one place where it is decided what a caller may do. The decision itself is a Rego policy's:
//! the one that ships with the binary, or the one that the project `platform` has released.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::rules::{Facts, Question, Rules, Verdict};
use super::{Action, Authorized, KeyScope, Principal, PrincipalKind, Target, grants};
use crate::audit::{Audit, AuditOutcome, NewRecord};
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::policies::engine::Snapshot;
use crate::store::Db;

/// Decides by Rego, the same engine that answers everybody else. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Authorizer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    audit: Audit,
    built_in: Rules,
    released: ArcSwapOption<Rules>,
}

impl Authorizer {
    /// An authorizer with the policy that ships with the binary.
    ///
    /// # Errors
    /// `Internal` if that policy does not compile.
    pub fn new(db: Db, audit: Audit) -> Result<Self> {
        let inner = Inner { db, audit, built_in: Rules::built_in()?, released: ArcSwapOption::empty() };
        Ok(Self(Arc::new(inner)))
    }

    /// Decides by the policy `cms.authz` of this snapshot from now on: by its `decision`, or by its
    /// `allow` alone, and then the policy that ships with the binary says what a caller may know of.
    /// With `None` that one decides everything. The root credential always gets the latter, so that it can
    /// recover from a policy that denies everything.
    pub fn use_release(&self, snapshot: Option<Arc<Snapshot>>) {
        let rules = snapshot.map(|snapshot| Arc::new(self.0.built_in.released(snapshot)));
        self.0.released.store(rules);
    }

    /// Decides whether the caller may do the action on the target. A denial is on the trail, with
    /// the policy's reason, before this returns.
    ///
    /// # Errors
    /// `Denied` when the caller may know that the thing exists, else `NotFound`.
    pub async fn authorize(
        &self,
        ctx: &RequestContext,
        action: Action,
        target: Target,
    ) -> Result<Authorized> {
        if ctx.principal.kind == PrincipalKind::Anonymous {
            return Err(Error::unauthenticated());
        }
        let facts = self.facts(&ctx.principal, &target.project).await?;
        let verdict = self.decide(&ctx.principal, action, &target, facts);
        if !verdict.allow {
            self.record(ctx, action, &target, facts, &verdict.reason).await?;
        }
        let exists = facts.project_exists || may_lack_project(action);
        match verdict {
            Verdict { allow: true, .. } if exists => Ok(Authorized::new(action, target)),
            Verdict { allow: false, visible: true, reason } if exists => {
                Err(denied(action, &target, &reason))
            }
            _ => Err(Error::not_found(format!("project `{}`", target.project))),
        }
    }

    /// Says whether the caller may do the action on the target, without leaving a record: for
    /// choosing what a list shows. It is no proof.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn permits(&self, principal: &Principal, action: Action, target: &Target) -> Result<bool> {
        let facts = self.facts(principal, &target.project).await?;
        let exists = facts.project_exists || may_lack_project(action);
        Ok(exists && self.decide(principal, action, target, facts).allow)
    }

    /// Checks that the caller may itself do everything that a key with this scope could.
    ///
    /// # Errors
    /// `Denied`, after a record of it.
    pub(crate) async fn check_grant(
        &self,
        ctx: &RequestContext,
        target: &Target,
        scope: &KeyScope,
        bound: Option<&EnvironmentId>,
    ) -> Result<()> {
        let key = Principal {
            kind: PrincipalKind::Key {
                id: Arc::from("new"),
                project: target.project.clone(),
                environment: bound.cloned(),
                scopes: Arc::from([scope.clone()]),
            },
        };
        for action in Action::ALL.iter().copied() {
            let kind = action.as_str().split(':').next().unwrap_or_default();
            let mut reach = Target::new(&target.project, kind);
            reach = reach.environment(scope.environment.as_ref().or(bound));
            reach.name = scope.prefix.as_deref().map(str::to_owned);
            if self.permits(&key, action, &reach).await?
                && !self.permits(&ctx.principal, action, &reach).await?
            {
                let reason =
                    format!("the scope `{}` goes beyond what the caller may do", scope.name.as_str());
                return Err(self.refuse(ctx, Action::KeyWrite, target, &reason).await);
            }
        }
        Ok(())
    }

    /// Records a refusal that no policy could have known of, and answers with it.
    pub(crate) async fn refuse(
        &self,
        ctx: &RequestContext,
        action: Action,
        target: &Target,
        reason: &str,
    ) -> Error {
        let recorded = match self.facts(&ctx.principal, &target.project).await {
            Ok(facts) => self.record(ctx, action, target, facts, reason).await,
            Err(error) => Err(error),
        };
        recorded.map_or_else(|error| error, |()| denied(action, target, reason))
    }

    /// Whether a caller has anything to do with a project: by a role that holds there, or as its key.
    pub(crate) async fn relates(&self, principal: &Principal, project: &ProjectId) -> Result<bool> {
        let facts = self.facts(principal, project).await?;
        let related = match &principal.kind {
            PrincipalKind::User { role, .. } => role.is_some() || facts.project_role.is_some(),
            PrincipalKind::Key { project: own, .. } => own == project,
            PrincipalKind::Root | PrincipalKind::System => true,
            PrincipalKind::Anonymous => false,
        };
        Ok(related && facts.project_exists)
    }

    async fn facts(&self, principal: &Principal, project: &ProjectId) -> Result<Facts> {
        let own = matches!(&principal.kind, PrincipalKind::Key { project: own, .. } if own == project);
        // A key goes with its project, so a project whose key was let in exists.
        let project_exists = own
            || project.is_platform()
            || self.0.db.cached(&format!("p/{project}/meta")).await?.entry().is_some();
        let project_role = match &principal.kind {
            PrincipalKind::User { user, .. } => grants::role(&self.0.db, user, project).await?,
            _ => None,
        };
        Ok(Facts { project_exists, project_role })
    }

    fn decide(&self, principal: &Principal, action: Action, target: &Target, facts: Facts) -> Verdict {
        let question = Question { caller: &principal.kind, action, target, facts };
        let root = matches!(principal.kind, PrincipalKind::Root | PrincipalKind::System);
        match self.0.released.load().as_ref().filter(|_| !root) {
            Some(released) if released.is_plain() => {
                let verdict = released.decide(question);
                let visible = verdict.allow || self.0.built_in.decide(question).visible;
                Verdict { visible, ..verdict }
            }
            Some(released) => released.decide(question),
            None => self.0.built_in.decide(question),
        }
    }

    async fn record(
        &self,
        ctx: &RequestContext,
        action: Action,
        target: &Target,
        facts: Facts,
        reason: &str,
    ) -> Result<()> {
        // What does not exist has no trail of its own.
        let project = if facts.project_exists { target.project.clone() } else { ProjectId::platform() };
        let record = NewRecord {
            action: action.as_str().into(),
            resource: target.to_string(),
            project,
            outcome: AuditOutcome::Denied,
            reason: Some(reason.to_owned()),
            release: None,
            version: None,
        };
        self.0.audit.access(ctx, record).await
    }
}

/// Whether an action makes sense on a project that is not there: making it, and looking back at it.
fn may_lack_project(action: Action) -> bool {
    matches!(action, Action::ProjectCreate | Action::AuditRead | Action::AuditVerify)
}

fn denied(action: Action, target: &Target, reason: &str) -> Error {
    Error::denied(format!("`{action}` on `{target}` is not allowed: {reason}"))
}
