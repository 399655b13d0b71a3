// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one way in which a document changes: validate, version, update the set, release where the
//! project asks for it, all in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::gate::Gate;
use super::record::{BucketEntry, SetRecord, VersionRecord, decode, encode};
use super::set::{CURRENT_SET, blob_key, hash};
use super::{
    MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_MESSAGE_CHARS, MAX_VERSIONS, Written, head_key, not_found,
    version_key,
};
use crate::api::documents::{Document, Kind};
use crate::audit::NewRecord;
use crate::auth::Authorized;
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::{Name, ProjectId};
use crate::kit::Kit;
use crate::projects::record::{META, ProjectRecord};
use crate::releases::activate::{Stamp, before_of, make_release, move_pointer, read_environment};
use crate::store::{Condition, Entry, Outcome, Scope, Transaction};

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

/// A write, as the caller wants it.
struct Write<'a> {
    kind: Kind,
    name: &'a Name,
    content: Option<String>,
    message: Option<String>,
    expected: Expected,
}

/// What a write is built from.
struct Present {
    set_entry: Option<Entry>,
    set: SetRecord,
    head: Option<VersionRecord>,
    meta_entry: Entry,
    meta: ProjectRecord,
}

impl Writer {
    pub(crate) fn new(kit: Kit, gate: Gate) -> Self {
        Self { kit, gate, queues: Mutex::default() }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Writes a version with this text.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one request")]
    pub(crate) async fn put(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        kind: Kind,
        name: &Name,
        content: String,
        message: Option<String>,
        expected: Expected,
    ) -> Result<Written> {
        if content.len() > MAX_DOCUMENT_BYTES {
            return Err(Error::too_large(format!(
                "a document holds at most {MAX_DOCUMENT_BYTES} bytes, this one has {}",
                content.len()
            )));
        }
        self.write(ctx, proof, Write { kind, name, content: Some(content), message, expected }).await
    }

    /// Writes a tombstone.
    pub(crate) async fn delete(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        kind: Kind,
        name: &Name,
        message: Option<String>,
        expected: Expected,
    ) -> Result<Document> {
        let written = self.write(ctx, proof, Write { kind, name, content: None, message, expected }).await?;
        Ok(written.document)
    }

    async fn write(&self, ctx: &RequestContext, proof: &Authorized, write: Write<'_>) -> Result<Written> {
        check_message(write.message.as_deref())?;
        let scope = self.kit.scope(proof);
        let queue = self.queues.lock().entry(scope.project().clone()).or_default().clone();
        let _turn = queue.lock().await;
        for _ in 0..ATTEMPTS {
            let present = self.present(&scope, &write).await?;
            expect(&write, present.head.as_ref())?;
            if let Some(unchanged) = unchanged(&write, present.head.as_ref()) {
                return Ok(unchanged);
            }
            if let Some(written) = self.attempt(ctx, proof, &scope, &write, present).await? {
                return Ok(written);
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing this project; try again")
            .with_retry_after(std::time::Duration::from_secs(1)))
    }

    async fn present(&self, scope: &Scope, write: &Write<'_>) -> Result<Present> {
        let (set_key, head_key) = (CURRENT_SET, head_key(write.kind, write.name));
        let (set_entry, head_entry, meta_entry) =
            tokio::try_join!(scope.fresh(set_key), scope.fresh(&head_key), scope.fresh(META))?;
        let meta_entry =
            meta_entry.ok_or_else(|| Error::not_found(format!("project `{}`", scope.project())))?;
        let set = match &set_entry {
            Some(entry) => decode(&entry.key, &entry.value)?,
            None => SetRecord::empty(),
        };
        let head = head_entry.map(|entry| decode(&entry.key, &entry.value)).transpose()?;
        let meta = decode(&meta_entry.key, &meta_entry.value)?;
        Ok(Present { set_entry, set, head, meta_entry, meta })
    }

    /// Tries once; `None` if somebody else was faster.
    async fn attempt(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        scope: &Scope,
        write: &Write<'_>,
        present: Present,
    ) -> Result<Option<Written>> {
        let stamp =
            Stamp { author: ctx.principal.to_string(), time: self.kit.now(), message: write.message.clone() };
        let record = next_version(write, present.head.as_ref(), &stamp)?;
        let entry = write
            .content
            .as_ref()
            .map(|_| BucketEntry { version: record.version, hash: record.hash.clone() });
        let change = [(write.kind, write.name.to_string(), entry)];
        let (set, buckets) = present.set.with(scope, &change).await?;
        if set.len() > MAX_DOCUMENTS {
            return Err(Error::new(
                ErrorKind::TooMany,
                "quota_exceeded",
                format!("a project holds at most {MAX_DOCUMENTS} documents"),
            ));
        }
        let passed =
            self.gate.check(scope, &present.set, write.kind, write.name, write.content.as_deref()).await?;

        let set_key = scope.key(CURRENT_SET);
        let mut transaction = Transaction::new()
            .when(Condition::as_read(&set_key, present.set_entry.as_ref()))
            .when(Condition::as_read(&scope.key(META), Some(&present.meta_entry)))
            .put(set_key, encode(&set)?)
            .put(scope.key(&head_key(write.kind, write.name)), encode(&record)?)
            .put(scope.key(&version_key(write.kind, write.name, record.version)), encode(&record)?)
            .and(buckets);
        if let Some(content) = &write.content {
            let key = scope.key(&blob_key(&record.hash));
            transaction = transaction.put(key, content.clone());
        }
        let (release, releasing) = self.auto_release(scope, &present.meta, &set, &stamp).await?;
        let mut audited = NewRecord::of(proof).version(record.version).reason(write.message.clone());
        if let Some(release) = &release {
            audited = audited.release(release.clone());
        }
        let created = present.head.as_ref().is_none_or(VersionRecord::is_tombstone);
        let mut document = record.document(write.kind, write.name.as_str());
        document.release = release;
        let written = Written { document, created };
        ctx.offer(&written)?;
        match self.kit.commit(ctx, audited, transaction.and(releasing)).await? {
            Outcome::Conflict { .. } => Ok(None),
            Outcome::Committed { .. } => {
                self.gate.keep(scope, &set, passed);
                Ok(Some(written))
            }
        }
    }

    /// What releases the set and activates it in every environment that asks for that.
    async fn auto_release(
        &self,
        scope: &Scope,
        project: &ProjectRecord,
        set: &SetRecord,
        stamp: &Stamp,
    ) -> Result<(Option<String>, Transaction)> {
        let mut moves = Transaction::new();
        let mut release = None;
        for name in &project.environments {
            let environment = read_environment(scope, name).await?;
            if !environment.record.auto_release.unwrap_or(project.auto_release) {
                continue;
            }
            if release.is_none() {
                let (record, _, make) = make_release(scope, set, stamp).await?;
                moves = moves.and(make);
                release = Some(record.id);
            }
            let Some(id) = &release else { continue };
            if environment.record.release.as_ref() == Some(id) {
                continue;
            }
            let before = before_of(&environment.record);
            let (_, change) = move_pointer(scope, &environment, id, "auto", before, stamp)?;
            moves = moves.and(change);
        }
        Ok((release, moves))
    }
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

fn expect(write: &Write<'_>, head: Option<&VersionRecord>) -> Result<()> {
    let living = head.filter(|head| !head.is_tombstone());
    let what = format!("the {} `{}`", write.kind.as_str(), write.name);
    write.expected.check(living.map(|head| head.version), &what)?;
    if write.content.is_none() && living.is_none() {
        return Err(not_found(write.kind, write.name, None));
    }
    Ok(())
}

fn unchanged(write: &Write<'_>, head: Option<&VersionRecord>) -> Option<Written> {
    let (content, head) = (write.content.as_ref()?, head.filter(|head| !head.is_tombstone())?);
    (hash(content.as_bytes()) == head.hash)
        .then(|| Written { document: head.document(write.kind, write.name.as_str()), created: false })
}

fn next_version(write: &Write<'_>, head: Option<&VersionRecord>, stamp: &Stamp) -> Result<VersionRecord> {
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
        message: write.message.clone(),
        parent,
    })
}
