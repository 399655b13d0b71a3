// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store itself: each method is one call, or a few, to the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cms_core::store::{
    Capabilities, Entry, LeaseId, Outcome, Page, Range, Revision, Store, StoreErrorKind, StoreResult,
    Transaction, WatchStream, check_transaction,
};

use super::calls::{Compact, Get};
use super::check;
use super::client::{Again, Client};
use super::config::EtcdConfig;
use super::error::NAME;
use super::keys::{Keys, theirs};
use super::lease;
use super::range;
use super::txn;
use super::watch;

/// A folder in an etcd cluster, which any number of servers may use at once.
#[derive(Debug)]
pub struct EtcdStore {
    config: EtcdConfig,
    client: Arc<Client>,
    keys: Keys,
    warning: Option<String>,
    /// The revision up to which the history is still to be forgotten, because something was erased.
    owed: AtomicI64,
}

impl EtcdStore {
    /// Connects, and checks what answers.
    ///
    /// # Errors
    /// `Unavailable` if nobody answers or CMS may not read; `Unsupported` for settings that cannot be used
    /// and for an etcd before 3.4.
    pub async fn connect(config: EtcdConfig) -> StoreResult<Self> {
        let client = Arc::new(Client::new(&config).await?);
        let warning = check::version(&client).await?;
        let keys = Keys::new(&config.prefix);
        let store = Self { config, client, keys, warning, owed: AtomicI64::new(0) };
        store.owe_what_was_marked().await?;
        store.pay().await;
        Ok(store)
    }

    /// Somebody may have erased and died before the history was forgotten.
    async fn owe_what_was_marked(&self) -> StoreResult<()> {
        let request = Get { key: self.keys.mark(), ..Get::default() };
        let marked = self.client.call(request, Again::Safe).await?.kvs;
        if let Some(mark) = marked.first() {
            self.owed.fetch_max(mark.mod_revision, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Forgets the history that erasures want forgotten. What fails is tried again with the next change.
    async fn pay(&self) {
        let owed = self.owed.load(Ordering::Acquire);
        if owed == 0 {
            return;
        }
        match self.forget(owed).await {
            // More may be owed by now.
            Ok(()) => drop(self.owed.compare_exchange(owed, 0, Ordering::AcqRel, Ordering::Acquire)),
            Err(error) => {
                tracing::warn!(%error, "etcd still keeps the history of what was erased; it is forgotten later");
            }
        }
    }

    /// Forgets the history up to a revision of etcd's.
    async fn forget(&self, revision: i64) -> StoreResult<()> {
        match self.client.call(Compact(revision), Again::Safe).await {
            // It is forgotten already.
            Err(error) if error.kind() == StoreErrorKind::Compacted => Ok(()),
            ended => ended.map(|_| ()),
        }
    }
}

#[async_trait]
impl Store for EtcdStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            shared: true,
            leases: true,
            keyed_history: false,
            transaction_items: self.config.max_operations,
        }
    }

    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    async fn get(&self, key: &str) -> StoreResult<Option<Entry>> {
        range::get(&self.client, &self.keys, key).await
    }

    async fn range(&self, range: Range) -> StoreResult<Page> {
        range::range(&self.client, &self.keys, &range).await
    }

    async fn transact(&self, transaction: Transaction) -> StoreResult<Outcome> {
        check_transaction(NAME, &transaction)?;
        let request = txn::request(&self.config, &self.keys, &transaction)?;
        let outcome = txn::commit(&self.client, &transaction, request).await?;
        if let Outcome::Committed { revision } = outcome
            && !transaction.erased.is_empty()
        {
            self.owed.fetch_max(theirs(revision), Ordering::AcqRel);
        }
        self.pay().await;
        Ok(outcome)
    }

    async fn watch(&self, prefix: &str, after: Revision) -> StoreResult<WatchStream> {
        watch::watch(&self.client, &self.keys, prefix, after).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        range::revision(&self.client, &self.keys, None).await
    }

    async fn compact(&self, upto: Revision) -> StoreResult<()> {
        let present = self.revision().await?;
        self.forget(theirs(upto.min(present))).await
    }

    async fn grant_lease(&self, ttl: Duration) -> StoreResult<LeaseId> {
        lease::grant(&self.client, ttl).await
    }

    async fn keep_lease(&self, lease: LeaseId) -> StoreResult<()> {
        lease::keep(&self.client, lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> StoreResult<()> {
        lease::revoke(&self.client, lease).await
    }

    async fn check(&self) -> StoreResult<()> {
        check::check(&self.client, &self.keys).await
    }
}
