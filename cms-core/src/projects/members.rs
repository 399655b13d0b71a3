// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Members: which user has which role in a project. A change acts on the next request.

use super::onboard::grant;
use super::record::{META, MemberRecord, grant_key};
use super::{ATTEMPTS, MAX_MEMBERS};
use crate::api::projects::{Member, PutMember};
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::documents::record::decode;
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::{ProjectId, UserId};
use crate::kit::Kit;
use crate::releases::activate::Stamp;
use crate::store::{Condition, Outcome, Transaction};

/// The members of all projects.
#[derive(Debug, Clone)]
pub struct Members {
    kit: Kit,
}

impl Members {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit }
    }

    /// Lists the members of a project by name.
    ///
    /// # Errors
    /// `NotFound` if there is no such project.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        page: &PageQuery,
    ) -> Result<Page<Member>> {
        let proof = self.kit.authorize(ctx, Action::MemberRead, Target::new(project, "member")).await?;
        let scope = self.kit.scope(&proof);
        let after = page.after()?.map(|user| format!("member/{user}"));
        let found = scope.list("member/", after.as_deref(), page.limit()?, false).await?;
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in &found.entries {
            let record: MemberRecord = decode(&entry.key, &entry.value)?;
            let user = scope.relative(&entry.key).strip_prefix("member/").unwrap_or_default().to_owned();
            items.push(Member { user, role: record.role });
        }
        let last = items.last().filter(|_| found.more).map(|item: &Member| item.user.clone());
        Ok(Page::new(items, last.as_deref()))
    }

    /// Gives a user a role in the project, or changes it; the flag tells whether the member is new.
    ///
    /// # Errors
    /// `Unprocessable` if the user does not exist or the role is none of a project; `Stale` if
    /// `expected` does not hold.
    pub async fn put(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        user: &UserId,
        put: PutMember,
        expected: impl Into<Expected>,
    ) -> Result<(Member, bool)> {
        let expected = expected.into();
        let user = user.canonical();
        let proof = self
            .kit
            .authorize(ctx, Action::MemberWrite, Target::new(project, "member").named(user.as_str()))
            .await?;
        let scope = self.kit.scope(&proof);
        if !put.role.is_project() {
            return Err(Error::unprocessable(
                "invalid_role",
                format!("`{}` is no role within a project", put.role.as_str()),
            ));
        }
        if !user_exists(&self.kit, &user).await? {
            return Err(Error::unprocessable(
                "unknown_user",
                format!("the user `{user}` does not exist; create it first"),
            ));
        }
        let member = Member { user: user.to_string(), role: put.role };
        let stamp = Stamp { author: ctx.principal.to_string(), time: self.kit.now(), message: None };
        let present = scope.fresh(&format!("member/{user}")).await?;
        let is_new = present.is_none();
        expected.check(present.as_ref().map(|entry| entry.version), &format!("member `{user}`"))?;
        if is_new && scope.list("member/", None, MAX_MEMBERS, false).await?.entries.len() >= MAX_MEMBERS {
            return Err(Error::new(
                ErrorKind::TooMany,
                "quota_exceeded",
                format!("a project has at most {MAX_MEMBERS} members"),
            ));
        }
        let mut change = Transaction::new();
        if expected != Expected::Any {
            // Without a wish no version is compared: the last role that was set is the one that holds.
            change = change.when(Condition::as_read(&scope.key(&format!("member/{user}")), present.as_ref()));
        }
        let change = change
            .when(Condition::Present(scope.key(META)))
            .when(Condition::Present(user_key(&user)))
            .and(grant(&scope, project, &user, &member, &stamp)?);
        match self
            .kit
            .commit(ctx, NewRecord::of(&proof).reason(Some(put.role.as_str().to_owned())), change)
            .await?
        {
            Outcome::Committed { .. } => Ok((member, is_new)),
            Outcome::Conflict { failed } if expected != Expected::Any && failed.contains(&0) => {
                Err(Error::stale(format!("member `{user}` has changed meanwhile")))
            }
            Outcome::Conflict { .. } => {
                Err(Error::not_found(format!("project `{project}` or user `{user}`")))
            }
        }
    }

    /// Takes a user's role in the project away.
    ///
    /// # Errors
    /// `NotFound` if the user is no member; `Stale` if `expected` does not hold.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        user: &UserId,
        expected: impl Into<Expected>,
    ) -> Result<()> {
        let (user, expected) = (user.canonical(), expected.into());
        let proof = self
            .kit
            .authorize(ctx, Action::MemberWrite, Target::new(project, "member").named(user.as_str()))
            .await?;
        let scope = self.kit.scope(&proof);
        let (name, what) = (format!("member/{user}"), format!("member `{user}`"));
        for _ in 0..ATTEMPTS {
            let present = scope.fresh(&name).await?;
            expected.check(present.as_ref().map(|entry| entry.version), &what)?;
            let present = present.ok_or_else(|| Error::not_found(what.clone()))?;
            let change = Transaction::new()
                .when(Condition::as_read(&present.key, Some(&present)))
                .delete(present.key.clone())
                .delete(grant_key(user.as_str(), project.as_str()));
            if let Outcome::Committed { .. } = self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
                return Ok(());
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing this member; try again"))
    }
}

fn user_key(user: &UserId) -> String {
    format!("auth/user/{user}")
}

/// Tells whether a local user of this name exists.
pub(crate) async fn user_exists(kit: &Kit, user: &UserId) -> Result<bool> {
    Ok(kit.db.fresh(&user_key(user)).await?.is_some())
}
