// SPDX-License-Identifier: Apache-2.0 OR MIT
//! API keys of projects: made, listed, rotated under a stable id, revoked. Who presents one is let
//! in by `auth::authenticate`; what it may do is the authorizer's.

mod record;
mod request;
#[cfg(test)]
mod tests;
mod usage;

use crate::api::keys::{CreateKey, CreatedKey, Key, KeyState, RotateKey};
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::sensitive::Sensitive;
use crate::store::{Condition, Entry, Outcome, Range, Transaction};

use super::credential::{self, Digest};
use super::sealed::{Fresh, Sealed};
use super::{Action, Authorized, Target};
use record::{PreviousSecret, ScopeRecord, UseRecord};

pub(crate) use record::{KeyRecord, LiveKey};
pub(crate) use request::NewKey;
pub(crate) use usage::Usage;

/// How many keys a project holds, those that were revoked or have expired included.
pub const MAX_KEYS: usize = 1_000;
/// How many scopes a key has at most.
pub const MAX_SCOPES: usize = 64;
/// How many addresses and networks a key has at most.
pub const MAX_ADDRESSES: usize = 64;
/// For how long two secrets of a key may work side by side: 30 days.
pub const MAX_OVERLAP_SECONDS: u64 = 30 * 24 * 60 * 60;
/// How many entries of the index one transaction removes.
const INDEX_CHUNK: usize = 200;
/// How often a change is tried again when somebody else changes the same key.
const ATTEMPTS: usize = 16;
/// What expectations speak of.
const WHAT: &str = "the key";

/// The API keys of all projects.
#[derive(Debug, Clone)]
pub struct Keys {
    kit: Kit,
    sealed: Sealed,
    usage: Usage,
}

/// The full store key of a key's record.
pub(crate) fn record_key(project: &ProjectId, id: &str) -> String {
    format!("p/{project}/key/{id}")
}

/// The full store key of the note when a key was last used.
pub(crate) fn use_key(project: &ProjectId, id: &str) -> String {
    format!("p/{project}/keyuse/{id}")
}

/// The store key that tells which project a key belongs to.
pub(crate) fn index_key(id: &str) -> String {
    ["auth/key/", id].concat()
}

impl Keys {
    pub(crate) fn new(kit: Kit, usage: Usage) -> Self {
        let sealed = Sealed::of(&kit);
        Self { kit, sealed, usage }
    }

    /// Makes a key. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// `Unprocessable` with places for what is wrong; `Denied` for a scope that the caller does not
    /// have; `TooMany` past the quota.
    pub async fn create(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        request: CreateKey,
    ) -> Result<CreatedKey> {
        let target = Target::new(project, "key");
        let proof = self.kit.authorize(ctx, Action::KeyWrite, target.clone()).await?;
        if let Some(created) = ctx.given()? {
            return Ok(created);
        }
        let new = NewKey::parse(request, ctx.principal.to_string(), self.kit.now())?;
        self.check_environment(project, &new).await?;
        for scope in &new.scopes {
            self.kit.authorizer.check_grant(ctx, &target, scope, new.environment.as_ref()).await?;
        }
        for _ in 0..ATTEMPTS {
            let room = self.make_room(project).await?;
            let (change, created) = self.mint(project, new.clone()).await?;
            ctx.offer(&created)?;
            if self.try_commit(ctx, &proof, &created.about.id, room.and(change)).await? {
                return Ok(created);
            }
        }
        Err(contended())
    }

    /// The part of a transaction that makes a key, and the answer that shows it once.
    pub(crate) async fn mint(&self, project: &ProjectId, new: NewKey) -> Result<(Transaction, CreatedKey)> {
        let id = credential::new_key_id()?;
        let text = credential::new_key(&id)?;
        let record = KeyRecord {
            v: 1,
            id: id.clone(),
            project: project.to_string(),
            name: new.name,
            scopes: new.scopes.iter().map(ScopeRecord::from).collect(),
            environment: new.environment.map(|environment| environment.to_string()),
            allowed_ips: new.allowed_ips,
            digest: Digest::of(text.expose()).to_text(),
            previous: None,
            created_at: self.kit.now(),
            created_by: new.created_by,
            expires_at: new.expires_at,
            rotated_at: None,
            revoked_at: None,
        };
        let index = index_key(&id);
        let change = self.write(project, None, &record).await?;
        let change = change.when(Condition::Absent(index.clone())).put(index, project.to_string());
        Ok((change, shown(&text, &record, 1, self.kit.clock.now())))
    }

