// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Projects: the tenants. Onboarding is one transaction, and so is offboarding.

mod members;
mod onboard;
pub(crate) mod record;

pub use members::Members;
pub(crate) use members::user_exists;
pub(crate) use onboard::platform_project;

use crate::api::projects::{CreateProject, OffboardedProject, OnboardedProject, PatchProject, Project};
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::auth::{Action, Authorized, Keys, PrincipalKind, Target};
use crate::context::RequestContext;
use crate::documents::record::{SetRecord, decode, encode};
use crate::documents::set::CURRENT_SET;
use crate::error::{Error, Result};
use crate::expected::Expected;
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::releases::read_project;
use crate::secrets::material;
use crate::store::{Condition, Outcome, Range, Scope, Transaction};
use record::{META, OffboardedRecord, ProjectRecord, grant_key};

/// How many projects an installation holds at most.
pub const MAX_PROJECTS: usize = 100_000;
/// How many members a project has at most.
pub const MAX_MEMBERS: usize = 1_000;
/// How many look-ups one transaction removes.
const TIDYING: usize = 200;
/// How often a change is tried again when others change the project at the same time.
const ATTEMPTS: usize = 16;

/// All projects.
#[derive(Debug, Clone)]
pub struct Projects {
    kit: Kit,
    keys: Keys,
}

impl Projects {
    pub(crate) fn new(kit: Kit, keys: Keys) -> Self {
        Self { kit, keys }
    }

    /// Onboards a project: its record, environments, default policies, members, first key and first
    /// release, all or nothing.
    ///
    /// # Errors
    /// `Conflict` if the id is or was in use; `Unprocessable` with places for members, environments
    /// or templates that cannot be.
    pub async fn create(&self, ctx: &RequestContext, create: CreateProject) -> Result<OnboardedProject> {
        let project = ProjectId::parse(&create.id)?;
        let proof = self.kit.authorize(ctx, Action::ProjectCreate, Target::new(&project, "project")).await?;
        if let Some(onboarded) = ctx.given()? {
            return Ok(onboarded);
        }
        onboard::onboard(&self.kit, &self.keys, ctx, &proof, create).await
    }

    /// Lists the projects that the caller may see.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be.
    pub async fn list(&self, ctx: &RequestContext, page: &PageQuery) -> Result<Page<Project>> {
        let (limit, mut after) = (page.limit()?, page.after()?);
        let mut items: Vec<Project> = Vec::new();
        loop {
            let (ids, more) = self.candidates(ctx, after.as_deref()).await?;
            for id in ids {
                after = Some(id.to_string());
                let Some(project) = self.visible(ctx, &id).await? else { continue };
                if items.len() == limit {
                    let last = items.last().map(|item| item.id.clone());
                    return Ok(Page::new(items, last.as_deref()));
                }
                items.push(project);
            }
            if !more {
                return Ok(Page::new(items, None));
            }
        }
    }

    /// Reads a project.
    ///
    /// # Errors
    /// `NotFound` if there is no such project, or none for the caller.
    pub async fn get(&self, ctx: &RequestContext, project: &ProjectId) -> Result<Project> {
        let proof = self.kit.authorize(ctx, Action::ProjectRead, Target::new(project, "project")).await?;
        let (entry, record) = read_project(&self.kit.scope(&proof)).await?;
        Ok(record.project(entry.version))
    }

    /// Changes a project's settings.
    ///
    /// # Errors
    /// `Stale` if `expected` does not hold.
    pub async fn patch(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        patch: PatchProject,
        expected: Expected,
    ) -> Result<Project> {
        let proof = self.kit.authorize(ctx, Action::ProjectWrite, Target::new(project, "project")).await?;
        let scope = self.kit.scope(&proof);
        let description = patch.description.as_ref().and_then(Option::as_deref);
        onboard::check_texts(patch.name.as_deref(), description)?;
        for _ in 0..ATTEMPTS {
            let (entry, mut record) = read_project(&scope).await?;
            expected.check(Some(entry.version), &format!("project `{project}`"))?;
            record.name = patch.name.clone().unwrap_or(record.name);
            record.description = patch.description.clone().unwrap_or(record.description);
            record.auto_release = patch.auto_release.unwrap_or(record.auto_release);
            let key = scope.key(META);
            let change =
                Transaction::new().when(Condition::as_read(&key, Some(&entry))).put(key, encode(&record)?);
            if let Outcome::Committed { .. } = self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
                return Ok(record.project(entry.version + 1));
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing this project; try again"))
    }

    /// Offboards a project: revokes its keys, removes its members and documents, destroys its data
    /// key, so that nothing sealed with it can ever be read again. The audit trail stays.
    ///
    /// # Errors
    /// `Denied` for the project `platform`; `NotFound` if there is no such project; `Stale` if
    /// `expected` does not hold.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        expected: impl Into<Expected>,
    ) -> Result<OffboardedProject> {
        let expected = expected.into();
        let proof = self.kit.authorize(ctx, Action::ProjectDelete, Target::new(project, "project")).await?;
        if project.is_platform() {
            return Err(Error::conflict("reserved_project", "the project `platform` cannot be offboarded"));
        }
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let (report, change, tidying) = self.offboarding(ctx, &proof, &scope, &expected).await?;
            if let Outcome::Committed { .. } = self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
                // What is left are look-ups that lead nowhere any more.
                for change in tidying {
                    self.kit.db.commit(change).await?;
                }
                return Ok(report);
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing this project; try again"))
    }

