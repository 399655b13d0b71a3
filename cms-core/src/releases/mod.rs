// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases and environments: immutable manifests of documents, and the pointers at them that move
//! by compare-and-swap.

pub(crate) mod activate;
mod bundle;
pub(crate) mod canonical;
pub(crate) mod guard;
pub(crate) mod record;
mod signing;

use std::collections::BTreeMap;

use bundle::Archives;
pub use bundle::Bundle;

use crate::api::documents::Kind;
use crate::api::releases::{
    Activate, Activation, CreateRelease, Environment, PutEnvironment, Release, ReleaseChange, ReleaseDiff,
    ReleaseDocument, RollbackEnvironment,
};
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::auth::{Action, Authorized, PrincipalKind, Target};
use crate::context::RequestContext;
use crate::decisions::check_settings;
use crate::documents::record::{SetRecord, decode, encode};
use crate::documents::set::{CURRENT_SET, Member, read_string};
use crate::documents::{Gate, check_message, unified};
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::{EnvironmentId, ProjectId};
use crate::kit::Kit;
use crate::projects::record::{META, ProjectRecord};
use crate::store::{Condition, Outcome, Scope, Transaction};
use activate::{
    Cause, RELEASE_ORDER, ReadEnvironment, Stamp, activation_key, before_of, environment_key, make_release,
    move_pointer, read_environment, release_key,
};
use record::{ActivationRecord, ReleaseRecord};

/// How many environments a project has at most.
pub const MAX_ENVIRONMENTS: usize = 20;
/// How often a change is tried again when others change the environment at the same time.
const ATTEMPTS: usize = 16;

/// The releases and environments of all projects.
#[derive(Debug, Clone)]
pub struct Releases {
    kit: Kit,
    gate: Gate,
    archives: Archives,
}

impl Releases {
    pub(crate) fn new(kit: Kit, gate: Gate) -> Self {
        Self { kit, gate, archives: Archives::new() }
    }

    /// Makes a release of the current documents. The same documents are the same release; the flag
    /// tells whether it is new.
    ///
    /// # Errors
    /// `NotFound` if there is no such project.
    pub async fn create(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        create: CreateRelease,
    ) -> Result<(Release, bool)> {
        check_message(create.message.as_deref())?;
        let proof = self.kit.authorize(ctx, Action::ReleaseCreate, Target::new(project, "release")).await?;
        if let Some(created) = ctx.given()? {
            return Ok(created);
        }
        let scope = self.kit.scope(&proof);
        let stamp = self.stamp(ctx, create.message);
        for _ in 0..ATTEMPTS {
            let entry = scope.fresh(CURRENT_SET).await?;
            let set = match &entry {
                Some(entry) => decode(&entry.key, &entry.value)?,
                None => SetRecord::empty(),
            };
            let (record, is_new, make) = make_release(&scope, &set, &stamp).await?;
            if !is_new {
                return Ok((self.with_documents(&scope, &record).await?, false));
            }
            let make = make.when(Condition::as_read(&scope.key(CURRENT_SET), entry.as_ref()));
            let audited = NewRecord::of(&proof).release(record.id.clone()).reason(stamp.message.clone());
            let created = (self.with_documents(&scope, &record).await?, true);
            ctx.offer(&created)?;
            if let Outcome::Committed { .. } = self.kit.commit(ctx, audited, make).await? {
                return Ok(created);
            }
        }
        Err(too_many_writers())
    }

