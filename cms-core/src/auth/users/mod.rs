// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Local users: added, changed, removed. Names are one and the same in every case. What a user may
//! do is read on every request, so that a change acts at once. Logging in is in `sessions`.

mod admins;
mod record;
#[cfg(test)]
mod tests;

use crate::api::users::{CreateUser, PatchUser, SetPassword, User};
use crate::api::{Page, PageQuery};
use crate::audit::{AuditOutcome, NewRecord};
use crate::context::RequestContext;
use crate::error::{Error, Place, Result};
use crate::expected::Expected;
use crate::ids::{ProjectId, UserId};
use crate::kit::Kit;
use crate::mails::check_address;
use crate::sensitive::Sensitive;
use crate::store::{Condition, Entry, Outcome, Range, Transaction};

use super::credential::random;
use super::password::{self, Passwords};
use super::sealed::{Fresh, Sealed};
use super::throttle::{self, Attempt};
use super::{Action, Authorized, PrincipalKind, Role, Target, event};

pub(crate) use admins::admins;
pub(crate) use record::{LiveUser, UserRecord};

/// How often a change is tried again when somebody else changes the same user.
const ATTEMPTS: usize = 16;
/// What expectations speak of.
const WHAT: &str = "the user";
/// The longest display name and mail address, in characters.
const MAX_TEXT_CHARS: usize = 256;

/// The users of the installation.
#[derive(Debug, Clone)]
pub struct Users {
    kit: Kit,
    sealed: Sealed,
    passwords: Passwords,
}

/// The store key of a user's record.
pub(crate) fn user_key(user: &UserId) -> String {
    format!("auth/user/{}", user.canonical())
}

