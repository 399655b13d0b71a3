// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one way in which a document changes: validate, version, update the set, release where the
//! project asks for it, all in one commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::draft::Based;
use super::gate::{Gate, Passed};
use super::live::{Aim, Live};
use super::record::{BucketEntry, SetRecord, VersionRecord, decode, encode};
use super::release::{Releasing, Step};
use super::set::{CURRENT_SET, blob_key, hash};
use super::{
    MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_MESSAGE_CHARS, MAX_VERSIONS, Written, head_key, not_found,
    version_key, write_action,
};
use crate::api::documents::{Kind, WrittenDocuments};
use crate::audit::NewRecord;
use crate::auth::{Authorized, Target};
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::{Name, ProjectId};
use crate::kit::Kit;
use crate::projects::record::{META, ProjectRecord};
use crate::releases::activate::Stamp;
use crate::store::{Condition, Entry, Operation, Outcome, Scope, Transaction};

/// How often a write is tried again when others change the project at the same time.
const ATTEMPTS: usize = 32;

/// Writes documents.
#[derive(Debug)]
pub(crate) struct Writer {
    kit: Kit,
    gate: Gate,
    /// Writers of one project queue here instead of failing each other's conditions. Other
    /// processes are kept off by the conditions themselves.
    queues: Mutex<HashMap<ProjectId, Arc<tokio::sync::Mutex<()>>>>,
}

/// A document's new text; without one, the document is removed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
    pub(crate) content: Option<String>,
    /// For configs: the schema to keep to, empty for none; as before if not given.
    pub(crate) schema: Option<String>,
}

impl Change {
    /// A new text, or none for a removal.
    pub(crate) fn new(kind: Kind, name: Name, content: Option<String>) -> Self {
        Self { kind, name, content, schema: None }
    }

    /// The schema that a config keeps to after this change.
    fn bound(&self, head: Option<&VersionRecord>) -> Option<String> {
        let before = || head.filter(|head| !head.is_tombstone()).and_then(|head| head.schema.clone());
        let named = self.schema.clone().or_else(before).filter(|schema| !schema.is_empty());
        named.filter(|_| self.kind == Kind::Config && self.content.is_some())
    }
}

/// Finds out what to change, by looking at the documents that there are.
#[async_trait]
pub(crate) trait Plan: Send + Sync {
    /// The changes that the documents of this set need.
    async fn changes(&self, scope: &Scope, set: &SetRecord) -> Result<Vec<Change>>;
}

/// Documents that change together, each from the version that its change was made for (0: it does not
/// exist yet).
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) changes: Vec<Based>,
    /// Where the changes are to be live beside where releases are made by themselves.
    pub(crate) environment: Option<String>,
    pub(crate) message: Option<String>,
}

/// A change beside the newest version of what it changes.
type Headed = (Change, Option<VersionRecord>);

/// What all tries of one write have in common.
struct Write<'a> {
    ctx: &'a RequestContext,
    proof: &'a Authorized,
    scope: Scope,
    message: Option<String>,
    aim: Aim<'a>,
}

/// What a write is built from.
struct Present {
    set_entry: Option<Entry>,
    set: SetRecord,
    meta_entry: Entry,
    meta: ProjectRecord,
}

/// Changes together, ready to be committed.
struct Prepared {
    set: SetRecord,
    passed: Passed,
    written: Vec<Written>,
    release: Option<String>,
    transaction: Transaction,
}

impl Prepared {
    /// One record for each document that changes.
    fn records(&self, scope: &Scope, reason: Option<&String>) -> Vec<NewRecord> {
        let record = |Written { document, .. }: &Written| {
            let target = Target::new(scope.project(), document.kind.as_str()).named(&document.name);
            let action = write_action(document.kind).as_str();
            let record = NewRecord::new(action, target.to_string(), scope.project().clone());
            self.stamped(record.version(document.version).reason(reason.cloned()))
        };
        self.written.iter().map(record).collect()
    }