    /// Lists the releases, newest first, without their documents.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        page: &PageQuery,
    ) -> Result<Page<Release>> {
        let proof = self.kit.authorize(ctx, Action::ReleaseRead, Target::new(project, "release")).await?;
        let scope = self.kit.scope(&proof);
        let after = page.after()?.map(|place| format!("{RELEASE_ORDER}{place}"));
        let found = scope.list(RELEASE_ORDER, after.as_deref(), page.limit()?, true).await?;
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in &found.entries {
            let id: String = decode(&entry.key, &entry.value)?;
            items.push(read_release(&scope, &id).await?.release());
        }
        let last = found.entries.last().filter(|_| found.more);
        Ok(Page::new(items, last.and_then(|last| scope.relative(&last.key).strip_prefix(RELEASE_ORDER))))
    }

    /// Reads a release with its documents.
    ///
    /// # Errors
    /// `NotFound` if there is no such release.
    pub async fn get(&self, ctx: &RequestContext, project: &ProjectId, id: &str) -> Result<Release> {
        let proof = self
            .kit
            .authorize(ctx, Action::ReleaseRead, Target::new(project, "release").named(checked_id(id)?))
            .await?;
        let scope = self.kit.scope(&proof);
        let record = read_release(&scope, id).await?;
        self.with_documents(&scope, &record).await
    }

    /// Compares two releases, document by document.
    ///
    /// # Errors
    /// `Denied` for who may not read the documents; `NotFound` if one of them does not exist.
    pub async fn diff(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        from: &str,
        to: &str,
    ) -> Result<ReleaseDiff> {
        let target = Target::new(project, "release").named(checked_id(from)?);
        checked_id(to)?;
        // The differences are texts: who sees releases as metadata only must not read them here.
        for action in [Action::PolicyRead, Action::DataRead] {
            self.kit.authorize(ctx, action, target.clone()).await?;
        }
        let proof = self.kit.authorize(ctx, Action::ReleaseRead, target).await?;
        let scope = self.kit.scope(&proof);
        let (old, new) = (read_release(&scope, from).await?, read_release(&scope, to).await?);
        let changes = compare_sets(&scope, &old.set, &new.set).await?;
        Ok(ReleaseDiff { from: from.to_owned(), to: to.to_owned(), changes })
    }

    /// Lists the environments of a project, in their order.
    ///
    /// # Errors
    /// `NotFound` if there is no such project; `Invalid` for a cursor that is none.
    pub async fn environments(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        query: &PageQuery,
    ) -> Result<Page<Environment>> {
        let proof =
            self.kit.authorize(ctx, Action::EnvironmentRead, Target::new(project, "environment")).await?;
        let (limit, after) = (query.limit()?, query.after()?);
        let scope = self.kit.scope(&proof);
        let meta = read_project(&scope).await?.1;
        let start = after.and_then(|after| meta.environments.iter().position(|name| **name == *after));
        let rest = meta.environments.iter().skip(start.map_or(0, |at| at + 1));
        let mut environments = Vec::new();
        for name in rest.clone().take(limit) {
            environments.push(wire(&read_environment(&scope, name).await?, &meta));
        }
        let last = environments.last().map(|last| last.name.clone()).filter(|_| rest.count() > limit);
        Ok(Page::new(environments, last.as_deref()))
    }

    /// Reads one environment.
    ///
    /// # Errors
    /// `NotFound` if there is no such environment.
    pub async fn environment(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &EnvironmentId,
    ) -> Result<Environment> {
        let proof = self.authorize(ctx, Action::EnvironmentRead, project, name).await?;
        let scope = self.kit.scope(&proof);
        let read = self.known(&scope, name).await?;
        Ok(wire(&read, &read_project(&scope).await?.1))
    }

    /// Creates an environment or changes its settings; the flag tells whether it is new.
    ///
    /// # Errors
    /// `Unprocessable` for approvals that nobody could give; `Denied` for asking for less of them without
    /// the right to; `TooMany` past the quota; `Stale` if `expected` does not hold.
    pub async fn put_environment(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &EnvironmentId,
        put: PutEnvironment,
        expected: impl Into<Expected>,
    ) -> Result<(Environment, bool)> {
        let expected = expected.into();
        if let Some(approvals) = &put.approvals {
            guard::check_rule(&self.kit, approvals).await?;
        }
        put.decision_log.as_ref().map_or(Ok(()), check_settings)?;
        let proof = self.authorize(ctx, Action::EnvironmentWrite, project, name).await?;
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let (meta_entry, mut meta) = read_project(&scope).await?;
            let mut read = read_environment(&scope, name.as_str()).await?;
            let is_new = !meta.environments.iter().any(|known| known == name.as_str());
            let present = (!is_new).then(|| version_of(&read));
            expected.check(present, &format!("the environment `{name}`"))?;
            if is_new && meta.environments.len() >= MAX_ENVIRONMENTS {
                return Err(Error::new(
                    ErrorKind::TooMany,
                    "quota_exceeded",
                    format!("a project has at most {MAX_ENVIRONMENTS} environments"),
                ));
            }
            let key = scope.key(&environment_key(name.as_str()));
            let mut change = Transaction::new()
                .when(Condition::as_read(&scope.key(META), Some(&meta_entry)))
                .when(Condition::as_read(&key, read.entry.as_ref()));
            if is_new {
                meta.environments.push(name.to_string());
                change = change.put(scope.key(META), encode(&meta)?);
            }
            if let Some(approvals) = &put.approvals {
                if guard::is_less(approvals, &read.record.approvals) {
                    self.authorize(ctx, Action::RequestEmergency, project, name).await?;
                }
                read.record.approvals = approvals.clone();
            }
            read.record.auto_release = put.auto_release.or(read.record.auto_release);
            read.record.decision_log = put.decision_log.or(read.record.decision_log);
            change = change.put(key, encode(&read.record)?);
            if let Outcome::Committed { .. } = self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
                let mut environment = wire(&read, &meta);
                environment.version += 1;
                return Ok((environment, is_new));
            }
        }
        Err(too_many_writers())
    }

    /// Activates a release.
    ///
    /// # Errors
    /// `Conflict` with the code `not_active` if `expected` is not the active release; `NotFound` if
    /// there is no such release or environment.
    pub async fn activate(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &EnvironmentId,
        activate: Activate,
    ) -> Result<Activation> {
        check_message(activate.message.as_deref())?;
        checked_id(&activate.release)?;
        let proof = self.authorize(ctx, Action::EnvironmentActivate, project, name).await?;
        if let Some(activation) = ctx.given()? {
            return Ok(activation);
        }
        let scope = self.kit.scope(&proof);
        let release = read_release(&scope, &activate.release).await?;
        self.gate.check_release(&scope, &release.set, name).await?;
        let stamp = self.stamp(ctx, activate.message);
        for _ in 0..ATTEMPTS {
            let read = self.known(&scope, name).await?;
            if let Some(expected) = &activate.expected
                && read.record.release.as_ref() != Some(expected)
            {
                return Err(not_active(name, expected, read.record.release.as_deref()));
            }
            if matches!(ctx.principal.kind, PrincipalKind::Key { .. } | PrincipalKind::System) {
                guard::check_sticks(&scope, &read, &activate.release).await?;
            }
            let before = before_of(&read.record);
            let moved = move_pointer(&scope, &read, &activate.release, Cause::Activate, before, &stamp)?;
            if let Some(activation) = self.commit_move(ctx, &proof, moved, &stamp).await? {
                return Ok(activation);
            }
        }
        Err(too_many_writers())
    }

    /// Goes back to the release that was active before, or to a named one that was active once.
    ///
    /// # Errors
    /// `Conflict` with the code `no_previous_release` if there is none; `NotFound` if the named one
    /// does not exist.
    pub async fn rollback(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &EnvironmentId,
        back: RollbackEnvironment,
    ) -> Result<Activation> {
        check_message(back.message.as_deref())?;
        let proof = self.authorize(ctx, Action::EnvironmentActivate, project, name).await?;
        if let Some(activation) = ctx.given()? {
            return Ok(activation);
        }
        let scope = self.kit.scope(&proof);
        if let Some(to) = &back.to {
            checked_id(to)?;
            read_release(&scope, to).await?;
        }
        let stamp = self.stamp(ctx, back.message);
        for _ in 0..ATTEMPTS {
            let read = self.known(&scope, name).await?;
            let earlier = earlier_activation(&scope, &read, back.to.as_deref()).await?;
            let (release, before) = match (&earlier, &back.to) {
                (Some(earlier), _) => (earlier.release.clone(), earlier.before),
                (None, Some(to)) => (to.clone(), before_of(&read.record)),
                (None, None) => {
                    return Err(Error::conflict(
                        "no_previous_release",
                        format!("no other release was active in `{name}` before this one"),
                    ));
                }
            };
            if earlier.is_none() && read.record.approvals.quorum() > 0 {
                guard::check_was_active(&scope, &read, &release).await?;
            }
            let moved = move_pointer(&scope, &read, &release, Cause::Rollback, before, &stamp)?;
            if let Some(activation) = self.commit_move(ctx, &proof, moved, &stamp).await? {
                return Ok(activation);
            }
        }
        Err(too_many_writers())
    }

    /// Lists the activations of an environment, newest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such environment.
    pub async fn history(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &EnvironmentId,
        page: &PageQuery,
    ) -> Result<Page<Activation>> {
        let proof = self.authorize(ctx, Action::EnvironmentRead, project, name).await?;
        let scope = self.kit.scope(&proof);
        self.known(&scope, name).await?;
        let prefix = format!("envlog/{name}@");
        let after = page.after()?.map(|version| format!("{prefix}{version}"));
        let found = scope.list(&prefix, after.as_deref(), page.limit()?, true).await?;
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in &found.entries {
            items.push(decode::<ActivationRecord>(&entry.key, &entry.value)?.activation());
        }
        let last =
            items.last().filter(|_| found.more).map(|item: &Activation| format!("{:08}", item.version));
        Ok(Page::new(items, last.as_deref()))
    }

    async fn authorize(
        &self,
        ctx: &RequestContext,
        action: Action,
        project: &ProjectId,
        name: &EnvironmentId,
    ) -> Result<Authorized> {
        let target = Target::new(project, "environment").environment(Some(name)).named(name.as_str());
        self.kit.authorize(ctx, action, target).await
    }

    /// Reads an environment that the project has.
    async fn known(&self, scope: &Scope, name: &EnvironmentId) -> Result<ReadEnvironment> {
        let read = read_environment(scope, name.as_str()).await?;
        if read.entry.is_none() {
            return Err(Error::not_found(format!("environment `{name}`")));
        }
        Ok(read)
    }

    async fn commit_move(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        moved: (ActivationRecord, Transaction),
        stamp: &Stamp,
    ) -> Result<Option<Activation>> {
        let (record, change) = moved;
        let audited = NewRecord::of(proof)
            .release(record.release.clone())
            .version(record.version)
            .reason(stamp.message.clone());
        ctx.offer(&record.activation())?;
        match self.kit.commit(ctx, audited, change).await? {
            Outcome::Committed { .. } => Ok(Some(record.activation())),
            Outcome::Conflict { .. } => Ok(None),
        }
    }

    fn stamp(&self, ctx: &RequestContext, message: Option<String>) -> Stamp {
        Stamp { author: ctx.principal.to_string(), time: self.kit.now(), message }
    }

    async fn with_documents(&self, scope: &Scope, record: &ReleaseRecord) -> Result<Release> {
        let members = record.set.members(scope, None).await?;
        let mut release = record.release();
        release.documents = Some(
            members
                .into_iter()
                .map(|member| ReleaseDocument {
                    kind: member.kind,
                    name: member.name,
                    version: member.version,
                    hash: member.hash,
                })
                .collect(),
        );
        Ok(release)
    }
}

