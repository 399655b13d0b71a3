// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one `Cms` counts of its own work, for whoever shows it: plain atomics, each series made once,
//! every label from a list in this file, so that no caller can make series.
//!
//! The busiest path (decisions) pays one relaxed addition; what else it counts goes to stripes, where
//! each thread adds without a lock and a few additions may be lost when threads share one.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The upper bounds of the buckets, in nanoseconds: from a decision to a slow disk.
const BOUNDS: [u64; 11] = [
    1_000,
    2_500,
    5_000,
    10_000,
    50_000,
    250_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
];
/// How many stripes a tally has; a power of two.
const STRIPES: usize = 64;

/// A named group of series.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The name, without the prefix of the product.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// The name of the label, if the series differ by one.
    pub label: Option<&'static str>,
    /// The series: the value of the label, and what was counted.
    pub series: Vec<(&'static str, Reading)>,
}

/// What a series stands at.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It only grows.
    Counter(u64),
    /// It grows and shrinks.
    Gauge(u64),
    /// Durations.
    Histogram {
        /// The upper bound of each bucket in seconds, and how many fell into it.
        buckets: Vec<(f64, u64)>,
        /// The sum of all durations, in seconds.
        seconds: f64,
    },
}

/// How a decision ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    True,
    False,
    Value,
    Undefined,
    Error,
}

const VERDICTS: [&str; 5] = ["true", "false", "value", "undefined", "error"];

/// How something ended that is done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// Somebody else was faster.
    Conflict,
    /// It was not allowed.
    Refused,
    /// It came too often.
    Throttled,
    Failed,
}

const ENDS: [&str; 5] = ["success", "conflict", "refused", "throttled", "failure"];

/// What became of a decision that was to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Logged,
    /// Too many were waiting.
    QueueFull,
    TooLarge,
    /// A policy does not want it.
    Dropped,
    /// It could not be masked or stored.
    Failed,
}

const KEPT: [&str; 5] = ["logged", "queue_full", "too_large", "dropped_by_policy", "failed"];

/// Everything that one `Cms` counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    decisions: [AtomicU64; VERDICTS.len()],
    evaluations: Durations,
    logged: [AtomicU64; KEPT.len()],
    reveals: [AtomicU64; ENDS.len()],
    logins: [AtomicU64; ENDS.len()],
    audit_records: AtomicU64,
    audit_appends: Durations,
    transactions: [Durations; ENDS.len()],
    material: [Durations; ENDS.len()],
    material_waiting: AtomicU64,
    cache_hits: Tally,
    cache_misses: AtomicU64,
    leases: AtomicU64,
    watches: AtomicU64,
}