    /// A record with the release that the changes make.
    fn stamped(&self, mut record: NewRecord) -> NewRecord {
        record.release.clone_from(&self.release);
        record
    }
}

impl Writer {
    pub(crate) fn new(kit: Kit, gate: Gate) -> Self {
        Self { kit, gate, queues: Mutex::default() }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Changes one document, if what is there is as expected. With `live`, the change is active in that
    /// environment in the same commit.
    pub(crate) async fn write(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        change: Change,
        message: Option<String>,
        expected: &Expected,
        live: Option<&Live>,
    ) -> Result<Written> {
        let write = Write { ctx, proof, scope: self.kit.scope(proof), message, aim: live.into() };
        let _turn = self.begin(&write, std::slice::from_ref(&change)).await?;
        for _ in 0..ATTEMPTS {
            let (present, head) = tokio::try_join!(present(&write.scope), read_head(&write.scope, &change))?;
            expect(&change, expected, head.as_ref())?;
            let unchanged = unchanged(&change, head.as_ref());
            let changes = match &unchanged {
                Some(unchanged) if live.is_none() => return Ok(unchanged.clone()),
                Some(_) => Vec::new(),
                None => vec![(change.clone(), head)],
            };
            if let Some(written) = self.attempt(&write, present, changes).await? {
                let written = written.into_iter().next().or(unchanged);
                return written.ok_or_else(|| Error::internal("a write has written nothing"));
            }
        }
        Err(too_many_writers())
    }

    /// Changes one document together with another one that it needs, in one commit.
    pub(crate) async fn write_beside(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        change: Change,
        beside: Change,
        message: Option<String>,
        expected: &Expected,
    ) -> Result<Written> {
        let write = Write { ctx, proof, scope: self.kit.scope(proof), message, aim: None.into() };
        let _turn = self.begin(&write, &[change.clone(), beside.clone()]).await?;
        for _ in 0..ATTEMPTS {
            let present = present(&write.scope).await?;
            let (head, other) =
                tokio::try_join!(read_head(&write.scope, &change), read_head(&write.scope, &beside))?;
            expect(&change, expected, head.as_ref())?;
            let unchanged_one = unchanged(&change, head.as_ref());
            let mut changes = vec![(beside.clone(), other), (change.clone(), head)];
            changes.retain(|(change, head)| unchanged(change, head.as_ref()).is_none());
            let Some(written) = self.attempt(&write, present, changes).await? else { continue };
            let release = written.first().and_then(|written| written.document.release.clone());
            let own = written.into_iter().find(|written| written.document.kind == change.kind);
            let mut own =
                own.or(unchanged_one).ok_or_else(|| Error::internal("a write has written nothing"))?;
            own.document.release = release;
            return Ok(own);
        }
        Err(too_many_writers())
    }

    /// Changes whatever documents `plan` names, after looking at those that there are. Tells whether
    /// anything was changed.
    pub(crate) async fn write_planned(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        live: Option<&Live>,
        plan: &dyn Plan,
    ) -> Result<bool> {
        let write = Write { ctx, proof, scope: self.kit.scope(proof), message: None, aim: live.into() };
        let _turn = self.begin(&write, &[]).await?;
        for _ in 0..ATTEMPTS {
            let present = present(&write.scope).await?;
            let mut changes = Vec::new();
            for change in plan.changes(&write.scope, &present.set).await? {
                check_size(&change)?;
                let head = read_head(&write.scope, &change).await?;
                if unchanged(&change, head.as_ref()).is_none() {
                    changes.push((change, head));
                }
            }
            if let Some(written) = self.attempt(&write, present, changes).await? {
                return Ok(!written.is_empty());
            }
        }
        Err(too_many_writers())
    }

    /// Tries once to change documents that a caller names, each from the version that its change was made
    /// for; `None` if somebody else was faster. What is unchanged is no new version.
    ///
    /// # Errors
    /// `Stale` if a document is not at its base; what the gate refuses.
    pub(crate) async fn write_together(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        changes: &[Based],
        message: Option<&String>,
    ) -> Result<Option<WrittenDocuments>> {
        let write =
            Write { ctx, proof, scope: self.kit.scope(proof), message: message.cloned(), aim: Aim::Auto };
        let _turn = self.begin(&write, &[]).await?;
        let (present, mut changes) = self.read_based(&write, changes).await?;
        changes.retain(|(change, head)| unchanged(change, head.as_ref()).is_none());
        if changes.is_empty() {
            return Ok(Some(WrittenDocuments { documents: Vec::new(), release: None }));
        }
        let prepared = self.prepare(&write, present, changes).await?;
        let documents = prepared.written.iter().map(|written| written.document.clone()).collect();
        let written = WrittenDocuments { documents, release: prepared.release.clone() };
        ctx.offer(&written)?;
        let records = prepared.records(&write.scope, message);
        Ok(self.commit(&write, prepared, &records).await?.map(|_| written))
    }

    /// Checks changes as a request asks for them, without writing anything.
    ///
    /// # Errors
    /// As [`Writer::write_batch`].
    pub(crate) async fn check_batch(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        batch: &Batch,
    ) -> Result<()> {
        let write = self.batch_write(ctx, proof, batch);
        check_message(batch.message.as_deref())?;
        let (present, changes) = self.read_based(&write, &batch.changes).await?;
        self.prepare(&write, present, changes).await.map(drop)
    }

    /// Tries once to write changes as a request asks for them, together with what `closing` makes of the
    /// release; `None` if somebody else was faster.
    ///
    /// # Errors
    /// `Stale` if a document is not at its base; what the gate refuses.
    pub(crate) async fn write_batch(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        batch: &Batch,
        closing: impl FnOnce(Option<&str>) -> Result<(NewRecord, Transaction)> + Send,
    ) -> Result<Option<()>> {
        let write = self.batch_write(ctx, proof, batch);
        let _turn = self.begin(&write, &[]).await?;
        let (present, changes) = self.read_based(&write, &batch.changes).await?;
        let mut prepared = self.prepare(&write, present, changes).await?;
        let (record, closing) = closing(prepared.release.as_deref())?;
        let mut records = prepared.records(&write.scope, write.message.as_ref());
        records.push(prepared.stamped(record));
        prepared.transaction = prepared.transaction.and(closing);
        Ok(self.commit(&write, prepared, &records).await?.map(drop))
    }

    fn batch_write<'a>(&self, ctx: &'a RequestContext, proof: &'a Authorized, batch: &'a Batch) -> Write<'a> {
        let aim = Aim::Request(batch.environment.as_deref());
        Write { ctx, proof, scope: self.kit.scope(proof), message: batch.message.clone(), aim }
    }

    /// What there is, if every document is at the version that its change was made for.
    async fn read_based(&self, write: &Write<'_>, based: &[Based]) -> Result<(Present, Vec<Headed>)> {
        let present = present(&write.scope).await?;
        let mut changes = Vec::with_capacity(based.len());
        for (change, base) in based {
            check_size(change)?;
            let head = read_head(&write.scope, change).await?;
            expect(change, &Expected::from(Some(*base)), head.as_ref())?;
            changes.push((change.clone(), head));
        }
        Ok((present, changes))
    }

    /// Checks what needs no look at the store, and waits for the project's turn.
    async fn begin(&self, write: &Write<'_>, changes: &[Change]) -> Result<tokio::sync::OwnedMutexGuard<()>> {
        check_message(write.message.as_deref())?;
        changes.iter().try_for_each(check_size)?;
        let queue = self.queues.lock().entry(write.scope.project().clone()).or_default().clone();
        Ok(queue.lock_owned().await)
    }

    /// Tries once; `None` if somebody else was faster.
    async fn attempt(
        &self,
        write: &Write<'_>,
        present: Present,
        changes: Vec<Headed>,
    ) -> Result<Option<Vec<Written>>> {
        let Write { ctx, proof, scope, aim, .. } = write;
        let prepared = self.prepare(write, present, changes).await?;
        if prepared.transaction.operations.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut records = prepared.records(scope, write.message.as_ref());
        if records.is_empty() {
            // Nothing was written, but what is there is activated.
            let proof = aim.proof().unwrap_or(proof);
            records.push(prepared.stamped(NewRecord::of(proof).reason(write.message.clone())));
        }
        if let [written] = prepared.written.as_slice() {
            ctx.offer(written)?;
        }
        self.commit(write, prepared, &records).await
    }

    /// Commits what was prepared, and keeps what it was compiled to; `None` if somebody else was faster.
    async fn commit(
        &self,
        write: &Write<'_>,
        prepared: Prepared,
        records: &[NewRecord],
    ) -> Result<Option<Vec<Written>>> {
        match self.kit.commit_all(write.ctx, records, prepared.transaction).await? {
            Outcome::Conflict { .. } => Ok(None),
            Outcome::Committed { .. } => {
                self.gate.keep(&write.scope, &prepared.set, prepared.passed);
                Ok(Some(prepared.written))
            }
        }
    }

    /// Works out everything that changes together write, and refuses what the gate does not let pass.
    async fn prepare(&self, write: &Write<'_>, present: Present, changes: Vec<Headed>) -> Result<Prepared> {
        let Write { ctx, scope, message, aim, .. } = write;
        let stamp =
            Stamp { author: ctx.principal.to_string(), time: self.kit.now(), message: message.clone() };
        let (mut entries, mut written, mut stores) = (Vec::new(), Vec::new(), Transaction::new());
        for (change, head) in &changes {
            let record = next_version(change, head.as_ref(), &stamp)?;
            let entry = change
                .content
                .as_ref()
                .map(|_| BucketEntry { version: record.version, hash: record.hash.clone() });
            entries.push((change.kind, change.name.to_string(), entry));
            stores = stores.and(stored(scope, change, &record)?);
            let created = head.as_ref().is_none_or(VersionRecord::is_tombstone);
            written.push(Written { document: record.document(change.kind, change.name.as_str()), created });
        }
        let (set, buckets) = present.set.with(scope, &entries).await?;
        check_quota(&set)?;
        let bound = |(change, head): Headed| Change { schema: change.bound(head.as_ref()), ..change };
        let changes: Vec<Change> = changes.into_iter().map(bound).collect();
        let passed = self.gate.check(scope, &present.set, &changes).await?;

        let set_key = scope.key(CURRENT_SET);
        let mut transaction = Transaction::new()
            .when(Condition::as_read(&set_key, present.set_entry.as_ref()))
            .when(Condition::as_read(&scope.key(META), Some(&present.meta_entry)));
        if !changes.is_empty() {
            transaction = transaction.put(set_key, encode(&set)?).and(stores).and(buckets);
        }
        let step = Step { before: present.set, after: set };
        let releasing = Releasing { scope, gate: &self.gate, stamp: &stamp, aim: *aim };
        let (release, releasing) = releasing.of(&present.meta, &step, &entries, &changes).await?;
        written.iter_mut().for_each(|written| written.document.release.clone_from(&release));
        let transaction = once_each(transaction.and(releasing), &scope.key(&blob_key("")));
        Ok(Prepared { set: step.after, passed, written, release, transaction })
    }
}