/// The activation to go back to: the newest earlier one of the named release, or else the first on
/// the way back whose release is another than the active one.
async fn earlier_activation(
    scope: &Scope,
    read: &ReadEnvironment,
    to: Option<&str>,
) -> Result<Option<ActivationRecord>> {
    let active = read.record.release.as_deref();
    let mut at = Some(read.record.version);
    let mut first = true;
    while let Some(version) = at.filter(|version| *version > 0) {
        let key = activation_key(&read.name, version);
        let Some(entry) = scope.fresh(&key).await? else { return Ok(None) };
        let record: ActivationRecord = decode(&entry.key, &entry.value)?;
        let wanted = match to {
            Some(to) => record.release == to,
            None => Some(record.release.as_str()) != active,
        };
        if wanted && !first {
            return Ok(Some(record));
        }
        at = record.before.filter(|before| *before < version);
        first = false;
    }
    Ok(None)
}

/// Reads a release of the project.
pub(crate) async fn read_release(scope: &Scope, id: &str) -> Result<ReleaseRecord> {
    match scope.cached(&release_key(id)).await?.entry() {
        Some(entry) => decode(&entry.key, &entry.value),
        None => Err(Error::not_found(format!("release `{id}`"))),
    }
}

/// Reads the project's own record, past the cache.
pub(crate) async fn read_project(scope: &Scope) -> Result<(crate::store::Entry, ProjectRecord)> {
    let entry =
        scope.fresh(META).await?.ok_or_else(|| Error::not_found(format!("project `{}`", scope.project())))?;
    let record = decode(&entry.key, &entry.value)?;
    Ok((entry, record))
}

