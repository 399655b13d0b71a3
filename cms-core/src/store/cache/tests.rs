// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cache under the races that it exists to survive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ids::ProjectId;
use crate::store::{
    Cached, Capabilities, Db, Entry, LeaseId, MemoryStore, Outcome, Page, Range, ReadCache, Revision, Store,
    StoreError, StoreErrorKind, StoreResult, Transaction, WatchStream,
};

/// A store that counts reads, can hold an answer back and can break watches.
#[derive(Debug, Default)]
struct Probe {
    inner: MemoryStore,
    reads: AtomicUsize,
    hold: AtomicBool,
    held: Notify,
    release: Notify,
    /// Ends the present watch, once, with an error.
    breaks: Arc<Notify>,
}

#[async_trait]
impl Store for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &str) -> StoreResult<Option<Entry>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let entry = self.inner.get(key).await;
        if self.hold.swap(false, Ordering::SeqCst) {
            self.held.notify_one();
            self.release.notified().await;
        }
        entry
    }

    async fn range(&self, range: Range) -> StoreResult<Page> {
        self.inner.range(range).await
    }

    async fn transact(&self, transaction: Transaction) -> StoreResult<Outcome> {
        self.inner.transact(transaction).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> StoreResult<WatchStream> {
        let watch = self.inner.watch(prefix, after).await?;
        let breaks = self.breaks.clone();
        let broken = stream::once(async move {
            breaks.notified().await;
            Err(StoreError::new("probe", StoreErrorKind::Unavailable, "the watch broke"))
        });
        Ok(Box::pin(stream::select(watch, broken)))
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.inner.revision().await
    }

    async fn compact(&self, upto: Revision) -> StoreResult<()> {
        self.inner.compact(upto).await
    }

    async fn grant_lease(&self, ttl: Duration) -> StoreResult<LeaseId> {
        self.inner.grant_lease(ttl).await
    }

    async fn keep_lease(&self, lease: LeaseId) -> StoreResult<()> {
        self.inner.keep_lease(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> StoreResult<()> {
        self.inner.revoke_lease(lease).await
    }

    async fn check(&self) -> StoreResult<()> {
        self.inner.check().await
    }
}

fn text(cached: &Cached) -> Option<String> {
    cached.entry().map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction::new().put(key, value.to_owned())
}

/// A cache whose watch stands.
async fn followed(store: Arc<Probe>) -> (Db, JoinHandle<()>) {
    let db = Db::new(store);
    let follower = db.clone();
    let task = tokio::spawn(async move { follower.follow().await });
    live(&db).await;
    (db, task)
}

/// Waits until the cache keeps what it reads.
async fn live(db: &Db) {
    loop {
        db.cached("warm").await.unwrap();
        if db.peek("warm").is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn eventually(db: &Db, key: &str, expected: Option<&str>) {
    for _ in 0..500 {
        if text(&db.cached(key).await.unwrap()).as_deref() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("`{key}` did not become {expected:?}");
}

#[tokio::test]
async fn a_second_read_does_not_ask_the_store() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    db.commit(put("a", "1")).await.unwrap();
    db.cached("a").await.unwrap();
    let reads = store.reads.load(Ordering::SeqCst);
    assert_eq!(text(&db.cached("a").await.unwrap()).as_deref(), Some("1"));
    assert!(db.cached("absent").await.unwrap().entry().is_none());
    assert!(db.cached("absent").await.unwrap().entry().is_none());
    assert_eq!(store.reads.load(Ordering::SeqCst), reads + 1, "an absent key is remembered too");
}

#[tokio::test]
async fn an_own_commit_is_seen_at_once() {
    let (db, _task) = followed(Arc::new(Probe::default())).await;
    for number in 0..200 {
        let value = number.to_string();
        db.commit(put("a", &value)).await.unwrap();
        assert_eq!(text(&db.cached("a").await.unwrap()), Some(value));
    }
    db.commit(Transaction::new().delete_prefix("a")).await.unwrap();
    assert!(db.cached("a").await.unwrap().entry().is_none());
}

#[tokio::test]
async fn a_commit_past_the_cache_is_seen_soon() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    eventually(&db, "a", None).await;
    store.transact(put("a", "1")).await.unwrap();
    eventually(&db, "a", Some("1")).await;
    store.transact(Transaction::new().delete("a")).await.unwrap();
    eventually(&db, "a", None).await;
}

#[tokio::test]
async fn an_answer_that_a_commit_has_overtaken_is_not_kept() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    db.commit(put("a", "old")).await.unwrap();
    store.hold.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let db = db.clone();
        async move { db.cached("a").await.unwrap() }
    });
    store.held.notified().await;
    db.commit(put("a", "new")).await.unwrap();
    store.release.notify_one();
    assert_eq!(text(&slow.await.unwrap()).as_deref(), Some("old"), "it began before the commit");
    assert_eq!(text(&db.cached("a").await.unwrap()).as_deref(), Some("new"));
}

#[tokio::test]
async fn an_answer_from_before_everything_was_forgotten_is_not_kept() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    db.commit(put("p/a", "old")).await.unwrap();
    store.hold.store(true, Ordering::SeqCst);
    let slow = tokio::spawn({
        let db = db.clone();
        async move { db.cached("p/a").await.unwrap() }
    });
    store.held.notified().await;
    db.commit(Transaction::new().delete_prefix("p/")).await.unwrap();
    store.release.notify_one();
    slow.await.unwrap();
    assert!(db.cached("p/a").await.unwrap().entry().is_none());
}