async fn present(scope: &Scope) -> Result<Present> {
    let (set_entry, meta_entry) = tokio::try_join!(scope.fresh(CURRENT_SET), scope.fresh(META))?;
    let meta_entry = meta_entry.ok_or_else(|| Error::not_found(format!("project `{}`", scope.project())))?;
    let set = match &set_entry {
        Some(entry) => decode(&entry.key, &entry.value)?,
        None => SetRecord::empty(),
    };
    let meta = decode(&meta_entry.key, &meta_entry.value)?;
    Ok(Present { set_entry, set, meta_entry, meta })
}

/// The newest version of what a change is about.
async fn read_head(scope: &Scope, change: &Change) -> Result<Option<VersionRecord>> {
    let entry = scope.fresh(&head_key(change.kind, &change.name)).await?;
    entry.map(|entry| decode(&entry.key, &entry.value)).transpose()
}

/// The part of a transaction that writes a version.
fn stored(scope: &Scope, change: &Change, record: &VersionRecord) -> Result<Transaction> {
    let transaction = Transaction::new()
        .put(scope.key(&head_key(change.kind, &change.name)), encode(record)?)
        .put(scope.key(&version_key(change.kind, &change.name, record.version)), encode(record)?);
    Ok(match &change.content {
        Some(content) => transaction.put(scope.key(&blob_key(&record.hash)), content.clone()),
        None => transaction,
    })
}

