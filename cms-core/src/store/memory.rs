// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reference model of a store: everything in memory, nothing durable, as plain as can be.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::limits::check_transaction;
use super::{
    Batch, Capabilities, Condition, Entry, Event, LeaseId, MAX_PAGE_BYTES, MAX_TRANSACTION_ITEMS, Operation,
    Outcome, Page, Range, Revision, Store, StoreError, StoreErrorKind, StoreResult, Transaction, WatchStream,
};

const NAME: &str = "memory";
/// How many revisions a watch can go back.
const KEPT_REVISIONS: usize = 100_000;
/// How many entries a range read answers when it names no limit.
const DEFAULT_LIMIT: usize = 1000;

/// A store in memory. Cloning shares it; it ends with its last clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the watches: after each change, and when a lease begins.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<String, Item>,
    revision: Revision,
    /// The last revision that `history` no longer holds.
    compacted: Revision,
    history: VecDeque<Batch>,
    leases: BTreeMap<LeaseId, Lease>,
    last_lease: u64,
}

#[derive(Debug)]
struct Item {
    entry: Entry,
    lease: Option<LeaseId>,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends: Instant,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `act` on the state as it is now: without what hangs on ended leases.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.lock();
        let before = state.revision;
        state.expire(Instant::now());
        let result = act(&mut state);
        let changed = state.revision != before;
        drop(state);
        if changed {
            self.0.changed.send_replace(());
        }
        result
    }
}

impl State {
    fn transact(&mut self, transaction: Transaction) -> StoreResult<Outcome> {
        let failed: Vec<usize> = transaction
            .conditions
            .iter()
            .enumerate()
            .filter(|(_, condition)| !self.holds(condition))
            .map(|(place, _)| place)
            .collect();
        if !failed.is_empty() {
            return Ok(Outcome::Conflict { failed });
        }
        for operation in &transaction.operations {
            if let Operation::Put { lease: Some(lease), .. } = operation {
                self.lease(*lease)?;
            }
        }
        let created: BTreeMap<String, Revision> = match transaction.erased.is_empty() {
            true => BTreeMap::new(),
            false => {
                let erased = self.items.values().filter(|item| transaction.erases(&item.entry.key));
                erased.map(|item| (item.entry.key.clone(), item.entry.created)).collect()
            }
        };
        let before = self.revision;
        self.apply(transaction.operations);
        self.erase(before, created);
        Ok(Outcome::Committed { revision: self.revision })
    }

    fn holds(&self, condition: &Condition) -> bool {
        let item = self.items.get(condition.key());
        match condition {
            Condition::Absent(_) => item.is_none(),
            Condition::Present(_) => item.is_some(),
            Condition::Unchanged(_, revision) => item.is_some_and(|item| item.entry.modified == *revision),
        }
    }

    fn apply(&mut self, operations: Vec<Operation>) {
        let revision = self.revision + 1;
        let mut events = BTreeMap::new();
        for operation in operations {
            match operation {
                Operation::Put { key, value, lease } => {
                    let entry = self.put(&key, value, lease, revision);
                    events.insert(key, Some(entry));
                }
                Operation::Delete { key } => {
                    if self.items.remove(&key).is_some() {
                        events.insert(key, None);
                    }
                }
                Operation::DeletePrefix { prefix } => {
                    let keys: Vec<String> = self.under(&prefix).map(|item| item.entry.key.clone()).collect();
                    for key in keys {
                        self.items.remove(&key);
                        events.insert(key, None);
                    }
                }
            }
        }
        self.record(revision, events);
    }

    fn put(&mut self, key: &str, value: Bytes, lease: Option<LeaseId>, revision: Revision) -> Entry {
        let (created, version) =
            self.items.get(key).map_or((revision, 1), |item| (item.entry.created, item.entry.version + 1));
        let entry = Entry { key: key.to_owned(), value, created, modified: revision, version };
        self.items.insert(key.to_owned(), Item { entry: entry.clone(), lease });
        entry
    }

