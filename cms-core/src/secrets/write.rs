// SPDX-License-Identifier: Apache-2.0 OR MIT
//! New versions of secrets: one transaction of the head, the value, the quota and the record.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use super::engine::KvEngine;
use super::limits;
use super::record::{HEAD_VERSION, Head, VersionRecord, head_key, value_key};
use super::{Look, SecretData, Secrets, WrittenSecret, material, missing_value, not_found};
use crate::api::secrets::{PutSecret, RotateSecret};
use crate::audit::NewRecord;
use crate::auth::Authorized;
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::Name;
use crate::kit::Kit;
use crate::store::{Condition, Entry, Outcome, Scope, Transaction};

/// How often a write is tried again when another process changes the same secret.
const ATTEMPTS: u32 = 16;
/// How many secrets can be written at once in one process, give or take.
const QUEUES: usize = 1024;
/// Where the project's own record lies; without it there is no project to write to.
const PROJECT: &str = "meta";

/// What makes a new version.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    Put(&'a PutSecret),
    Rotate(&'a RotateSecret),
}

impl Change<'_> {
    fn message(&self) -> Option<&String> {
        match self {
            Self::Put(put) => put.message.as_ref(),
            Self::Rotate(rotation) => rotation.message.as_ref(),
        }
    }
}

/// The version that the caller expects to be the present one.
#[derive(Debug, Clone)]
pub(super) enum Expectation {
    /// From the body: a mismatch is a conflict.
    Body(u64),
    /// From `If-Match` or `If-None-Match`: a mismatch is a failed precondition.
    Header(Expected),
}

impl Expectation {
    pub(super) fn new(body: Option<u64>, header: Expected) -> Result<Self> {
        match (body, header) {
            (None, header) => Ok(Self::Header(header)),
            (Some(body), Expected::Any) => Ok(Self::Body(body)),
            (Some(body), header) if header == Expected::from(Some(body)) => Ok(Self::Header(header)),
            (Some(_), _) => Err(Error::invalid("`cas` and the header name different versions; give one")),
        }
    }

    /// Compares with the present version; 0 is that of a secret which does not exist.
    pub(super) fn check(&self, path: &Name, current: u64) -> Result<()> {
        let present = (current > 0).then_some(current);
        let what = format!("the secret `{path}`");
        let checked = match self {
            Self::Header(expected) => expected.check(present, &what),
            Self::Body(version) => Expected::from(Some(*version))
                .check(present, &what)
                .map_err(|error| Error::conflict("cas_mismatch", error.message())),
        };
        checked.map_err(|error| {
            error.with_hint("read the secret again and decide whether your change still applies")
        })
    }
}

/// Where writers of the same secret queue, instead of failing each other's conditions. Other
/// processes are kept off by the conditions themselves.
#[derive(Debug)]
pub(super) struct Queues {
    hasher: RandomState,
    queues: Vec<tokio::sync::Mutex<()>>,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            queues: (0..QUEUES).map(|_| tokio::sync::Mutex::default()).collect(),
        }
    }
}

impl Queues {
    pub(super) async fn turn(&self, key: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let at = self.hasher.hash_one(key) % QUEUES as u64;
        let queue = usize::try_from(at).ok().and_then(|at| self.queues.get(at))?;
        Some(queue.lock().await)
    }
}

/// A secret as the store has it now, past the cache.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) entry: Option<Entry>,
    pub(super) head: Option<Head>,
}

impl Present {
    pub(super) fn into_head(self, path: &Name) -> Result<Head> {
        self.head.ok_or_else(|| not_found(path))
    }

    fn current(&self) -> u64 {
        self.head.as_ref().map_or(0, Head::current)
    }
}

/// A new version, ready to be committed.
struct Composed {
    head: Head,
    transaction: Transaction,
}

impl Secrets {
    pub(super) async fn write(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        path: &Name,
        change: Change<'_>,
        expectation: Expectation,
    ) -> Result<WrittenSecret> {
        if let Some(written) = ctx.given()? {
            return Ok(written);
        }
        let scope = self.kit.scope(proof);
        let _turn = self.queues.turn(&scope.key(path.as_str())).await;
        for attempt in 0..ATTEMPTS {
            let present = self.present(&scope, path).await?;
            expectation.check(path, present.current())?;
            let created = present.head.is_none();
            let composed = self.compose(ctx, &scope, path, change, present).await?;
            let record =
                NewRecord::of(proof).version(composed.head.current()).reason(change.message().cloned());
            let version = composed.head.version(path, None)?;
            let written = WrittenSecret { secret: composed.head.to_wire(path.as_str(), version), created };
            ctx.offer(&written)?;
            let laid = version.laid.clone();
            if self.commit(ctx, &scope, record, composed.transaction).await? {
                return Ok(written);
            }
            material::abandon(&self.kit, scope.project(), laid.as_slice()).await;
            pause(attempt).await;
        }
        Err(contended(path))
    }

