// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that may be sent twice: the first answer under a caller's key is kept for a day, sealed,
//! because it may show an API key that is shown once only.
//!
//! Before a request runs, its key is marked as begun. The transaction that makes its change also notes
//! that it was made, with what the service replies (`once`); the answer as it was sent follows. So a
//! process may die at any moment: a key that has only begun is taken over by the next sending after a
//! while, and whoever was slow and not dead can no longer commit; one whose change is made gets the
//! reply of then.

mod once;
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

pub use once::Once;
pub use record::StoredAnswer;

/// How long an answer is kept at least.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a key may be, in bytes.
pub const MAX_KEY_BYTES: usize = 255;
/// How large an answer may be to be kept, in bytes.
pub const MAX_ANSWER_BYTES: usize = 512 * 1024;
/// After what time a request that has begun and made no change is taken over by its next sending.
pub const TAKEN_OVER: Duration = Duration::from_secs(15);
/// How often the answer is written again when the record of its key was sealed anew meanwhile.
const ATTEMPTS: usize = 8;
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
    /// Run it, with this in its context, then [`Idempotency::finish`] or [`Idempotency::abandon`] it.
    First(Arc<Once>),
    /// It was answered before.
    Again(StoredAnswer),
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
    /// `Conflict` while the first one runs, or if its change is made and its answer lost; `Sealed`.
    pub async fn begin(&self, ctx: &RequestContext, key: &str, request: &Fingerprint) -> Result<Begun> {
        check_key(key)?;
        let actor = ctx.principal.to_string();
        let key = format!("idem/{}", hash(&[actor.as_bytes(), key.as_bytes()]));
        let read = self.kit.db.fresh(&key).await?;
        if let Some(entry) = &read {
            let record = self.open(entry).await?;
            if self.kit.now().since(record.begun) < KEPT
                && let Some(known) = self.known(record, entry, request)?
            {
                return Ok(known);
            }
        }
        let record = Record::begun(request.0.clone(), self.kit.now());
        match self.write(&key, read.as_ref(), &record).await? {
            Some(begun) => Ok(Begun::First(self.once(request, begun, None))),
            None => Err(running()),
        }
    }

    fn once(&self, request: &Fingerprint, entry: Entry, applied: Option<Bytes>) -> Arc<Once> {
        Arc::new(Once::new(self.clone(), request.0.clone(), entry, applied))
    }

    /// Keeps the answer of a request.
    ///
    /// # Errors
    /// Whatever the store or the barrier answers.
    pub async fn finish(&self, once: &Once, answer: StoredAnswer) -> Result<()> {
        let record = Record::finished(once.fingerprint.clone(), self.kit.now(), answer);
        let (mut entry, applied) = once.known();
        for _ in 0..ATTEMPTS {
            if self.write(&entry.key, Some(&entry), &record).await?.is_some() {
                return Ok(());
            }
            // Sealed anew meanwhile, or taken over: then whoever did so keeps the answer.
            match self.kit.db.fresh(&entry.key).await? {
                Some(fresh) if applied => entry = fresh,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Forgets a request that has changed nothing, so that it can be sent again.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn abandon(&self, once: &Once) -> Result<()> {
        let (entry, applied) = once.known();
        if !applied {
            let still = Condition::as_read(&entry.key, Some(&entry));
            self.kit.db.commit(Transaction::new().when(still).delete(entry.key)).await?;
        }
        Ok(())
    }

    /// What a record tells about a request; `None` if it may run again.
    fn known(&self, record: Record, entry: &Entry, request: &Fingerprint) -> Result<Option<Begun>> {
        if record.fingerprint != request.0 {
            return Err(Error::unprocessable(
                "idempotency_key_reused",
                "this `Idempotency-Key` stands for another request; use a new key for a new request",
            ));
        }
        let age = self.kit.now().since(record.begun);
        match (record.answer, record.applied) {
            (Some(answer), _) => Ok(Some(Begun::Again(answer))),
            (None, Some(reply)) if reply.is_empty() => Err(Error::conflict(
                "idempotency_unresolved",
                "the change of the first request under this key was made, but its answer is lost; read what it \
                 changed",
            )),
            (None, Some(reply)) => Ok(Some(Begun::First(self.once(request, entry.clone(), Some(reply))))),
            (None, None) if age < TAKEN_OVER => Err(running()),
            (None, None) => Ok(None),
        }
    }

    async fn open(&self, entry: &Entry) -> Result<Record> {
        let platform = ProjectId::platform();
        let plain = self.kit.barrier.open(&platform, &entry.key, entry.version, &entry.value).await?;
        Record::parse(plain.expose())
    }

    /// Writes a record if the key is as it was read; answers the entry, or `None` after a conflict.
    async fn write(&self, key: &str, read: Option<&Entry>, record: &Record) -> Result<Option<Entry>> {
        let (put, next) = self.put(key, read, record).await?;
        Ok(match self.kit.db.commit(put.when(Condition::as_read(key, read))).await? {
            Outcome::Conflict { .. } => None,
            Outcome::Committed { revision } => Some(Entry { modified: revision, ..next }),
        })
    }

    /// The part of a transaction that writes a record, and the entry that it leaves but for its
    /// revision. It has one condition, that of the keyring.
    async fn put(&self, key: &str, read: Option<&Entry>, record: &Record) -> Result<(Transaction, Entry)> {
        let version = read.map_or(1, |entry| entry.version + 1);
        let sealed = self.kit.barrier.seal(&ProjectId::platform(), key, version, &record.to_bytes()?).await?;
        let created = read.map_or(0, |entry| entry.created);
        let value = sealed.bytes().clone();
        let entry = Entry { key: key.to_owned(), value, created, modified: 0, version };
        Ok((sealed.put_leased(key, self.lease().await?), entry))
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
        self.kit.db.counts().leased();
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

#[cfg(test)]
mod tests;