/// A release's id is 64 hexadecimal digits in lower case; nothing else is looked up.
fn checked_id(id: &str) -> Result<&str> {
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(id);
    }
    let shown: String = id.chars().take(80).flat_map(char::escape_default).collect();
    Err(Error::not_found(format!("release `{shown}`"))
        .with_hint("the id of a release has 64 hexadecimal digits in lower case"))
}

/// How often the environment was written: its pointer moved or its settings changed.
fn version_of(read: &ReadEnvironment) -> u64 {
    read.entry.as_ref().map_or(0, |entry| entry.version)
}

fn wire(read: &ReadEnvironment, project: &ProjectRecord) -> Environment {
    Environment {
        name: read.name.clone(),
        release: read.record.release.clone(),
        activated_at: read.record.activated_at,
        version: version_of(read),
        auto_release: read.record.auto_release.unwrap_or(project.auto_release),
        approvals: read.record.approvals.clone(),
        rolled_back: read.record.rolled_back.clone(),
        decision_log: read.record.decision_log,
    }
}

pub(crate) fn not_active(name: &EnvironmentId, expected: &str, active: Option<&str>) -> Error {
    let active = active.map_or_else(|| "none".to_owned(), |active| format!("`{active}`"));
    Error::conflict(
        "not_active",
        format!("`{expected}` is not the active release of `{name}`: that is {active}"),
    )
}