/// Lets what is named by its content be written once, however many documents or kinds share it.
fn once_each(mut transaction: Transaction, blobs: &str) -> Transaction {
    let mut seen = HashSet::new();
    transaction.operations.retain(|operation| match operation {
        Operation::Put { key, .. } if key.starts_with(blobs) => seen.insert(key.clone()),
        _ => true,
    });
    transaction
}

fn check_size(change: &Change) -> Result<()> {
    let bytes = change.content.as_ref().map_or(0, String::len);
    if bytes <= MAX_DOCUMENT_BYTES {
        return Ok(());
    }
    let text = format!("a document holds at most {MAX_DOCUMENT_BYTES} bytes, this one has {bytes}");
    Err(Error::too_large(text))
}

fn check_quota(set: &SetRecord) -> Result<()> {
    if set.len() <= MAX_DOCUMENTS {
        return Ok(());
    }
    let text = format!("a project holds at most {MAX_DOCUMENTS} documents");
    Err(Error::new(ErrorKind::TooMany, "quota_exceeded", text))
}

fn too_many_writers() -> Error {
    Error::conflict("too_many_writers", "others keep changing this project; try again")
        .with_retry_after(std::time::Duration::from_secs(1))
}

/// Checks a message for its length.
pub(crate) fn check_message(message: Option<&str>) -> Result<()> {
    match message {
        Some(text) if text.chars().count() > MAX_MESSAGE_CHARS => {
            Err(Error::invalid(format!("a message holds at most {MAX_MESSAGE_CHARS} characters")))
        }
        _ => Ok(()),
    }
}