impl Users {
    pub(crate) fn new(kit: Kit, passwords: Passwords) -> Self {
        let sealed = Sealed::of(&kit);
        Self { kit, sealed, passwords }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` if the name is taken, in whatever case; `Unprocessable` with places.
    pub async fn create(&self, ctx: &RequestContext, request: CreateUser) -> Result<User> {
        let user = UserId::parse(&request.username)?.canonical();
        let proof = self.authorize(ctx, Action::UserWrite, &user).await?;
        if let Some(created) = ctx.given()? {
            return Ok(created);
        }
        check_role(request.role)?;
        check_text("/display_name", request.display_name.as_deref())?;
        check_email(request.email.as_deref())?;
        let password = Sensitive::new(request.password);
        password::check(&user, &password)?;
        let now = self.kit.now();
        let record = UserRecord {
            v: 1,
            user: user.to_string(),
            uid: data_encoding::HEXLOWER.encode(&random::<16>()?),
            epoch: 0,
            display_name: request.display_name,
            email: request.email,
            role: request.role,
            disabled: false,
            password: self.passwords.hash(&password).await?,
            created_at: now,
            created_by: ctx.principal.to_string(),
            updated_at: now,
        };
        for _ in 0..ATTEMPTS {
            if self.kit.db.fresh(&user_key(&user)).await?.is_some() {
                return Err(Error::conflict("user_exists", format!("there is a user `{user}` already")));
            }
            let change = self.write(&user, None, &record).await?;
            let change =
                change.and(admins::change(&self.kit.db, user.as_str(), false, record.is_admin()).await?);
            ctx.offer(&record.to_wire(1))?;
            if self.commit(ctx, &proof, change).await? {
                return Ok(record.to_wire(1));
            }
        }
        Err(contended())
    }

    /// Lists users by name.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is none.
    pub async fn list(&self, ctx: &RequestContext, query: &PageQuery) -> Result<Page<User>> {
        self.kit.authorize(ctx, Action::UserRead, Target::platform("user")).await?;
        let mut range = Range::prefix("auth/user/").limit(query.limit()?);
        if let Some(after) = query.after()? {
            range = range.after(&format!("auth/user/{after}"));
        }
        let page = self.kit.db.range(range).await?;
        let mut items = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let fresh: Fresh<UserRecord> = self.sealed.open(&ProjectId::platform(), entry).await?;
            items.push(fresh.record.to_wire(fresh.entry.version));
        }
        let last = items.last().map(|user| user.username.clone()).filter(|_| page.more);
        Ok(Page::new(items, last.as_deref()))
    }

    /// Reads one user. Everybody may read themselves.
    ///
    /// # Errors
    /// `NotFound` if there is no such user.
    pub async fn get(&self, ctx: &RequestContext, user: &UserId) -> Result<User> {
        let action = if is_self(ctx, user) { Action::SelfRead } else { Action::UserRead };
        self.authorize(ctx, action, user).await?;
        let fresh = self.read(user).await?;
        Ok(fresh.record.to_wire(fresh.entry.version))
    }

    /// Changes a user. Roles and being disabled act on the next request.
    ///
    /// # Errors
    /// `Conflict` if no `cms-admin` would be left; `Stale` if `expected` is not the version.
    pub async fn patch(
        &self,
        ctx: &RequestContext,
        user: &UserId,
        patch: PatchUser,
        expected: impl Into<Expected>,
    ) -> Result<User> {
        let proof = self.authorize(ctx, Action::UserWrite, user).await?;
        check_role(patch.role.flatten())?;
        check_text("/display_name", patch.display_name.as_ref().and_then(Option::as_deref))?;
        check_email(patch.email.as_ref().and_then(Option::as_deref))?;
        self.change(ctx, &proof, user, &expected.into(), |record| {
            apply(record, &patch);
            Ok(())
        })
        .await
    }

    /// Removes a user, who is refused everywhere within a second, and first the user's roles in
    /// projects: whoever gets the name later must not inherit them.
    ///
    /// # Errors
    /// `Conflict` if no `cms-admin` would be left; `Stale` if `expected` is not the version.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        user: &UserId,
        expected: impl Into<Expected>,
    ) -> Result<()> {
        let expected = expected.into();
        let proof = self.authorize(ctx, Action::UserWrite, user).await?;
        for _ in 0..ATTEMPTS {
            let Fresh { entry, record } = expected.of(self.read(user).await, WHAT)?;
            expected.check(Some(entry.version), WHAT)?;
            admins::change(&self.kit.db, &record.user, record.is_admin(), false).await?;
            self.leave_projects(ctx, &user.canonical()).await?;
            let change = Transaction::new()
                .when(Condition::as_read(&entry.key, Some(&entry)))
                .delete(entry.key.clone())
                .and(admins::change(&self.kit.db, &record.user, record.is_admin(), false).await?);
            if self.commit(ctx, &proof, change).await? {
                // A role that was given at the same moment; from here on nobody can give one.
                return self.leave_projects(ctx, &user.canonical()).await;
            }
        }
        Err(contended())
    }

    /// Sets a password and ends every session of the user. Who changes their own must know it.
    ///
    /// # Errors
    /// `Unprocessable` if the new one is not acceptable; `Denied` if the present one is wrong.
    pub async fn set_password(
        &self,
        ctx: &RequestContext,
        user: &UserId,
        request: SetPassword,
        expected: impl Into<Expected>,
    ) -> Result<()> {
        let own = is_self(ctx, user);
        let action = if own { Action::SelfWrite } else { Action::UserWrite };
        let proof = self.authorize(ctx, action, user).await?;
        let password = Sensitive::new(request.password);
        password::check(user, &password)?;
        if own {
            self.check_current(ctx, &proof, user, request.current_password.map(Sensitive::new)).await?;
        }
        let hash = self.passwords.hash(&password).await?;
        self.change(ctx, &proof, user, &expected.into(), |record| {
            record.password.clone_from(&hash);
            record.epoch += 1;
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Removes a user's roles in projects, each in a transaction of its own project.
    async fn leave_projects(&self, ctx: &RequestContext, user: &UserId) -> Result<()> {
        let grants = super::grants::of(&self.kit.db, user).await?;
        for (project, entry) in grants {
            let target = Target::new(&project, "member").named(user.as_str());
            let change = Transaction::new()
                .when(Condition::as_read(&entry.key, Some(&entry)))
                .delete(entry.key.clone())
                .delete(format!("p/{project}/member/{user}"));
            self.kit.commit(ctx, event("member:write", target), change).await?;
        }
        Ok(())
    }

    async fn check_current(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        user: &UserId,
        current: Option<Sensitive<String>>,
    ) -> Result<()> {
        let Some(current) = current else {
            let text = "`current_password` is needed to change one's own password";
            return Err(Error::unprocessable("current_password_needed", text));
        };
        let attempt = Attempt::new(Some(user), ctx.address);
        let turn = self.passwords.queue()?.turn().await?;
        throttle::check(&self.kit.db, &attempt, self.kit.now()).await?;
        let hash = self.read(user).await?.record.password.clone();
        if turn.verify(&current, Some(&hash)).await? {
            return Ok(());
        }
        throttle::fail(&self.kit.db, &attempt, self.kit.now()).await?;
        let reason = "the current password is wrong";
        let record = NewRecord::of(proof).outcome(AuditOutcome::Denied).reason(Some(reason.to_owned()));
        self.kit.audit.access(ctx, record).await?;
        Err(Error::denied(reason))
    }

    /// Applies a change to a user's record, again if somebody else was faster.
    async fn change(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        user: &UserId,
        expected: &Expected,
        apply: impl Fn(&mut UserRecord) -> Result<()>,
    ) -> Result<User> {
        for _ in 0..ATTEMPTS {
            let Fresh { entry, mut record } = expected.of(self.read(user).await, WHAT)?;
            expected.check(Some(entry.version), WHAT)?;
            let was_admin = record.is_admin();
            apply(&mut record)?;
            record.updated_at = self.kit.now();
            let change = self.write(user, Some(&entry), &record).await?;
            let admins = admins::change(&self.kit.db, &record.user, was_admin, record.is_admin()).await?;
            if self.commit(ctx, proof, change.and(admins)).await? {
                return Ok(record.to_wire(entry.version + 1));
            }
        }
        Err(contended())
    }

    async fn authorize(&self, ctx: &RequestContext, action: Action, user: &UserId) -> Result<Authorized> {
        let target = Target::platform("user").named(user.canonical().as_str());
        self.kit.authorize(ctx, action, target).await
    }

    async fn read(&self, user: &UserId) -> Result<Fresh<UserRecord>> {
        let found = self.sealed.fresh(&ProjectId::platform(), &user_key(user)).await?;
        found.ok_or_else(|| Error::not_found(format!("the user `{}`", user.canonical())))
    }

    async fn write(&self, user: &UserId, read: Option<&Entry>, record: &UserRecord) -> Result<Transaction> {
        self.sealed.write(&ProjectId::platform(), &user_key(user), read, record).await
    }

    async fn commit(&self, ctx: &RequestContext, proof: &Authorized, change: Transaction) -> Result<bool> {
        let outcome = self.kit.commit(ctx, NewRecord::of(proof), change).await?;
        Ok(matches!(outcome, Outcome::Committed { .. }))
    }
}

fn apply(record: &mut UserRecord, patch: &PatchUser) {
    if let Some(name) = &patch.display_name {
        record.display_name.clone_from(name);
    }
    if let Some(email) = &patch.email {
        record.email.clone_from(email);
    }
    if let Some(role) = patch.role {
        record.role = role;
    }
    if let Some(disabled) = patch.disabled {
        // Who is let in again must log in again.
        record.epoch += u64::from(disabled && !record.disabled);
        record.disabled = disabled;
    }
}

/// Whether the caller is the user in question.
fn is_self(ctx: &RequestContext, user: &UserId) -> bool {
    matches!(&ctx.principal.kind, PrincipalKind::User { user: caller, .. } if *caller == user.canonical())
}

fn check_role(role: Option<Role>) -> Result<()> {
    match role {
        Some(role) if !role.is_global() => {
            let text = format!(
                "`{}` holds within a project only; give it with `PUT /projects/{{project}}/members/{{user}}`",
                role.as_str()
            );
            let place = Place { path: Some("/role".to_owned()), message: text.clone(), ..Place::default() };
            Err(Error::unprocessable("role_not_global", text).with_places(vec![place]))
        }
        _ => Ok(()),
    }
}

fn check_text(path: &str, text: Option<&str>) -> Result<()> {
    let fits = |text: &str| text.chars().count() <= MAX_TEXT_CHARS && !text.chars().any(char::is_control);
    if text.is_none_or(fits) {
        return Ok(());
    }
    let message = format!("at most {MAX_TEXT_CHARS} characters are allowed, none of them a control");
    let place = Place { path: Some(path.to_owned()), message: message.clone(), ..Place::default() };
    Err(Error::unprocessable("invalid_user", message).with_places(vec![place]))
}

fn check_email(email: Option<&str>) -> Result<()> {
    email.map_or(Ok(()), |email| check_address("/email", email))
}

fn contended() -> Error {
    Error::conflict("too_many_writers", "others keep changing this; try again")
}