    /// Makes the revision the present one, unless nothing was changed.
    fn record(&mut self, revision: Revision, events: BTreeMap<String, Option<Entry>>) {
        if events.is_empty() {
            return;
        }
        let events = events.into_iter().map(|(key, entry)| Event { key, entry }).collect();
        self.history.push_back(Batch { revision, events });
        self.revision = revision;
        if self.history.len() > KEPT_REVISIONS {
            self.compact(self.compacted + 1);
        }
    }

    /// Takes the values up to a revision out of the history, of those keys that were changed behind
    /// it, each since the revision given.
    fn erase(&mut self, upto: Revision, mut created: BTreeMap<String, Revision>) {
        let Some(last) = self.history.back().filter(|batch| batch.revision > upto) else { return };
        created.retain(|key, _| last.events.iter().any(|event| event.key == *key));
        for batch in self.history.iter_mut().rev().skip_while(|batch| batch.revision > upto) {
            for event in &mut batch.events {
                if created.get(&event.key).is_some_and(|created| *created <= batch.revision) {
                    event.entry = None;
                }
            }
        }
    }

    fn under<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'s Item> {
        self.items
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(_, item)| item)
            .take_while(move |item| item.entry.key.starts_with(prefix))
    }

    fn range(&self, range: &Range) -> Page {
        let limit = if range.limit == 0 { DEFAULT_LIMIT } else { range.limit };
        let end = match range.end.as_str() {
            "" => Bound::Unbounded,
            end => Bound::Excluded(end.max(&range.start)),
        };
        let inside = self.items.range::<str, _>((Bound::Included(range.start.as_str()), end));
        let entries = inside.map(|(_, item)| item.entry.clone());
        let (entries, more) =
            if range.descending { page(entries.rev(), limit) } else { page(entries, limit) };
        Page { entries, more, revision: self.revision }
    }

    fn compact(&mut self, upto: Revision) {
        while self.history.front().is_some_and(|batch| batch.revision <= upto) {
            if let Some(batch) = self.history.pop_front() {
                self.compacted = batch.revision;
            }
        }
    }

    /// The changes under a prefix after a revision, and the revision up to which they reach.
    fn changes(&self, prefix: &str, after: Revision) -> StoreResult<(VecDeque<Batch>, Revision)> {
        if after < self.compacted || after > self.revision {
            let text = format!(
                "revision {after} is outside of {} to {}, which is kept: start again from the present state",
                self.compacted, self.revision
            );
            return Err(StoreError::new(NAME, StoreErrorKind::Compacted, text));
        }
        let known = usize::try_from(after - self.compacted).unwrap_or(usize::MAX);
        let batches = self.history.iter().skip(known).filter_map(|batch| {
            let events: Vec<Event> =
                batch.events.iter().filter(|event| event.key.starts_with(prefix)).cloned().collect();
            (!events.is_empty()).then_some(Batch { revision: batch.revision, events })
        });
        Ok((batches.collect(), self.revision))
    }

    fn lease(&mut self, id: LeaseId) -> StoreResult<&mut Lease> {
        self.leases.get_mut(&id).ok_or_else(|| {
            let text = format!("lease `{}` has ended or was never granted: grant a new one", id.0);
            StoreError::new(NAME, StoreErrorKind::Unsupported, text)
        })
    }

    fn expire(&mut self, now: Instant) {
        let ended: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| lease.ends <= now).map(|(id, _)| *id).collect();
        for id in ended {
            self.end_lease(id);
        }
    }

    fn end_lease(&mut self, id: LeaseId) {
        self.leases.remove(&id);
        let keys: Vec<String> = self
            .items
            .values()
            .filter(|item| item.lease == Some(id))
            .map(|item| item.entry.key.clone())
            .collect();
        self.apply(keys.into_iter().map(|key| Operation::Delete { key }).collect());
    }
}

fn page(entries: impl Iterator<Item = Entry>, limit: usize) -> (Vec<Entry>, bool) {
    let mut page = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        if page.len() == limit || bytes >= MAX_PAGE_BYTES {
            return (page, true);
        }
        bytes += entry.value.len();
        page.push(entry);
    }
    (page, false)
}

/// One watch: where it stands, and what it has read but not yet delivered.
struct Cursor {
    store: MemoryStore,
    prefix: String,
    at: Revision,
    ready: VecDeque<Batch>,
    changed: watch::Receiver<()>,
    ended: bool,
}