fn expect(write: &Change, expected: &Expected, head: Option<&VersionRecord>) -> Result<()> {
    let living = head.filter(|head| !head.is_tombstone());
    let what = format!("the {} `{}`", write.kind.as_str(), write.name);
    expected.check(living.map(|head| head.version), &what)?;
    if write.content.is_none() && living.is_none() {
        return Err(not_found(write.kind, &write.name, None));
    }
    Ok(())
}

fn unchanged(write: &Change, head: Option<&VersionRecord>) -> Option<Written> {
    let (content, head) = (write.content.as_ref()?, head.filter(|head| !head.is_tombstone())?);
    (hash(content.as_bytes()) == head.hash && write.bound(Some(head)) == head.schema)
        .then(|| Written { document: head.document(write.kind, write.name.as_str()), created: false })
}

fn next_version(write: &Change, head: Option<&VersionRecord>, stamp: &Stamp) -> Result<VersionRecord> {
    let parent = head.map(|head| head.version);
    let version = parent.unwrap_or(0) + 1;
    if version > MAX_VERSIONS {
        return Err(Error::new(
            ErrorKind::TooMany,
            "quota_exceeded",
            format!("a document has at most {MAX_VERSIONS} versions"),
        ));
    }
    Ok(VersionRecord {
        v: 1,
        version,
        hash: write.content.as_ref().map(|content| hash(content.as_bytes())).unwrap_or_default(),
        size: write.content.as_ref().map_or(0, |content| content.len() as u64),
        author: stamp.author.clone(),
        time: stamp.time,
        message: stamp.message.clone(),
        parent,
        schema: write.bound(head),
    })
}

#[cfg(test)]
mod tests;