    /// Lists the keys of a project, without their secrets.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is none.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        query: &PageQuery,
    ) -> Result<Page<Key>> {
        let proof = self.kit.authorize(ctx, Action::KeyRead, Target::new(project, "key")).await?;
        let after = query.after()?.map(|id| format!("key/{id}"));
        let page = self.kit.scope(&proof).list("key/", after.as_deref(), query.limit()?, false).await?;
        let mut items = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let fresh = self.open(entry).await?;
            items.push(self.about(project, &fresh).await?);
        }
        let last = items.last().map(|key| key.id.clone()).filter(|_| page.more);
        Ok(Page::new(items, last.as_deref()))
    }

    /// Reads one key, without its secret.
    ///
    /// # Errors
    /// `NotFound` if the project has no such key.
    pub async fn get(&self, ctx: &RequestContext, project: &ProjectId, id: &str) -> Result<Key> {
        let target = Target::new(project, "key").named(shown_id(id));
        self.kit.authorize(ctx, Action::KeyRead, target).await?;
        let fresh = self.read(project, id).await?;
        self.about(project, &fresh).await
    }

    /// Puts a new secret under the same id; the old one works until the overlap ends.
    ///
    /// # Errors
    /// `NotFound` if there is no such key; `Conflict` if it no longer works; `Stale` if `expected`
    /// is not its version.
    pub async fn rotate(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        request: RotateKey,
        expected: impl Into<Expected>,
    ) -> Result<CreatedKey> {
        let expected = expected.into();
        let target = Target::new(project, "key").named(shown_id(id));
        let proof = self.kit.authorize(ctx, Action::KeyWrite, target).await?;
        if let Some(rotated) = ctx.given()? {
            return Ok(rotated);
        }
        let overlap = request.overlap_seconds.unwrap_or(0);
        if overlap > MAX_OVERLAP_SECONDS {
            let text = format!("`overlap_seconds` is {overlap}, but must be 0 to {MAX_OVERLAP_SECONDS}");
            return Err(Error::unprocessable("overlap_too_long", text));
        }
        for _ in 0..ATTEMPTS {
            let Fresh { entry, mut record } = expected.of(self.read(project, id).await, WHAT)?;
            expected.check(Some(entry.version), WHAT)?;
            let now = self.kit.now();
            if record.state(now) != KeyState::Active {
                return Err(Error::conflict(
                    "key_not_active",
                    format!("the key `{id}` no longer works; create another"),
                ));
            }
            let text = credential::new_key(id)?;
            let old = std::mem::replace(&mut record.digest, Digest::of(text.expose()).to_text());
            let until = now.after(std::time::Duration::from_secs(overlap));
            record.previous = (overlap > 0).then_some(PreviousSecret { digest: old, until });
            record.rotated_at = Some(now);
            let change = self.write(project, Some(&entry), &record).await?;
            let rotated = shown(&text, &record, entry.version + 1, now);
            ctx.offer(&rotated)?;
            if self.try_commit(ctx, &proof, id, change).await? {
                return Ok(rotated);
            }
        }
        Err(contended())
    }

    /// Revokes a key: it is refused everywhere within a second, and stays listed.
    ///
    /// # Errors
    /// `NotFound` if there is no such key; `Stale` if `expected` is not its version.
    pub async fn revoke(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        expected: impl Into<Expected>,
    ) -> Result<()> {
        let expected = expected.into();
        let target = Target::new(project, "key").named(shown_id(id));
        let proof = self.kit.authorize(ctx, Action::KeyWrite, target).await?;
        for _ in 0..ATTEMPTS {
            let Fresh { entry, mut record } = expected.of(self.read(project, id).await, WHAT)?;
            expected.check(Some(entry.version), WHAT)?;
            if record.revoked_at.is_some() {
                return Ok(());
            }
            record.revoked_at = Some(self.kit.now());
            record.digest.clear();
            record.previous = None;
            let change = self.write(project, Some(&entry), &record).await?;
            if self.try_commit(ctx, &proof, id, change).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// What removes a project's keys from the index when the project goes, and how many of them
    /// still worked. The first transaction belongs into that of the offboarding, which removes the
    /// records with the project's prefix; the others tidy up behind it.
    pub(crate) async fn offboard(&self, project: &ProjectId) -> Result<(Vec<Transaction>, u64)> {
        let (mut changes, mut active) = (Vec::new(), 0);
        for entries in self.entries(project).await?.chunks(INDEX_CHUNK) {
            let mut change = Transaction::new();
            for entry in entries {
                let fresh = self.open(entry.clone()).await?;
                active += u64::from(fresh.record.state(self.kit.now()) == KeyState::Active);
                change = change.delete(index_key(&fresh.record.id));
            }
            changes.push(change);
        }
        Ok((changes, active))
    }

    /// Writes when keys were last used; to be called about once a minute.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn flush_usage(&self) -> Result<()> {
        self.usage.flush(&self.kit.db).await
    }

    /// An environment that does not exist yet is more likely a typo than a plan.
    async fn check_environment(&self, project: &ProjectId, new: &NewKey) -> Result<()> {
        let narrowed = new.scopes.iter().filter_map(|scope| scope.environment.as_ref());
        for environment in new.environment.iter().chain(narrowed) {
            if self.kit.db.cached(&format!("p/{project}/env/{environment}")).await?.entry().is_none() {
                let text = format!("project `{project}` has no environment `{environment}`");
                return Err(Error::unprocessable("unknown_environment", text));
            }
        }
        Ok(())
    }

    /// Sees to it that one more key fits: a full project loses its oldest key that works no more.
    async fn make_room(&self, project: &ProjectId) -> Result<Transaction> {
        let entries = self.entries(project).await?;
        if entries.len() < MAX_KEYS {
            return Ok(Transaction::new());
        }
        let mut oldest: Option<Fresh<KeyRecord>> = None;
        for entry in entries {
            let fresh = self.open(entry).await?;
            let ended = fresh.record.state(self.kit.now()) != KeyState::Active;
            if ended && oldest.as_ref().is_none_or(|old| fresh.record.created_at < old.record.created_at) {
                oldest = Some(fresh);
            }
        }
        let Some(Fresh { entry, record }) = oldest else {
            let text =
                format!("project `{project}` has {MAX_KEYS} keys that work, its limit; revoke one first");
            return Err(Error::new(ErrorKind::TooMany, "quota_exceeded", text));
        };
        Ok(Transaction::new()
            .when(Condition::as_read(&entry.key, Some(&entry)))
            .delete(entry.key)
            .delete(index_key(&record.id))
            .delete(use_key(project, &record.id)))
    }

    async fn entries(&self, project: &ProjectId) -> Result<Vec<Entry>> {
        // A margin, since two creations at the same moment may both have found room.
        let range = Range::prefix(&record_key(project, "")).limit(MAX_KEYS + 200);
        Ok(self.kit.db.range(range).await?.entries)
    }

    async fn read(&self, project: &ProjectId, id: &str) -> Result<Fresh<KeyRecord>> {
        let found = if credential::is_key_id(id) {
            self.sealed.fresh(&ProjectId::platform(), &record_key(project, id)).await?
        } else {
            None
        };
        found.ok_or_else(|| Error::not_found(format!("the key `{}` of project `{project}`", shown_id(id))))
    }

    async fn open(&self, entry: Entry) -> Result<Fresh<KeyRecord>> {
        self.sealed.open(&ProjectId::platform(), entry).await
    }

    async fn write(
        &self,
        project: &ProjectId,
        read: Option<&Entry>,
        record: &KeyRecord,
    ) -> Result<Transaction> {
        self.sealed.write(&ProjectId::platform(), &record_key(project, &record.id), read, record).await
    }

    async fn about(&self, project: &ProjectId, fresh: &Fresh<KeyRecord>) -> Result<Key> {
        let used = self.kit.db.cached(&use_key(project, &fresh.record.id)).await?;
        let used =
            used.parsed(|entry| serde_json::from_slice::<UseRecord>(&entry.value).map_err(Error::internal))?;
        Ok(fresh.record.to_wire(fresh.entry.version, used.map(|used| used.at), self.kit.now()))
    }

    async fn try_commit(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        id: &str,
        change: Transaction,
    ) -> Result<bool> {
        let mut record = NewRecord::of(proof);
        record.resource = Target::new(proof.project(), "key").named(id).to_string();
        Ok(matches!(self.kit.commit(ctx, record, change).await?, Outcome::Committed { .. }))
    }
}

fn shown(
    text: &Sensitive<String>,
    record: &KeyRecord,
    version: u64,
    now: crate::clock::Timestamp,
) -> CreatedKey {
    CreatedKey { key: text.expose().clone(), about: record.to_wire(version, None, now) }
}

/// An id as it may be quoted: what comes from a path may be anything.
fn shown_id(id: &str) -> String {
    id.chars().take(40).flat_map(char::escape_default).collect()
}

fn contended() -> Error {
    Error::conflict("too_many_writers", "others keep changing this; try again")
}
