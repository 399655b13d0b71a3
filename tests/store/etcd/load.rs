// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writers that count what was acknowledged, and watchers that note what they saw; afterwards both are held
//! against what is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cms_core::store::{Batch, Condition, Outcome, Range, Revision, Store, StoreErrorKind, Transaction};
use cms_tests::Etcd;
use futures_util::StreamExt;
use libtest_mimic::Failed;
use tokio::task::JoinHandle;

use super::open;
use crate::ensure;

/// How many writers compare before they count, and how many just write.
const COUNTERS: usize = 3;
const WRITERS: usize = 2;

/// A load that runs.
pub struct Load {
    store: Arc<dyn Store>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Result<Tally, Failed>>>,
    watchers: Vec<JoinHandle<Result<Vec<Batch>, Failed>>>,
    begun: Revision,
}

/// What a writer was told.
#[derive(Debug, Default)]
pub struct Tally {
    key: String,
    acknowledged: u64,
    unknown: u64,
    refused: u64,
    /// The longest time between two acknowledgements.
    gap: Duration,
}

impl Load {
    /// Begins, each writer and watcher with a store of its own.
    pub async fn start(etcd: &Etcd) -> Result<Self, Failed> {
        let store = open(etcd).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let begun = store.revision().await?;
        let mut watchers = Vec::new();
        for _ in 0..2 {
            let watcher = open(etcd).await?;
            let watch = watcher.watch("", begun).await?;
            watchers.push(tokio::spawn(watch_all(watcher, watch)));
        }
        let mut writers = Vec::new();
        for number in 0..COUNTERS {
            writers.push(tokio::spawn(count(open(etcd).await?, format!("count/{number}"), stop.clone())));
        }
        for number in 0..WRITERS {
            writers.push(tokio::spawn(write(open(etcd).await?, format!("write/{number}"), stop.clone())));
        }
        Ok(Self { store, stop, writers, watchers, begun })
    }

    /// Ends the load, checks everything and prints the numbers.
    pub async fn check(self, what: &str) -> Result<(), Failed> {
        self.stop.store(true, Ordering::Release);
        let mut tallies = Vec::new();
        for writer in self.writers {
            tallies.push(writer.await??);
        }
        let last = self.store.transact(Transaction::new().put("end", "")).await?;
        ensure(matches!(last, Outcome::Committed { .. }), || format!("{last:?}"))?;
        let mut seen = Vec::new();
        for watcher in self.watchers {
            seen.push(watcher.await??);
        }
        ensure(seen[0] == seen[1], || "two watchers saw different changes".to_owned())?;
        for tally in &tallies {
            self::check(&*self.store, tally, &seen[0]).await?;
        }
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
        let gap_of = |folder: &str| {
            let gaps = tallies.iter().filter(|tally| tally.key.starts_with(folder)).map(|tally| tally.gap);
            gaps.max().unwrap_or_default()
        };
        let (counted, written) = (gap_of("count/"), gap_of("write/"));
        println!(
            "{what}: {} writes acknowledged, {} of unknown outcome, {} refused; the longest gap {:.1} s where \
             conditions let a change be sent again, {:.1} s otherwise; {} changes seen by each of two watchers since revision {}; 0 lost, 0 repeated",
            sum(|tally| tally.acknowledged),
            sum(|tally| tally.unknown),
            sum(|tally| tally.refused),
            counted.as_secs_f64(),
            written.as_secs_f64(),
            seen[0].len(),
            self.begun,
        );
        ensure(counted < Duration::from_secs(30), || format!("nothing was written for {counted:?}"))
    }
}

