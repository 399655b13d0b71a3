// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store itself: each method goes to the writer, the readers or the hub.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cms_core::store::{
    Capabilities, Entry, LeaseId, MAX_TRANSACTION_ITEMS, Outcome, Page, Range, Revision, Store,
    StoreErrorKind, StoreResult, Transaction, WatchStream, check_transaction,
};

use super::check::{check, check_rows};
use super::config::EmbeddedConfig;
use super::error::{NAME, fail, from_sqlite};
use super::readers::{self, Readers};
use super::reserve;
use super::schema::{prepare, present};
use super::watch::{self, Hub};
use super::writer::{Done, Work, Writer};

/// The embedded store: one SQLite file that several processes of one machine may open at once.
#[derive(Debug)]
pub struct EmbeddedStore {
    writer: Writer,
    readers: Readers,
    hub: Arc<Hub>,
}

impl EmbeddedStore {
    /// Opens the store, and makes it if it does not exist. Blocks the thread.
    ///
    /// # Errors
    /// `Unsupported` for a file of another program or a newer format, `Corrupt` for a damaged one
    /// (neither is changed), `Unavailable` for one that cannot be opened.
    pub fn open(config: EmbeddedConfig) -> StoreResult<Self> {
        let opened = match Self::open_once(&config) {
            Err(error) if error.kind() == StoreErrorKind::Full && reserve::give_up(&config) => {
                tracing::warn!(%error, "the disk is full: opening the store in the room that was kept for this");
                Self::open_once(&config)
            }
            opened => opened,
        };
        opened.inspect(|_| reserve::keep(&config))
    }

    fn open_once(config: &EmbeddedConfig) -> StoreResult<Self> {
        prepare(config)?;
        let readers = Readers::new(config.clone());
        readers.read(|conn| {
            let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            let size: i64 = conn.query_row(sql, [], |row| row.get(0)).map_err(from_sqlite)?;
            let small = u64::try_from(size).is_ok_and(|size| size <= config.check_bytes);
            if small { check_rows(conn) } else { Ok(()) }
        })?;
        let hub = Arc::new(Hub::default());
        let writer = Writer::start(config.clone(), hub.clone())?;
        Ok(Self { writer, readers, hub })
    }

    async fn ask_nothing(&self, work: Work) -> StoreResult<()> {
        self.writer.ask(work).await.map(|_| ())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.hub.close();
    }
}

/// The writer answers each kind of work with its kind of answer; anything else is a defect.
fn unexpected(done: &Done) -> cms_core::store::StoreError {
    fail(StoreErrorKind::Unknown, format!("the writer gave the answer of another request: {done:?}"))
}

#[async_trait]
impl Store for EmbeddedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            shared: true,
            leases: true,
            keyed_history: true,
            transaction_items: MAX_TRANSACTION_ITEMS,
        }
    }

    async fn get(&self, key: &str) -> StoreResult<Option<Entry>> {
        let key = key.to_owned();
        self.readers.brief(move |conn| readers::get(conn, &key)).await
    }

    async fn range(&self, range: Range) -> StoreResult<Page> {
        self.readers.run(move |conn| readers::range(conn, &range)).await
    }

    async fn transact(&self, transaction: Transaction) -> StoreResult<Outcome> {
        check_transaction(NAME, &transaction)?;
        match self.writer.ask(Work::Transact(transaction)).await? {
            Done::Outcome(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> StoreResult<WatchStream> {
        watch::watch(&self.hub, &self.readers, prefix, after).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.readers.brief(present).await
    }

    async fn compact(&self, upto: Revision) -> StoreResult<()> {
        self.ask_nothing(Work::Forget(upto)).await
    }

    async fn grant_lease(&self, ttl: Duration) -> StoreResult<LeaseId> {
        match self.writer.ask(Work::Grant(ttl)).await? {
            Done::Lease(lease) => Ok(lease),
            other => Err(unexpected(&other)),
        }
    }

    async fn keep_lease(&self, lease: LeaseId) -> StoreResult<()> {
        self.ask_nothing(Work::Keep(lease)).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> StoreResult<()> {
        self.ask_nothing(Work::Revoke(lease)).await
    }

    async fn check(&self) -> StoreResult<()> {
        self.readers.run(check).await
    }
}
