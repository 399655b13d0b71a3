// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything about identity in one place: what the front ends are given.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::authenticate::Authenticator;
use super::keys::{Keys, Usage};
use super::password::Passwords;
use super::sealed::Sealed;
use super::sessions::Sessions;
use super::tokens::Tokens;
use super::users::Users;
use super::{Action, KeyScope, Principal, PrincipalKind, Target, grants, root};
use crate::api::auth::{CallerKind, HeldRole, Jwks, Me};
use crate::api::keys::{NarrowedScope, Scope};
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::sensitive::Sensitive;
use crate::store::{Outcome, Transaction};

/// Identity: users, sessions, API keys, the root credential, and who the caller is. Cloning shares.
#[derive(Debug, Clone)]
pub struct Auth {
    kit: Kit,
    users: Users,
    sessions: Sessions,
    keys: Keys,
    tokens: Tokens,
    authenticator: Authenticator,
    /// When sessions that have ended are removed next, in milliseconds of the clock.
    sweep_at: Arc<AtomicI64>,
}

/// How often sessions that have ended are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

impl Auth {
    /// Builds the services. Tokens name `issuer` as who made them and whom they are for.
    pub(crate) fn new(kit: Kit, issuer: &str) -> Self {
        let (passwords, usage) = (Passwords::new(), Usage::default());
        let tokens = Tokens::new(kit.clone(), issuer);
        let sessions = Sessions::new(kit.clone(), tokens.clone(), passwords.clone());
        Self {
            users: Users::new(kit.clone(), passwords),
            keys: Keys::new(kit.clone(), usage.clone()),
            authenticator: Authenticator::new(kit.clone(), tokens.clone(), sessions.clone(), usage),
            tokens,
            sessions,
            sweep_at: Arc::new(AtomicI64::new(kit.now().after(SWEEP_EVERY).as_millis())),
            kit,
        }
    }

    /// Local users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Login sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// API keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Says whose credential it is; see [`Authenticator::authenticate`].
    ///
    /// # Errors
    /// `Unauthenticated` if it is nobody's.
    pub async fn authenticate(&self, credential: &str, address: Option<IpAddr>) -> Result<Arc<Principal>> {
        self.authenticator.authenticate(credential, address).await
    }

    /// The caller, with all roles or scopes.
    ///
    /// # Errors
    /// `Unauthenticated` for nobody.
    pub async fn me(&self, ctx: &RequestContext) -> Result<Me> {
        self.kit.authorize(ctx, Action::SelfRead, Target::platform("self")).await?;
        let blank = |kind, id: &str| Me {
            kind,
            id: id.to_owned(),
            roles: Vec::new(),
            scopes: None,
            project: None,
            environment: None,
        };
        match &ctx.principal.kind {
            PrincipalKind::User { user, role, .. } => {
                let mut me = blank(CallerKind::User, user.as_str());
                me.roles.extend(role.map(|role| HeldRole { role, project: None }));
                let granted = grants::roles(&self.kit.db, user).await?;
                let granted = granted.into_iter();
                me.roles.extend(
                    granted.map(|(project, role)| HeldRole { role, project: Some(project.to_string()) }),
                );
                Ok(me)
            }
            PrincipalKind::Key { id, project, environment, scopes } => Ok(Me {
                scopes: Some(scopes.iter().map(scope).collect()),
                project: Some(project.to_string()),
                environment: environment.as_ref().map(ToString::to_string),
                ..blank(CallerKind::Key, id)
            }),
            PrincipalKind::Root | PrincipalKind::System => Ok(blank(CallerKind::Root, "root")),
            PrincipalKind::Anonymous => Err(Error::unauthenticated()),
        }
    }

    /// Checks that the caller has anything to do with a project, before others are told so.
    ///
    /// # Errors
    /// `Denied`, whether or not the project exists, and after a record of it.
    pub async fn check_relation(&self, ctx: &RequestContext, project: &ProjectId) -> Result<()> {
        if self.kit.authorizer.relates(&ctx.principal, project).await? {
            return Ok(());
        }
        let target = Target::new(project, "project");
        let reason = "the caller does not belong to this project";
        Err(self.kit.authorizer.refuse(ctx, Action::SelfRead, &target, reason).await)
    }

    /// The public keys that verify access tokens.
    ///
    /// # Errors
    /// `Sealed` while they cannot be read.
    pub async fn jwks(&self) -> Result<Jwks> {
        self.tokens.jwks().await
    }

    /// Replaces the key that signs access tokens. With `at_once`, none that was issued before works
    /// any more, and everybody must refresh.
    ///
    /// # Errors
    /// `Denied` unless the caller may change the system.
    pub async fn rotate_signing_key(&self, ctx: &RequestContext, at_once: bool) -> Result<()> {
        self.kit.authorize(ctx, Action::SystemWrite, Target::platform("signing-key")).await?;
        self.tokens.rotate_now(ctx, at_once).await
    }

    /// Replaces the root credential; the answer is the only place that shows the new one.
    ///
    /// # Errors
    /// `Denied` unless the caller holds the present one.
    pub async fn replace_root(&self, ctx: &RequestContext) -> Result<Sensitive<String>> {
        let target = Target::platform("root");
        let proof = self.kit.authorize(ctx, Action::SystemWrite, target.clone()).await?;
        if ctx.principal.kind != PrincipalKind::Root {
            let reason = "only the root credential replaces itself";
            return Err(self.kit.authorizer.refuse(ctx, Action::SystemWrite, &target, reason).await);
        }
        let (change, text) = self.root_credential(None, self.kit.now()).await?;
        match self.kit.commit(ctx, crate::audit::NewRecord::of(&proof), change).await? {
            Outcome::Committed { .. } => Ok(text),
            Outcome::Conflict { .. } => {
                Err(Error::conflict("too_many_writers", "somebody else has just replaced it"))
            }
        }
    }

    /// The part of the initialisation that makes the root credential, and its text; `chosen` for
    /// throw-away installations. The barrier must be ready.
    pub(crate) async fn root_credential(
        &self,
        chosen: Option<Sensitive<String>>,
        now: Timestamp,
    ) -> Result<(Transaction, Sensitive<String>)> {
        root::replace(&Sealed::of(&self.kit), chosen, now).await
    }

    pub(super) fn kit(&self) -> &Kit {
        &self.kit
    }

    /// What is to be done about once a minute: writes when keys were last used, and now and then
    /// removes sessions that have ended.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn tend(&self) -> Result<()> {
        self.keys.flush_usage().await?;
        let now = self.kit.now().as_millis();
        let due = self.sweep_at.load(Ordering::Relaxed);
        let next = self.kit.now().after(SWEEP_EVERY).as_millis();
        if now >= due
            && self.sweep_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let swept = self.sessions.sweep().await?;
            tracing::debug!(swept, "removed sessions and counts of failed logins that have ended");
        }
        Ok(())
    }
}

fn scope(scope: &KeyScope) -> Scope {
    if scope.environment.is_none() && scope.prefix.is_none() {
        return Scope::Name(scope.name.as_str().to_owned());
    }
    Scope::Narrowed(NarrowedScope {
        scope: scope.name.as_str().to_owned(),
        environment: scope.environment.as_ref().map(ToString::to_string),
        prefix: scope.prefix.as_deref().map(str::to_owned),
    })
}