/// Holds what a writer was told against what is there and what was seen.
async fn check(store: &dyn Store, tally: &Tally, seen: &[Batch]) -> Result<(), Failed> {
    let entry = store.get(&tally.key).await?.ok_or("a writer wrote nothing")?;
    let (least, most) = (tally.acknowledged, tally.acknowledged + tally.unknown);
    ensure((least..=most).contains(&entry.version), || {
        format!("`{}` was written {} times: {tally:?}", tally.key, entry.version)
    })?;
    let events = seen.iter().flat_map(|batch| &batch.events).filter(|event| event.key == tally.key);
    let versions: Vec<u64> =
        events.filter_map(|event| event.entry.as_ref().map(|entry| entry.version)).collect();
    ensure(versions.iter().copied().eq(1..=entry.version), || {
        format!("`{}` has version {}, and the watch saw {versions:?}", tally.key, entry.version)
    })?;
    if !tally.key.starts_with("count/") {
        return Ok(());
    }
    ensure(entry.value == entry.version.to_string().as_bytes(), || format!("a count went wrong: {entry:?}"))?;
    // Each step has left a key beside it.
    let mut found = BTreeMap::new();
    let folder = format!("step/{}/", tally.key);
    let mut range = Range::prefix(&folder);
    loop {
        let page = store.range(range).await?;
        found.extend(page.entries.iter().map(|entry| (entry.key.clone(), entry.version)));
        match page.entries.last() {
            Some(last) if page.more => range = Range::prefix(&folder).after(&last.key),
            _ => break,
        }
    }
    ensure(found.len() as u64 == entry.version && found.values().all(|version| *version == 1), || {
        format!("{} steps of `{}` are there, of {}", found.len(), tally.key, entry.version)
    })
}

/// Counts one key up, each step only if the one before is the last.
async fn count(store: Arc<dyn Store>, key: String, stop: Arc<AtomicBool>) -> Result<Tally, Failed> {
    let mut tally = Tally { key, ..Tally::default() };
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let Ok(old) = store.get(&tally.key).await else {
            tally.refused += 1;
            continue;
        };
        let number = old.as_ref().map_or(0, |entry| entry.version) + 1;
        let step = format!("step/{}/{number:08}", tally.key);
        let change = Transaction::new()
            .when(Condition::as_read(&tally.key, old.as_ref()))
            .put(tally.key.clone(), number.to_string())
            .put(step, "");
        tally.note(store.transact(change).await, &mut last)?;
    }
    tally.gap = tally.gap.max(last.elapsed());
    Ok(tally)
}

/// Writes a key again and again, whatever it holds.
async fn write(store: Arc<dyn Store>, key: String, stop: Arc<AtomicBool>) -> Result<Tally, Failed> {
    let mut tally = Tally { key, ..Tally::default() };
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let change = Transaction::new().put(tally.key.clone(), tally.acknowledged.to_string());
        tally.note(store.transact(change).await, &mut last)?;
    }
    tally.gap = tally.gap.max(last.elapsed());
    Ok(tally)
}

impl Tally {
    fn note(
        &mut self,
        outcome: cms_core::store::StoreResult<Outcome>,
        last: &mut Instant,
    ) -> Result<(), Failed> {
        match outcome {
            Ok(Outcome::Committed { .. }) => {
                self.acknowledged += 1;
                self.gap = self.gap.max(last.elapsed());
                *last = Instant::now();
            }
            // Only this writer writes the key; so the change in between was one of unknown outcome.
            Ok(Outcome::Conflict { .. }) => {
                ensure(self.unknown > 0, || format!("a conflict with nobody: {self:?}"))?
            }
            Err(error) if error.kind() == StoreErrorKind::Unknown => self.unknown += 1,
            Err(error) if error.kind() == StoreErrorKind::Unavailable => self.refused += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Notes every change until the last key is written.
async fn watch_all(
    _store: Arc<dyn Store>,
    mut watch: cms_core::store::WatchStream,
) -> Result<Vec<Batch>, Failed> {
    let mut seen: Vec<Batch> = Vec::new();
    while let Some(batch) = watch.next().await {
        let batch = batch?;
        ensure(seen.last().is_none_or(|last| last.revision < batch.revision), || {
            format!("revision {} came after {:?}", batch.revision, seen.last().map(|last| last.revision))
        })?;
        let is_last = batch.events.iter().any(|event| event.key == "end");
        seen.push(batch);
        if is_last {
            return Ok(seen);
        }
    }
    Err("the watch ended".into())
}
