// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A read cache over any store: single keys only, exactly as the backend holds them (sealed stays
//! sealed), invalidated by this process's own commits at once and by a watch for everybody else's.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures_util::stream::StreamExt;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{Entry, Event, Revision, Store, StoreResult};
use crate::counts::Counts;
use crate::error::Result;

/// How many shards of keys are told apart when a read races with a change.
const SHARDS: usize = 256;
/// The bound of the cache, in bytes of keys and values.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;

/// How many keys are expected.
const ABOUT: usize = 16 * 1024;
/// From how many readings on those are looked for that nobody waits for any more.
const READINGS: usize = 64;

/// Weighs a key with its value and what keeping them takes.
#[derive(Debug, Clone)]
struct BySize;

impl Weighter<Arc<str>, Arc<Cached>> for BySize {
    fn weight(&self, key: &Arc<str>, cached: &Arc<Cached>) -> u64 {
        (key.len() + cached.entry.as_ref().map_or(0, |entry| entry.value.len()) + 256) as u64
    }
}

/// A cached key: its entry (or that it does not exist), and what was parsed from it.
#[derive(Debug)]
pub struct Cached {
    entry: Option<Entry>,
    parsed: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    /// The generation of the cache in which it was read.
    generation: u64,
    /// Whether it is certain that no change came between the reading and the keeping.
    sure: AtomicBool,
}

impl Cached {
    /// The entry, if the key exists.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// What an earlier [`Cached::parsed`] has kept, if it is of this type.
    pub fn kept<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let kept = self.parsed.lock().clone();
        kept.and_then(|any| any.downcast::<T>().ok())
    }

    /// What `parse` makes of the entry, kept with it until the key changes.
    ///
    /// # Errors
    /// Whatever `parse` answers; errors are not kept.
    pub fn parsed<T, F>(&self, parse: F) -> Result<Option<Arc<T>>>
    where
        T: Any + Send + Sync,
        F: FnOnce(&Entry) -> Result<T>,
    {
        let Some(entry) = &self.entry else { return Ok(None) };
        if let Some(value) = self.kept::<T>() {
            return Ok(Some(value));
        }
        let value = Arc::new(parse(entry)?);
        self.keep(value.clone());
        Ok(Some(value))
    }

    /// Keeps what was made of the entry with it until the key changes, in the place of anything kept
    /// before. The cache does not weigh it: it must be about as large as the entry, or smaller.
    pub fn keep<T: Any + Send + Sync>(&self, value: Arc<T>) {
        *self.parsed.lock() = Some(value);
    }
}

/// A reading of the store that all share who want the key while it runs.
type Reading = Shared<BoxFuture<'static, StoreResult<Arc<Cached>>>>;

/// A reading that runs for as long as somebody waits for it.
struct Running(WeakShared<BoxFuture<'static, StoreResult<Arc<Cached>>>>);

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

/// When a reading began: the generation of the cache, and the epoch of its key.
type Moment = (u64, u64);

/// The cache. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ReadCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    entries: Cache<Arc<str>, Arc<Cached>, BySize>,
    /// What is being read, so that many who are woken by one change do not all ask the store.
    readings: Mutex<HashMap<Arc<str>, (Moment, Running)>>,
    /// Counts the changes of a shard's keys: a read that began before a change must not be kept.
    epochs: Vec<AtomicU64>,
    /// Counts how often everything was forgotten.
    generation: AtomicU64,
    /// The last revision that the watch has delivered.
    seen: AtomicU64,
    /// Whether the watch stands; without it nothing is kept.
    live: AtomicBool,
    counts: Arc<Counts>,
}

