// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The handle of the trail: changes are committed with their record, accesses are recorded in
//! groups before their answers leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::chain::ChainKey;
use super::draft::{Draft, NewRecord};
use super::export::ExportKey;
use super::lanes::Pool;
use super::sink::{AuditSink, SinkPolicy, Sinks};
use super::write::{Keys, Shared, unavailable};
use crate::clock::Clock;
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::sensitive::Sensitive;
use crate::store::{Db, Durability, Outcome, Transaction};

/// How many accesses are written together at most.
const MAX_BATCH: usize = 512;

/// How the trail works. The defaults are those of the server.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// What an acknowledged access record rests on.
    pub access_durability: Durability,
    /// How long an operation waits for a chain or a sink before it fails.
    pub wait: Duration,
    /// How many accesses may wait to be recorded.
    pub queue: usize,
    /// How many chains the installation may have in use.
    pub max_chains: usize,
    /// The sinks beside the store.
    pub sinks: Vec<Arc<dyn AuditSink>>,
    /// Whether operations wait for those sinks.
    pub policy: SinkPolicy,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            access_durability: Durability::Process,
            wait: Duration::from_secs(2),
            queue: 8_192,
            max_chains: 64,
            sinks: Vec::new(),
            policy: SinkPolicy::All,
        }
    }
}

/// The trail. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Audit {
    pub(super) shared: Arc<Shared>,
    accesses: mpsc::Sender<Access>,
}

/// An access that waits to be recorded.
#[derive(Debug)]
struct Access {
    draft: Draft,
    done: oneshot::Sender<Result<(), ErrorKind>>,
}

impl Audit {
    /// Opens the trail of a store, within a Tokio runtime. Until it is unsealed, everything that
    /// must be recorded is refused as sealed.
    pub fn open_sealed(db: Db, clock: Arc<dyn Clock>, settings: AuditSettings) -> Self {
        let pool = Pool::new(db.clone(), clock.clone(), settings.max_chains.max(1));
        let sinks = Sinks::new(settings.sinks, settings.policy, settings.wait);
        let keys = arc_swap::ArcSwapOption::empty();
        let shared = Arc::new(Shared { db, clock, keys, pool, sinks, wait: settings.wait });
        let (accesses, waiting) = mpsc::channel(settings.queue.max(1));
        tokio::spawn(record_accesses(shared.clone(), waiting, settings.access_durability));
        Self { shared, accesses }
    }

    /// Opens the trail of a store with the key of the installation, within a Tokio runtime.
    ///
    /// # Errors
    /// `Internal` if the keys cannot be derived.
    pub fn open(
        db: Db,
        clock: Arc<dyn Clock>,
        key: &Sensitive<[u8; 32]>,
        settings: AuditSettings,
    ) -> Result<Self> {
        let audit = Self::open_sealed(db, clock, settings);
        audit.unseal(key)?;
        Ok(audit)
    }

    /// A trail with a fixed key and the system's clock, for tests.
    ///
    /// # Errors
    /// `Internal` if the keys cannot be derived.
    #[cfg(any(test, feature = "testing"))]
    pub fn for_tests(db: Db) -> Result<Self> {
        let clock = Arc::new(crate::clock::SystemClock);
        Self::open(db, clock, &Sensitive::new([7; 32]), AuditSettings::default())
    }

    /// Gives the trail its key.
    ///
    /// # Errors
    /// `Internal` if the keys cannot be derived.
    pub fn unseal(&self, key: &Sensitive<[u8; 32]>) -> Result<()> {
        let chain = Arc::new(chain_key(key)?);
        let export = ExportKey::new(&derive(key, b"export")?)?;
        self.shared.keys.store(Some(Arc::new(Keys { chain, export })));
        Ok(())
    }

    /// Takes the key away.
    pub fn seal_up(&self) {
        self.shared.keys.store(None);
    }

    /// Commits a change together with its record. The places in a conflict count the caller's
    /// conditions only; the change may hold three items less than a transaction.
    ///
    /// # Errors
    /// `Unavailable` if the store or a required sink does not take the record in time; `Sealed`
    /// while the trail has no key.
    pub async fn commit(
        &self,
        ctx: &RequestContext,
        record: NewRecord,
        change: Transaction,
    ) -> Result<Outcome> {
        self.commit_all(ctx, &[record], change).await
    }