impl Cursor {
    async fn next(&mut self) -> Option<StoreResult<Batch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Some(Ok(batch));
            }
            if self.ended {
                return None;
            }
            self.changed.mark_unchanged();
            let read = self.store.with(|state| state.changes(&self.prefix, self.at));
            match read {
                Ok((ready, at)) => (self.ready, self.at) = (ready, at),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
            if self.ready.is_empty() {
                self.wait().await;
            }
        }
    }

    /// Waits for a change, or for the moment at which a lease ends.
    async fn wait(&mut self) {
        let ends = self.store.0.state.lock().leases.values().map(|lease| lease.ends).min();
        // The sender lives in the store that this cursor holds: it cannot be gone.
        match ends {
            Some(ends) => drop(tokio::time::timeout_at(ends, self.changed.changed()).await),
            None => drop(self.changed.changed().await),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: false,
            shared: false,
            leases: true,
            keyed_history: true,
            transaction_items: MAX_TRANSACTION_ITEMS,
        }
    }

    async fn get(&self, key: &str) -> StoreResult<Option<Entry>> {
        Ok(self.with(|state| state.items.get(key).map(|item| item.entry.clone())))
    }

    async fn range(&self, range: Range) -> StoreResult<Page> {
        Ok(self.with(|state| state.range(&range)))
    }

    async fn transact(&self, transaction: Transaction) -> StoreResult<Outcome> {
        check_transaction(NAME, &transaction)?;
        self.with(|state| state.transact(transaction))
    }

    async fn watch(&self, prefix: &str, after: Revision) -> StoreResult<WatchStream> {
        let changed = self.0.changed.subscribe();
        let (ready, at) = self.with(|state| state.changes(prefix, after))?;
        let prefix = prefix.to_owned();
        let cursor = Cursor { store: self.clone(), prefix, at, ready, changed, ended: false };
        Ok(Box::pin(stream::unfold(cursor, |mut cursor| async move {
            cursor.next().await.map(|item| (item, cursor))
        })))
    }

    async fn revision(&self) -> StoreResult<Revision> {
        Ok(self.with(|state| state.revision))
    }

    async fn compact(&self, upto: Revision) -> StoreResult<()> {
        self.with(|state| state.compact(upto));
        Ok(())
    }

    async fn grant_lease(&self, ttl: Duration) -> StoreResult<LeaseId> {
        let ttl = ttl.max(Duration::from_secs(1));
        let id = self.with(|state| {
            state.last_lease += 1;
            let id = LeaseId(state.last_lease);
            state.leases.insert(id, Lease { ttl, ends: Instant::now() + ttl });
            id
        });
        self.0.changed.send_replace(());
        Ok(id)
    }

    async fn keep_lease(&self, lease: LeaseId) -> StoreResult<()> {
        self.with(|state| {
            let lease = state.lease(lease)?;
            lease.ends = Instant::now() + lease.ttl;
            Ok(())
        })
    }

    async fn revoke_lease(&self, lease: LeaseId) -> StoreResult<()> {
        self.with(|state| {
            state.lease(lease)?;
            state.end_lease(lease);
            Ok(())
        })
    }

    async fn check(&self) -> StoreResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_sees_the_end_of_a_lease() {
        let store = MemoryStore::new();
        let lease = store.grant_lease(Duration::from_secs(5)).await.unwrap();
        let mut put = Transaction::new();
        put.operations.push(Operation::Put { key: "a".into(), value: "1".into(), lease: Some(lease) });
        store.transact(put).await.unwrap();
        let mut watch = store.watch("", 0).await.unwrap();
        assert!(watch.next().await.unwrap().unwrap().events[0].entry.is_some());
        assert!(watch.next().await.unwrap().unwrap().events[0].entry.is_none());
        assert_eq!(store.get("a").await.unwrap(), None);
        assert!(store.keep_lease(lease).await.is_err());
    }

    #[tokio::test]
    async fn a_range_that_ends_before_it_starts_is_empty() {
        let store = MemoryStore::new();
        store.transact(Transaction::new().put("b", "1")).await.unwrap();
        let range = Range { start: "c".into(), end: "a".into(), limit: 0, descending: false };
        assert!(store.range(range).await.unwrap().entries.is_empty());
    }
}