fn too_many_writers() -> Error {
    Error::conflict("too_many_writers", "others keep changing this at the same time; try again")
}

/// What differs between two sets, document by document.
pub(crate) async fn compare_sets(
    scope: &Scope,
    old: &SetRecord,
    new: &SetRecord,
) -> Result<Vec<ReleaseChange>> {
    let old = by_name(old.members(scope, None).await?);
    let new = by_name(new.members(scope, None).await?);
    let mut changes = Vec::new();
    for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
        if let Some(change) = compare(scope, key, old.get(key), new.get(key)).await? {
            changes.push(change);
        }
    }
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(changes)
}

fn by_name(members: Vec<Member>) -> BTreeMap<(Kind, String), Member> {
    members.into_iter().map(|member| ((member.kind, member.name.clone()), member)).collect()
}

async fn compare(
    scope: &Scope,
    key: &(Kind, String),
    old: Option<&Member>,
    new: Option<&Member>,
) -> Result<Option<ReleaseChange>> {
    let change = match (old, new) {
        (Some(old), Some(new)) if old.hash == new.hash => return Ok(None),
        (Some(_), Some(_)) => "changed",
        (None, _) => "added",
        (Some(_), None) => "removed",
    };
    let text = |member: Option<&Member>| member.map(|member| member.hash.clone());
    let old_text = match text(old) {
        Some(hash) => read_string(scope, &hash).await?,
        None => String::new(),
    };
    let new_text = match text(new) {
        Some(hash) => read_string(scope, &hash).await?,
        None => String::new(),
    };
    let label = |member: Option<&Member>| format!("{}@{}", key.1, member.map_or(0, |member| member.version));
    Ok(Some(ReleaseChange {
        kind: key.0,
        name: key.1.clone(),
        change: change.to_owned(),
        from_version: old.map(|member| member.version),
        to_version: new.map(|member| member.version),
        diff: unified(&old_text, &new_text, &label(old), &label(new)),
    }))
}