    /// Commits a change together with several records; see [`Audit::commit`].
    ///
    /// # Errors
    /// As [`Audit::commit`].
    pub async fn commit_all(
        &self,
        ctx: &RequestContext,
        records: &[NewRecord],
        change: Transaction,
    ) -> Result<Outcome> {
        let drafts = records.iter().map(|record| Draft::new(ctx, record)).collect::<Result<Vec<_>>>()?;
        self.shared.commit(&drafts.iter().collect::<Vec<_>>(), change).await
    }

    /// Records an access; returns when the record is kept, so that the answer may leave.
    ///
    /// # Errors
    /// `Unavailable` if no sink takes the record in time; `Sealed` while the trail has no key.
    pub async fn access(&self, ctx: &RequestContext, record: NewRecord) -> Result<()> {
        let draft = Draft::new(ctx, &record)?;
        let (done, kept) = oneshot::channel();
        let recorded = async {
            self.accesses.send(Access { draft, done }).await.map_err(|_| ErrorKind::Unavailable)?;
            kept.await.unwrap_or(Err(ErrorKind::Unavailable))
        };
        match tokio::time::timeout(self.shared.wait, recorded).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ErrorKind::Sealed)) => Err(Error::sealed()),
            Ok(Err(_)) | Err(_) => Err(unavailable()),
        }
    }

    /// Opens the sinks anew, after their files were rotated.
    ///
    /// # Errors
    /// `Unavailable` if one cannot be opened.
    pub async fn reopen(&self) -> Result<()> {
        self.shared.sinks.reopen().await
    }
}

/// Writes what waits, as one group at a time: while one is written, the next one gathers. Ends when
/// the last handle of the trail is gone and nothing waits.
async fn record_accesses(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Access>, durability: Durability) {
    let mut group = Vec::with_capacity(MAX_BATCH);
    while waiting.recv_many(&mut group, MAX_BATCH).await > 0 {
        // Whoever else is about to ask on this thread does so first: a group costs about as much as
        // one record.
        tokio::task::yield_now().await;
        while group.len() < MAX_BATCH
            && let Ok(access) = waiting.try_recv()
        {
            group.push(access);
        }
        // Whoever has given up was told so: recording it now would pile up work.
        group.retain(|access: &Access| !access.done.is_closed());
        let drafts: Vec<&Draft> = group.iter().map(|access| &access.draft).collect();
        let recorded = match drafts.as_slice() {
            [] => continue,
            drafts => record_group(&shared, drafts, durability).await,
        };
        for access in group.drain(..) {
            // The one who asked may have gone meanwhile.
            let _ = access.done.send(recorded);
        }
    }
}

async fn record_group(
    shared: &Arc<Shared>,
    drafts: &[&Draft],
    durability: Durability,
) -> Result<(), ErrorKind> {
    let change = Transaction { durability, ..Transaction::new() };
    match tokio::time::timeout(shared.wait, shared.commit(drafts, change)).await {
        Ok(Ok(Outcome::Committed { .. })) => Ok(()),
        Ok(Ok(Outcome::Conflict { .. })) => Err(ErrorKind::Internal),
        Ok(Err(error)) if error.kind() == ErrorKind::Sealed => Err(ErrorKind::Sealed),
        Ok(Err(error)) => {
            tracing::error!(?error, records = drafts.len(), "accesses could not be recorded");
            Err(ErrorKind::Unavailable)
        }
        Err(_) => {
            tracing::error!(records = drafts.len(), "accesses could not be recorded in time");
            Err(ErrorKind::Unavailable)
        }
    }
}

/// The key of the chains of an installation whose trail has this key.
pub(super) fn chain_key(key: &Sensitive<[u8; 32]>) -> Result<ChainKey> {
    Ok(ChainKey::new(&derive(key, b"chain")?))
}

/// A key of the trail for one purpose.
fn derive(key: &Sensitive<[u8; 32]>, purpose: &[u8]) -> Result<Sensitive<[u8; 32]>> {
    let mut derived = Sensitive::new([0; 32]);
    crate::crypto::derive(b"cms audit 1", key.expose(), purpose, derived.expose_mut())?;
    Ok(derived)
}