impl ReadCache {
    /// Builds a cache in front of a store. It keeps nothing until [`ReadCache::follow`] runs.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::counted(store, Arc::default())
    }

    /// The same, with its hits counted among others.
    pub(crate) fn counted(store: Arc<dyn Store>, counts: Arc<Counts>) -> Self {
        let entries = Cache::with_weighter(ABOUT, CAPACITY_BYTES, BySize);
        Self(Arc::new(Inner {
            store,
            entries,
            readings: Mutex::default(),
            epochs: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            generation: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            live: AtomicBool::new(false),
            counts,
        }))
    }

    /// Reads a key, from memory if it is there.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn get(&self, key: &str) -> Result<Arc<Cached>> {
        if let Some(cached) = self.peek(key) {
            self.0.counts.cache_hit();
            return Ok(cached);
        }
        self.0.counts.cache_missed();
        let generation = self.0.generation.load(Ordering::SeqCst);
        let moment = (generation, self.epoch(key).load(Ordering::SeqCst));
        // Without the watch nobody tells that a reading has become old.
        if self.0.live.load(Ordering::SeqCst) {
            Ok(self.reading(key, moment).await?)
        } else {
            Ok(self.clone().read(Arc::from(key), moment).await?)
        }
    }

    /// The reading of a key that runs, if it began after the last change, or one that begins now.
    fn reading(&self, key: &str, moment: Moment) -> Reading {
        let mut readings = self.0.readings.lock();
        let running = readings.get(key).filter(|(begun, _)| *begun == moment);
        if let Some(running) = running.and_then(|(_, running)| running.0.upgrade())
            && running.peek().is_none()
        {
            return running;
        }
        if readings.len() >= READINGS {
            readings.retain(|_, (_, running)| running.0.upgrade().is_some());
        }
        let key: Arc<str> = Arc::from(key);
        let reading = self.clone().read(key.clone(), moment).boxed().shared();
        if let Some(running) = reading.downgrade() {
            readings.insert(key, (moment, Running(running)));
        }
        reading
    }

    async fn read(self, key: Arc<str>, (generation, epoch): Moment) -> StoreResult<Arc<Cached>> {
        let entry = self.0.store.get(&key).await?;
        let sure = AtomicBool::new(false);
        let cached = Arc::new(Cached { entry, parsed: Mutex::new(None), generation, sure });
        if self.0.live.load(Ordering::SeqCst) {
            self.0.entries.insert(key.clone(), cached.clone());
            // A change since the reading has raised the epoch. One that comes from now on finds the
            // entry in its place and removes it.
            if self.epoch(&key).load(Ordering::SeqCst) == epoch {
                cached.sure.store(true, Ordering::SeqCst);
            } else {
                self.0.entries.remove(&key);
            }
        }
        Ok(cached)
    }

    /// What is remembered of a key, without asking the store.
    pub fn peek(&self, key: &str) -> Option<Arc<Cached>> {
        let cached = self.0.entries.get(key)?;
        let valid = cached.sure.load(Ordering::SeqCst)
            && cached.generation == self.0.generation.load(Ordering::SeqCst);
        valid.then_some(cached)
    }

    /// Forgets a key.
    pub fn invalidate(&self, key: &str) {
        self.epoch(key).fetch_add(1, Ordering::SeqCst);
        self.0.entries.remove(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        self.0.entries.clear();
    }

    /// The last revision of other processes that the cache reflects.
    pub fn seen(&self) -> Revision {
        self.0.seen.load(Ordering::SeqCst)
    }

    /// Follows the store's changes after a revision until the watch ends or the future is dropped;
    /// the caller starts it again. While it does not run, nothing is kept. Calls `on_event` for
    /// every changed key.
    ///
    /// # Errors
    /// What ended the watch.
    pub async fn follow(&self, after: Revision, on_event: impl Fn(&Event) + Send) -> Result<()> {
        let mut changes = self.0.store.watch("", after).await?;
        self.0.seen.store(after, Ordering::SeqCst);
        let _live = Live::begin(self);
        while let Some(batch) = changes.next().await {
            let batch = batch?;
            for event in &batch.events {
                self.invalidate(&event.key);
                on_event(event);
            }
            self.0.seen.store(batch.revision, Ordering::SeqCst);
        }
        Ok(())
    }

    fn epoch(&self, key: &str) -> &AtomicU64 {
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        self.0.epochs.get(shard).unwrap_or(&self.0.seen)
    }
}

/// The time in which the watch stands and entries are kept; also ends when the follower is dropped.
struct Live<'c>(&'c ReadCache);

impl<'c> Live<'c> {
    fn begin(cache: &'c ReadCache) -> Self {
        // Reads that began before the watch are of an earlier generation from here on.
        cache.clear();
        cache.0.live.store(true, Ordering::SeqCst);
        Self(cache)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.0.live.store(false, Ordering::SeqCst);
        self.0.clear();
    }
}

#[cfg(test)]
mod tests;
