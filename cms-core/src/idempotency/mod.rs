// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that may be sent twice: the first answer under a caller's key is kept for a day, sealed,
//! because it may show an API key that is shown once only.
//!
//! Before a request runs, its key is marked as begun. A mark without an answer that is older than any
//! request can take means that a process died in between: what happened is then not known here, and
//! the caller is told to look.

mod record;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Condition, Entry, LeaseId, Outcome, Transaction};
use record::Record;

pub use record::StoredAnswer;

/// How long an answer is kept at least.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a key may be, in bytes.
pub const MAX_KEY_BYTES: usize = 255;
/// How large an answer may be to be kept, in bytes.
pub const MAX_ANSWER_BYTES: usize = 512 * 1024;
/// After what time a request that was begun cannot be running any more.
const RUNNING: Duration = Duration::from_secs(300);
/// How long a lease is used for new keys; it lasts this much longer than an answer is kept.
const LEASE_USE: Duration = Duration::from_secs(3600);

/// Keeps first answers. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Idempotency {
    kit: Kit,
    lease: Arc<Mutex<Option<(LeaseId, Timestamp)>>>,
}

/// What becomes of a request that carries a key.
#[derive(Debug)]
pub enum Begun {
    /// It is the first: run it, then [`Idempotency::finish`] or [`Idempotency::abandon`] it.
    First(Ticket),
    /// It was answered before.
    Again(StoredAnswer),
}

/// A request that has begun under a key.
#[derive(Debug)]
pub struct Ticket {
    key: String,
    fingerprint: String,
    begun: Entry,
}

/// A hash of everything that makes two requests the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Hashes the parts, each with its length.
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(hash(parts))
    }
}

impl Idempotency {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit, lease: Arc::default() }
    }

    /// Begins a request of the caller under a key.
    ///
    /// # Errors
    /// `Invalid` for a key that is none; `Unprocessable` if the key stands for another request;
    /// `Conflict` while the first one runs, or if it is not known how it ended; `Sealed`.
    pub async fn begin(&self, ctx: &RequestContext, key: &str, request: &Fingerprint) -> Result<Begun> {
        check_key(key)?;
        let actor = ctx.principal.to_string();
        let key = format!("idem/{}", hash(&[actor.as_bytes(), key.as_bytes()]));
        let read = self.kit.db.fresh(&key).await?;
        if let Some(entry) = &read {
            let record = self.open(entry).await?;
            if self.kit.now().since(record.begun) < KEPT {
                return self.known(record, request);
            }
        }
        let version = read.as_ref().map_or(1, |entry| entry.version + 1);
        let record = Record::begun(request.0.clone(), self.kit.now());
        match self.write(&key, read.as_ref(), version, &record).await? {
            Some(begun) => Ok(Begun::First(Ticket { key, fingerprint: request.0.clone(), begun })),
            None => Err(running()),
        }
    }

    /// Keeps the answer of a request.
    ///
    /// # Errors
    /// Whatever the store or the barrier answers.
    pub async fn finish(&self, ticket: Ticket, answer: StoredAnswer) -> Result<()> {
        let record = Record::finished(ticket.fingerprint, self.kit.now(), answer);
        self.write(&ticket.key, Some(&ticket.begun), ticket.begun.version + 1, &record).await?;
        Ok(())
    }

    /// Forgets a request that has changed nothing, so that it can be sent again.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn abandon(&self, ticket: Ticket) -> Result<()> {
        let still = Condition::as_read(&ticket.key, Some(&ticket.begun));
        self.kit.db.commit(Transaction::new().when(still).delete(ticket.key)).await?;
        Ok(())
    }

    fn known(&self, record: Record, request: &Fingerprint) -> Result<Begun> {
        if record.fingerprint != request.0 {
            return Err(Error::unprocessable(
                "idempotency_key_reused",
                "this `Idempotency-Key` stands for another request; use a new key for a new request",
            ));
        }
        match record.answer {
            Some(answer) => Ok(Begun::Again(answer)),
            None if self.kit.now().since(record.begun) < RUNNING => Err(running()),
            None => Err(Error::conflict(
                "idempotency_unresolved",
                "it is not known how the first request under this key ended; look whether its change was made, \
                 and use a new key if it was not",
            )),
        }
    }

    async fn open(&self, entry: &Entry) -> Result<Record> {
        let platform = ProjectId::platform();
        let plain = self.kit.barrier.open(&platform, &entry.key, entry.version, &entry.value).await?;
        Record::parse(plain.expose())
    }

    /// Writes a record if the key is as it was read; answers the entry, or `None` after a conflict.
    async fn write(
        &self,
        key: &str,
        read: Option<&Entry>,
        version: u64,
        record: &Record,
    ) -> Result<Option<Entry>> {
        let value = self.kit.barrier.seal(&ProjectId::platform(), key, version, &record.to_bytes()?).await?;
        let lease = self.lease().await?;
        let bytes = value.bytes().clone();
        let change = Transaction::new().when(Condition::as_read(key, read));
        let change = change.and(value.put_leased(key, lease));
        Ok(match self.kit.db.commit(change).await? {
            Outcome::Conflict { .. } => None,
            Outcome::Committed { revision } => {
                let created = read.map_or(revision, |entry| entry.created);
                Some(Entry { key: key.to_owned(), value: bytes, created, modified: revision, version })
            }
        })
    }

    /// The lease that new keys hang on: one for all keys of an hour.
    pub(crate) async fn lease(&self) -> Result<LeaseId> {
        let now = self.kit.now();
        if let Some((lease, granted)) = *self.lease.lock()
            && now.since(granted) < LEASE_USE
        {
            return Ok(lease);
        }
        let lease = self.kit.db.store().grant_lease(KEPT + LEASE_USE).await?;
        *self.lease.lock() = Some((lease, now));
        Ok(lease)
    }
}

fn check_key(key: &str) -> Result<()> {
    if (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        "invalid_idempotency_key",
        format!("`Idempotency-Key` must be 1 to {MAX_KEY_BYTES} printable ASCII characters without blanks"),
    ))
}

fn running() -> Error {
    Error::conflict("idempotency_in_progress", "the first request under this key is still running")
        .with_retry_after(Duration::from_secs(1))
}

fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    HEXLOWER.encode(context.finish().as_ref())
}

/// The answer as bytes that are kept.
impl StoredAnswer {
    /// Takes an answer, unless it is too large to keep.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Option<Self> {
        (body.len() <= MAX_ANSWER_BYTES).then_some(Self { status, headers, body })
    }
}