#[tokio::test]
async fn nothing_is_kept_while_nobody_follows() {
    let store = Arc::new(Probe::default());
    let (db, task) = followed(store.clone()).await;
    db.cached("a").await.unwrap();
    task.abort();
    drop(task.await);
    store.transact(put("a", "1")).await.unwrap();
    assert_eq!(text(&db.cached("a").await.unwrap()).as_deref(), Some("1"));
    store.transact(put("a", "2")).await.unwrap();
    assert_eq!(text(&db.cached("a").await.unwrap()).as_deref(), Some("2"));
}

#[tokio::test]
async fn what_was_parsed_goes_with_its_entry() {
    let (db, _task) = followed(Arc::new(Probe::default())).await;
    db.commit(put("a", "7")).await.unwrap();
    let parse = |entry: &Entry| Ok(String::from_utf8_lossy(&entry.value).parse::<u64>().unwrap());
    let first = db.cached("a").await.unwrap().parsed(parse).unwrap().unwrap();
    let again = db.cached("a").await.unwrap().parsed(parse).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &again), "parsed once");
    db.commit(put("a", "8")).await.unwrap();
    assert_eq!(*db.cached("a").await.unwrap().parsed(parse).unwrap().unwrap(), 8);
}

#[tokio::test]
async fn many_who_want_a_key_at_once_ask_the_store_once() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    db.commit(put("a", "1")).await.unwrap();
    let reads = store.reads.load(Ordering::SeqCst);
    store.hold.store(true, Ordering::SeqCst);
    let ask = || {
        let db = db.clone();
        tokio::spawn(async move { text(&db.cached("a").await.unwrap()) })
    };
    // Whoever asked first may go away.
    let first = ask();
    store.held.notified().await;
    let others: Vec<_> = (0..100).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    first.abort();
    store.release.notify_one();
    for other in others {
        assert_eq!(other.await.unwrap().as_deref(), Some("1"));
    }
    assert_eq!(store.reads.load(Ordering::SeqCst), reads + 1);
}

#[tokio::test]
async fn who_asks_after_a_commit_does_not_share_a_reading_from_before() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    db.commit(put("a", "old")).await.unwrap();
    store.hold.store(true, Ordering::SeqCst);
    let early = tokio::spawn({
        let db = db.clone();
        async move { text(&db.cached("a").await.unwrap()) }
    });
    store.held.notified().await;
    db.commit(put("a", "new")).await.unwrap();
    assert_eq!(text(&db.cached("a").await.unwrap()).as_deref(), Some("new"));
    store.release.notify_one();
    assert_eq!(early.await.unwrap().as_deref(), Some("old"));
    assert_eq!(text(&db.cached("a").await.unwrap()).as_deref(), Some("new"));
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    let mut bell = db.bell(&ProjectId::parse("a").unwrap(), "env");
    store.transact(put("p/a/env/x", "1")).await.unwrap();
    bell.changed().await.unwrap();
    store.breaks.notify_one();
    tokio::time::sleep(Duration::from_millis(10)).await;
    store.transact(put("p/a/env/x", "2")).await.unwrap();
    let read = db.cached("p/a/env/x").await.unwrap();
    assert_eq!(text(&read).as_deref(), Some("2"), "nothing is kept meanwhile");
    bell.changed().await.unwrap();
    live(&db).await;
    assert!(!bell.has_changed().unwrap(), "it is told once");
}

#[tokio::test]
async fn bells_ring_when_history_was_forgotten() {
    let store = Arc::new(Probe::default());
    let (db, _task) = followed(store.clone()).await;
    store.transact(put("a", "1")).await.unwrap();
    eventually(&db, "a", Some("1")).await;
    let mut bell = db.bell(&ProjectId::parse("a").unwrap(), "env");
    store.breaks.notify_one();
    tokio::time::sleep(Duration::from_millis(10)).await;
    store.transact(put("a", "2")).await.unwrap();
    store.transact(put("a", "3")).await.unwrap();
    store.compact(3).await.unwrap();
    bell.changed().await.unwrap();
    live(&db).await;
    assert!(!bell.has_changed().unwrap());
    store.transact(put("p/a/env/x", "4")).await.unwrap();
    bell.changed().await.unwrap();
}

/// Readers and writers at random: after a writer's own commit, no reader may see what was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_ever_goes_back_behind_an_acknowledged_commit() {
    let (db, _task) = followed(Arc::new(Probe::default())).await;
    let floor = Arc::new(AtomicUsize::new(0));
    db.commit(put("a", "0")).await.unwrap();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (db, floor) = (db.clone(), floor.clone());
            tokio::spawn(async move {
                while floor.load(Ordering::SeqCst) < 3000 {
                    let least = floor.load(Ordering::SeqCst);
                    let seen: usize = text(&db.cached("a").await.unwrap()).unwrap().parse().unwrap();
                    assert!(seen >= least, "saw {seen} after {least} was acknowledged");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 1..=3000 {
        db.commit(put("a", &number.to_string())).await.unwrap();
        floor.store(number, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_bare_cache_forgets_on_demand() {
    let store = Arc::new(Probe::default());
    let cache = ReadCache::new(store.clone());
    store.transact(put("a", "1")).await.unwrap();
    cache.get("a").await.unwrap();
    assert!(cache.peek("a").is_none(), "nothing is kept without a watch");
    assert_eq!(cache.seen(), 0);
}