    /// The report, the change that offboards, and what tidies up behind it.
    async fn offboarding(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        scope: &Scope,
        expected: &Expected,
    ) -> Result<(OffboardedProject, Transaction, Vec<Transaction>)> {
        let project = proof.project();
        let (entry, _) = read_project(scope).await?;
        expected.check(Some(entry.version), &format!("project `{project}`"))?;
        let (mut tidying, keys_revoked) = self.keys.offboard(project).await?;
        let members = self.names(scope, "member/").await?;
        let secrets = self.names(scope, "sec/").await?;
        let documents = match scope.fresh(CURRENT_SET).await? {
            Some(entry) => decode::<SetRecord>(&entry.key, &entry.value)?.len(),
            None => 0,
        };
        let gone = OffboardedRecord { v: 1, time: self.kit.now(), author: ctx.principal.to_string() };
        let change = Transaction::new()
            .when(Condition::as_read(&scope.key(META), Some(&entry)))
            .put(format!("sys/offboarded/{project}"), encode(&gone)?)
            .delete_prefix(scope.key(""))
            .erasing(scope.key(""))
            .and(self.kit.barrier.destroy_project_key(project))
            .and(material::offboarded(&self.kit, project)?);
        for users in members.chunks(TIDYING) {
            let grants = users.iter().map(|user| grant_key(user, project.as_str()));
            tidying.push(grants.fold(Transaction::new(), Transaction::delete));
        }
        let report = OffboardedProject {
            project: project.to_string(),
            keys_revoked,
            members_removed: members.len() as u64,
            secrets_destroyed: secrets.len() as u64,
            documents_removed: documents,
            data_key_destroyed: true,
        };
        Ok((report, change, tidying))
    }

    /// Every name under a relative prefix.
    async fn names(&self, scope: &Scope, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = scope.list(prefix, after.as_deref(), 1_000, false).await?;
            for entry in &page.entries {
                let relative = scope.relative(&entry.key);
                names.push(relative.strip_prefix(prefix).unwrap_or(relative).to_owned());
                after = Some(relative.to_owned());
            }
            if !page.more {
                return Ok(names);
            }
        }
    }

    /// Ids that the caller may be able to see, behind `after`; the flag tells whether there are more.
    async fn candidates(&self, ctx: &RequestContext, after: Option<&str>) -> Result<(Vec<ProjectId>, bool)> {
        let (prefix, tail) = match &ctx.principal.kind {
            PrincipalKind::Key { project, .. } => {
                let only = after.is_none().then(|| project.clone());
                return Ok((only.into_iter().collect(), false));
            }
            PrincipalKind::User { role: None, user, .. } => (format!("auth/grant/{user}/"), ""),
            _ => (String::from("keys/"), ""),
        };
        let mut range = Range::prefix(&prefix).limit(500);
        if let Some(after) = after {
            range = range.after(&format!("{prefix}{after}{tail}"));
        }
        let page = self.kit.db.range(range).await?;
        let ids = page
            .entries
            .iter()
            .filter_map(|entry| ProjectId::parse(entry.key.strip_prefix(&prefix)?).ok())
            .collect();
        Ok((ids, page.more))
    }

    /// The project, if it exists and the caller may read it. A refusal here is no event: the caller
    /// did not ask for this project by name.
    async fn visible(&self, ctx: &RequestContext, id: &ProjectId) -> Result<Option<Project>> {
        let target = Target::new(id, "project");
        if !self.kit.authorizer.permits(&ctx.principal, Action::ProjectRead, &target).await? {
            return Ok(None);
        }
        match self.kit.db.internal(id).cached(META).await?.entry() {
            Some(entry) => {
                Ok(Some(decode::<ProjectRecord>(&entry.key, &entry.value)?.project(entry.version)))
            }
            None => Ok(None),
        }
    }
}