impl Counts {
    /// Counts a decision.
    pub(crate) fn decided(&self, verdict: Verdict) {
        if let Some(count) = self.decisions.get(verdict as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an evaluation; a decision that is remembered needs none.
    pub(crate) fn evaluated(&self, since: Instant) {
        self.evaluations.add(since.elapsed());
    }

    /// Counts decisions that were to be logged.
    pub(crate) fn logged(&self, kept: Kept, decisions: usize) {
        if let Some(count) = self.logged.get(kept as usize) {
            count.fetch_add(decisions as u64, Ordering::Relaxed);
        }
    }

    /// Counts a reveal.
    pub(crate) fn revealed(&self, end: End) {
        add(&self.reveals, end);
    }

    /// Counts a login.
    pub(crate) fn logged_in(&self, end: End) {
        add(&self.logins, end);
    }

    /// Counts records that were appended together.
    pub(crate) fn appended(&self, records: usize, since: Instant) {
        self.audit_records.fetch_add(records as u64, Ordering::Relaxed);
        self.audit_appends.add(since.elapsed());
    }

    /// Counts a transaction of the store.
    pub(crate) fn transacted(&self, end: End, since: Instant) {
        if let Some(durations) = self.transactions.get(end as usize) {
            durations.add(since.elapsed());
        }
    }

    /// Counts a call to the material of secrets.
    pub(crate) fn asked_material(&self, end: End, since: Instant) {
        if let Some(durations) = self.material.get(end as usize) {
            durations.add(since.elapsed());
        }
    }

    /// Notes how many entries of the material wait to be removed.
    pub(crate) fn material_waiting(&self, entries: u64) {
        self.material_waiting.store(entries, Ordering::Relaxed);
    }

    /// Counts a read that the cache answered.
    pub(crate) fn cache_hit(&self) {
        self.cache_hits.add(1);
    }

    /// Counts a read that went to the store.
    pub(crate) fn cache_missed(&self) {
        self.cache_misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a lease that was granted.
    pub(crate) fn leased(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a watch for as long as what this answers lives.
    pub(crate) fn watching(self: &std::sync::Arc<Self>) -> Watching {
        self.watches.fetch_add(1, Ordering::Relaxed);
        Watching(self.clone())
    }

    /// Everything, as it stands.
    pub(crate) fn read(&self) -> Vec<Measured> {
        let one = |name, help, reading| Measured { name, help, label: None, series: vec![("", reading)] };
        let counter = |value: &AtomicU64| Reading::Counter(value.load(Ordering::Relaxed));
        let by = |name, help, labels: [&'static str; 5], counts: &[AtomicU64]| {
            let series = labels.into_iter().zip(counts.iter().map(counter)).collect();
            Measured { name, help, label: Some("outcome"), series }
        };
        let timed = |name, help, labels: [&'static str; 5], durations: &[Durations]| {
            let series = labels.into_iter().zip(durations.iter().map(Durations::read)).collect();
            Measured { name, help, label: Some("outcome"), series }
        };
        vec![
            by("decisions", "Decisions, by what came out", VERDICTS, &self.decisions),
            one("evaluation_duration_seconds", "Time of evaluations of policies", self.evaluations.read()),
            by(
                "decision_log",
                "Decisions that were to be logged, by what became of them",
                KEPT,
                &self.logged,
            ),
            by("secret_reveals", "Secrets asked for in plain, by how it ended", ENDS, &self.reveals),
            by("logins", "Attempts to log in, by how they ended", ENDS, &self.logins),
            one("audit_records", "Records appended to the audit trail", counter(&self.audit_records)),
            one(
                "audit_append_duration_seconds",
                "Time to append to the audit trail",
                self.audit_appends.read(),
            ),
            timed(
                "store_transaction_duration_seconds",
                "Time of transactions of the store",
                ENDS,
                &self.transactions,
            ),
            timed(
                "secret_material_duration_seconds",
                "Time of calls to where the values of secrets lie, if not in the store",
                ENDS,
                &self.material,
            ),
            one(
                "secret_material_waiting",
                "Entries there that wait to be removed, as the process that removes them has found",
                Reading::Gauge(self.material_waiting.load(Ordering::Relaxed)),
            ),
            one(
                "cache_hits",
                "Reads that the cache answered, nearly exact",
                Reading::Counter(self.cache_hits.sum()),
            ),
            one("cache_misses", "Reads that went to the store", counter(&self.cache_misses)),
            one("store_leases_granted", "Leases granted by the store", counter(&self.leases)),
            one("watches", "Watches being held", Reading::Gauge(self.watches.load(Ordering::Relaxed))),
        ]
    }
}

fn add(counts: &[AtomicU64], end: End) {
    if let Some(count) = counts.get(end as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A watch that is being held.
#[derive(Debug)]
pub(crate) struct Watching(std::sync::Arc<Counts>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Durations in buckets: the count is one relaxed addition, the sum goes to a tally.
#[derive(Default)]
struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: Tally,
}

impl Durations {
    fn add(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.add(nanos);
    }

    fn read(&self) -> Reading {
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        Reading::Histogram { buckets: bounds.zip(counts).collect(), seconds: seconds(self.nanos.sum()) }
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durations").finish_non_exhaustive()
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds past 2^53 are a hundred days")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// A sum that threads add to without waiting for each other's cache lines.
struct Tally(Box<[Stripe]>);

#[derive(Default)]
#[repr(align(64))]
struct Stripe(AtomicU64);

impl Tally {
    fn add(&self, amount: u64) {
        let Some(Stripe(sum)) = self.0.get(stripe()) else { return };
        // No locked addition: the stripe is this thread's, unless there are more threads than stripes.
        sum.store(sum.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, Stripe(part)| sum.wrapping_add(part.load(Ordering::Relaxed)))
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| Stripe::default()).collect())
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tally({})", self.sum())
    }
}

/// The stripe of this thread. A number for a thread holds nothing of any `Cms`.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    MINE.with(|mine| *mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_can_be_read() {
        let counts = std::sync::Arc::new(Counts::default());
        counts.decided(Verdict::False);
        counts.evaluated(Instant::now());
        counts.logged_in(End::Throttled);
        counts.cache_hit();
        let held = counts.watching();
        let read = |name: &str| counts.read().into_iter().find(|found| found.name == name).unwrap();
        assert_eq!(read("logins").series[3], ("throttled", Reading::Counter(1)));
        assert_eq!(read("cache_hits").series[0].1, Reading::Counter(1));
        assert_eq!(read("watches").series[0].1, Reading::Gauge(1));
        drop(held);
        assert_eq!(read("watches").series[0].1, Reading::Gauge(0));
        assert_eq!(read("decisions").series[1], ("false", Reading::Counter(1)));
        let evaluations = read("evaluation_duration_seconds");
        let Reading::Histogram { buckets, .. } = &evaluations.series[0].1 else { panic!("{evaluations:?}") };
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 1);
    }

    #[test]
    fn tallies_of_threads_add_up() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| tally.add(1)));
            }
        });
        // Other tests have threads too: a shared stripe may lose some.
        assert!((1000..=4000).contains(&tally.sum()), "{tally:?}");
    }

    #[test]
    fn durations_fall_into_their_buckets() {
        let durations = Durations::default();
        durations.add(Duration::from_nanos(1_000));
        durations.add(Duration::from_nanos(1_001));
        durations.add(Duration::from_secs(60));
        let counts: Vec<u64> =
            durations.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        assert_eq!((counts[0], counts[1], counts[BOUNDS.len()]), (1, 1, 1));
        assert_eq!(durations.nanos.sum(), 60_000_002_001);
    }
}