    /// Commits a change of a secret whose first condition is about the project; `false` if somebody
    /// else was faster.
    pub(super) async fn commit(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        record: NewRecord,
        change: Transaction,
    ) -> Result<bool> {
        let project = Transaction::new().when(Condition::Present(scope.key(PROJECT)));
        match self.kit.commit(ctx, record, project.and(change)).await? {
            Outcome::Committed { .. } => Ok(true),
            Outcome::Conflict { failed } if failed.contains(&0) => {
                Err(Error::not_found(format!("project `{}`", scope.project())))
            }
            Outcome::Conflict { .. } => Ok(false),
        }
    }

    /// Reads a secret past the cache.
    pub(super) async fn present(&self, scope: &Scope, path: &Name) -> Result<Present> {
        let entry = scope.fresh(&head_key(path.as_str())).await?;
        let head = match &entry {
            Some(entry) => {
                let opener = self.kit.barrier.opener(scope.project(), &entry.value).await?;
                Some(Head::open(&opener, entry)?)
            }
            None => {
                self.refuse_sealed()?;
                None
            }
        };
        Ok(Present { entry, head })
    }

    async fn compose(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        path: &Name,
        change: Change<'_>,
        present: Present,
    ) -> Result<Composed> {
        let data = self.next_data(scope, path, change, present.head.as_ref()).await?;
        let is_new = present.head.is_none();
        let mut head = present.head.unwrap_or_else(|| Head::new(KvEngine::NAME));
        if let Change::Put(PutSecret { metadata: Some(metadata), .. }) = change {
            head.metadata.clone_from(metadata);
        }
        let version = head.current() + 1;
        let key = scope.key(&value_key(path.as_str(), version));
        let sealed = self.kit.barrier.seal(scope.project(), &key, version, data.expose().as_bytes()).await?;
        let (laid, counts) = material::lay(&self.kit, scope.project(), key, sealed).await?;
        let dropped = head.push(VersionRecord {
            version,
            author: ctx.principal.to_string(),
            time: self.kit.now(),
            message: change.message().cloned(),
            deleted: None,
            destroyed: None,
            laid,
        });
        let read = present.entry.as_ref();
        let mut transaction = replace_head(&self.kit, scope, path.as_str(), read, &head).await?.and(counts);
        for version in dropped {
            transaction = transaction.and(material::discard(&self.kit, scope, path.as_str(), &version)?);
        }
        if is_new {
            transaction = transaction.and(self.quota.admit(scope, self.kit.now()).await?);
        }
        Ok(Composed { head, transaction })
    }

    async fn next_data(
        &self,
        scope: &Scope,
        path: &Name,
        change: Change<'_>,
        head: Option<&Head>,
    ) -> Result<SecretData> {
        let engine = self.engines.find(head.map_or(KvEngine::NAME, |head| &head.engine))?;
        let data = match change {
            Change::Put(put) => put.data.clone(),
            Change::Rotate(rotation) => {
                engine.check_rotation(rotation)?;
                let version = head.ok_or_else(|| not_found(path))?.live(path, None)?;
                let stored = self.value(scope, path, version, Look::Fresh).await?;
                let stored = stored.ok_or_else(|| missing_value(scope, path, version))?;
                let next = engine.rotate(&stored, rotation).await?;
                limits::check_data(&next)?;
                next
            }
        };
        engine.accept(&data).await?;
        Ok(data)
    }
}

/// The part of a transaction that replaces a head.
pub(super) async fn replace_head(
    kit: &Kit,
    scope: &Scope,
    path: &str,
    read: Option<&Entry>,
    head: &Head,
) -> Result<Transaction> {
    let key = scope.key(&head_key(path));
    let sealed = kit.barrier.seal(scope.project(), &key, HEAD_VERSION, &head.encode()?).await?;
    Ok(Transaction::new().when(Condition::as_read(&key, read)).and(sealed.put(key)))
}

/// Waits a little longer after each attempt, and not as long as the others.
pub(super) async fn pause(attempt: u32) {
    let mut byte = [0_u8; 1];
    // Without randomness everybody waits alike, which is no harm.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let micros = u64::from(u8::from_ne_bytes(byte)) * (1 << attempt.min(6));
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

/// The error for a secret that others keep changing.
pub(super) fn contended(path: &Name) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "too_many_writers",
        format!("others keep changing the secret `{path}`; try again"),
    )
    .with_retry_after(Duration::from_secs(1))
}
