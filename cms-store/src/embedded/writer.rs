// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one thread of the process that writes. It commits everything that waits as one group, so
//! that many callers share one fsync, and answers each after the commit.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cms_core::store::{
    Batch, Durability, LeaseId, Operation, Outcome, Revision, StoreError, StoreErrorKind, StoreResult,
    Transaction,
};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::apply::{Failure, Tip, end_lease, ended, require_lease, transact};
use super::checkpoint::Checkpointer;
use super::config::EmbeddedConfig;
use super::erase;
use super::error::{copy, fail, from_commit, from_sqlite};
use super::leases::{Leases, grant, renew, unrenewed};
use super::schema::{Role, connect, data_version};
use super::sweep;
use super::watch::Hub;

/// How many callers share a commit at most.
const GROUP_JOBS: usize = 512;
/// How many bytes of values share a commit at most.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// How long a group waits for callers that the last group has just answered.
const GATHER: Duration = Duration::from_micros(60);
/// How often other processes' leases are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How many rows of old history are removed at a time while nobody waits.
const SWEEP_ROWS: usize = 256;
/// After this many written rows, old history is removed although somebody waits.
const SWEEP_AFTER_ROWS: usize = 2048;

/// What the writer can be asked.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Transact(Transaction),
    /// Moves the mark of the history, because it has become long.
    Compact(Revision),
    /// Moves the mark because somebody asked: what lies below leaves the write-ahead log as well.
    Forget(Revision),
    Grant(Duration),
    Keep(LeaseId),
    Revoke(LeaseId),
    /// Ends a lease unless it was renewed after this many renewals.
    Expire(LeaseId, i64),
}

impl Work {
    fn durable(&self) -> bool {
        match self {
            Self::Transact(transaction) => transaction.durability == Durability::Power,
            Self::Grant(_) | Self::Revoke(_) => true,
            // Losing these loses nothing that was promised.
            Self::Compact(_) | Self::Forget(_) | Self::Keep(_) | Self::Expire(..) => false,
        }
    }

    /// Whether values leave the file for good.
    fn erases(&self) -> bool {
        matches!(self, Self::Transact(transaction) if !transaction.erased.is_empty())
    }

    fn bytes(&self) -> usize {
        let Self::Transact(transaction) = self else { return 0 };
        transaction
            .operations
            .iter()
            .map(|operation| match operation {
                Operation::Put { key, value, .. } => key.len() + value.len(),
                Operation::Delete { .. } | Operation::DeletePrefix { .. } => 0,
            })
            .sum()
    }
}

/// What the writer answers.
#[derive(Debug)]
pub(super) enum Done {
    Outcome(Outcome),
    Lease(LeaseId),
    Nothing,
}

struct Job {
    work: Work,
    reply: oneshot::Sender<StoreResult<Done>>,
}

/// The callers' end.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(config: EmbeddedConfig, hub: Arc<Hub>) -> StoreResult<Self> {
        let mut conn = connect(&config, Role::Writer)?;
        let checkpointer = Checkpointer::start(&mut conn, &config)?;
        let (queue, jobs) = channel();
        let state = Loop {
            conn,
            config,
            hub,
            checkpointer,
            jobs,
            tip: Tip::default(),
            leases: Leases::default(),
            seen_version: None,
            full_sync: true,
            poisoned: None,
            last_group: 0,
            sweeping: true,
            scrubbing: true,
            unswept: 0,
            ticked: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("cms-store-write".into()).spawn(move || state.run());
        let thread = thread.map_err(|error| {
            fail(StoreErrorKind::Unavailable, "no thread can be started: raise the limit of threads")
                .with_source(error)
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Has work done. Dropping the future does not undo it.
    pub(super) async fn ask(&self, work: Work) -> StoreResult<Done> {
        let (reply, answer) = oneshot::channel();
        let closed = || fail(StoreErrorKind::Unavailable, "the store is closed: open it again");
        let sent = self.queue.lock().as_ref().map(|queue| queue.send(Job { work, reply }));
        if !matches!(sent, Some(Ok(()))) {
            return Err(closed());
        }
        // The thread answers every job; it is gone only if it died in the middle of this one.
        answer
            .await
            .unwrap_or_else(|_| Err(fail(StoreErrorKind::Unknown, "the writer ended: open the store again")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }
}

/// The thread's state.
struct Loop {
    conn: Connection,
    config: EmbeddedConfig,
    hub: Arc<Hub>,
    checkpointer: Checkpointer,
    jobs: Receiver<Job>,
    tip: Tip,
    leases: Leases,
    /// The state of other processes' commits when leases were last read.
    seen_version: Option<i64>,
    full_sync: bool,
    poisoned: Option<StoreError>,
    last_group: usize,
    sweeping: bool,
    /// Whether the write-ahead log may hold what is to go.
    scrubbing: bool,
    /// How many rows were written since old history was last removed.
    unswept: usize,
    ticked: Instant,
}

impl Loop {
    fn run(mut self) {
        loop {
            let wait =
                if self.sweeping { Duration::ZERO } else { TICK.saturating_sub(self.ticked.elapsed()) };
            match self.jobs.recv_timeout(wait) {
                Ok(job) => self.serve(job),
                Err(RecvTimeoutError::Timeout) if self.sweeping => self.sweep(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.ticked.elapsed() >= TICK {
                self.tick();
            }
        }
    }

    fn serve(&mut self, first: Job) {
        let group = self.gather(first);
        self.last_group = group.len();
        if let Some(error) = &self.poisoned {
            answer_all(group, error);
            return;
        }
        self.commit(group);
        if self.sweeping && self.unswept >= SWEEP_AFTER_ROWS {
            self.sweep();
        }
        self.checkpointer.after_commit(&self.conn);
    }

    /// Takes what waits. Callers of the last group come back within microseconds: waiting for them
    /// halves the number of fsyncs. A single caller never waits.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.work.bytes();
        let mut group = vec![first];
        let begun = Instant::now();
        while group.len() < GROUP_JOBS && bytes < GROUP_BYTES {
            if let Ok(job) = self.jobs.try_recv() {
                bytes += job.work.bytes();
                group.push(job);
            } else if group.len() >= self.last_group || begun.elapsed() >= GATHER {
                break;
            } else {
                std::thread::yield_now();
            }
        }
        group
    }

    fn commit(&mut self, group: Vec<Job>) {
        let durable = group.iter().any(|job| job.work.durable());
        let erases = group.iter().any(|job| job.work.erases());
        if let Err(error) = self.begin(durable) {
            answer_all(group, &error);
            return;
        }
        let before = self.tip;
        let mut answers = Vec::with_capacity(group.len());
        let mut batches = Vec::new();
        for job in &group {
            match self.apply(job.work.clone(), &mut batches) {
                Ok(done) => answers.push(Ok(done)),
                Err(Failure::Refused(error)) if !self.conn.is_autocommit() => answers.push(Err(error)),
                Err(failure) => {
                    self.abandon(before);
                    self.fail_group(group, failure);
                    return;
                }
            }
        }
        if let Err(error) = self.finish(before) {
            answer_all(group, &error);
            return;
        }
        if erases {
            self.scrub();
        }
        for (job, answer) in group.into_iter().zip(answers) {
            // A caller that left does not need its answer.
            let _ = job.reply.send(answer);
        }
        self.unswept += batches.iter().map(|batch| batch.events.len()).sum::<usize>();
        self.hub.publish(batches);
    }

    fn begin(&mut self, durable: bool) -> StoreResult<()> {
        if self.full_sync != durable {
            let level = if durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.conn.execute_batch(level).map_err(from_sqlite)?;
            self.full_sync = durable;
        }
        self.conn
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut sql| sql.execute([]))
            .map_err(from_sqlite)?;
        match Tip::read(&self.conn, self.tip) {
            Ok(tip) => self.tip = tip,
            Err(error) => {
                self.abandon(self.tip);
                return Err(error);
            }
        }
        Ok(())
    }

    fn apply(&mut self, work: Work, batches: &mut Vec<Batch>) -> Result<Done, Failure> {
        let batch = match work {
            Work::Transact(transaction) => {
                let (outcome, batch) = transact(&self.conn, &mut self.tip, transaction)?;
                batches.extend(batch);
                return Ok(Done::Outcome(outcome));
            }
            Work::Compact(upto) => {
                sweep::compact(&self.conn, self.tip, upto)?;
                self.sweeping = true;
                None
            }
            Work::Forget(upto) => {
                sweep::compact(&self.conn, self.tip, upto)?;
                erase::replaced_last(&self.conn, self.tip, upto)?;
                erase::request(&self.conn)?;
                self.sweeping = true;
                self.scrubbing = true;
                None
            }
            Work::Grant(ttl) => {
                self.seen_version = None;
                return Ok(Done::Lease(grant(&self.conn, ttl)?));
            }
            Work::Keep(lease) => {
                self.seen_version = None;
                if !renew(&self.conn, lease)? {
                    return Err(ended(lease).into());
                }
                None
            }
            Work::Revoke(lease) => {
                require_lease(&self.conn, lease)?;
                end_lease(&self.conn, &mut self.tip, lease)?
            }
            Work::Expire(lease, renewals) if unrenewed(&self.conn, lease, renewals)? => {
                end_lease(&self.conn, &mut self.tip, lease)?
            }
            Work::Expire(..) => None,
        };
        batches.extend(batch);
        Ok(Done::Nothing)
    }

    /// Makes the SQL transaction durable, or takes it back.
    fn finish(&mut self, before: Tip) -> StoreResult<()> {
        let committed = self.conn.prepare_cached("COMMIT").and_then(|mut sql| sql.execute([]));
        let Err(error) = committed else { return Ok(()) };
        let (error, recoverable) = from_commit(error);
        self.abandon(before);
        if !recoverable {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "the store refuses writes from now on");
            let text = "an earlier change could not be made durable: writes are refused until the store is opened again";
            self.poisoned = Some(fail(StoreErrorKind::Unavailable, text));
        }
        Err(error)
    }

    fn abandon(&mut self, before: Tip) {
        self.tip = before;
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            self.poisoned = Some(from_sqlite(error));
        }
    }

    /// Answers a group whose SQL transaction broke. One damaged place must not fail its neighbours:
    /// they are tried one by one.
    fn fail_group(&mut self, group: Vec<Job>, failure: Failure) {
        let error = match failure {
            Failure::Refused(error) => error,
            Failure::Broken(error) => from_sqlite(error),
        };
        if group.len() > 1 && matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::TooLarge) {
            for job in group {
                self.commit(vec![job]);
            }
            return;
        }
        answer_all(group, &error);
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        if self.poisoned.is_some() {
            return;
        }
        if let Err(error) = self.end_leases().and_then(|()| self.plan_sweep()) {
            tracing::warn!(%error, "the store's housekeeping failed; trying again");
        }
    }

    fn end_leases(&mut self) -> StoreResult<()> {
        let version = data_version(&self.conn)?;
        if self.seen_version != Some(version) {
            self.leases.refresh(&self.conn)?;
            self.seen_version = Some(version);
            // Another process may have left something to be cut off.
            self.scrubbing = true;
        }
        for (lease, renewals) in self.leases.due() {
            self.seen_version = None;
            self.run_own(Work::Expire(lease, renewals));
        }
        Ok(())
    }

    fn run_own(&mut self, work: Work) {
        let (reply, _) = oneshot::channel();
        self.commit(vec![Job { work, reply }]);
    }

    fn plan_sweep(&mut self) -> StoreResult<()> {
        self.tip = Tip::read(&self.conn, self.tip)?;
        if let Some(upto) = sweep::target(&self.conn, self.tip, &self.config)? {
            self.run_own(Work::Compact(upto));
        }
        self.sweeping = sweep::pending(&self.conn, self.tip)?;
        if self.scrubbing {
            self.scrub();
        }
        Ok(())
    }

    /// Cuts the write-ahead log off if something is to leave it; what fails is tried again.
    fn scrub(&mut self) {
        match erase::scrub(&self.conn, self.tip) {
            Ok(is_done) => self.scrubbing = !is_done,
            Err(error) => tracing::debug!(%error, "the write-ahead log could not be cut off; trying again"),
        }
    }

    /// Removes some old history while nobody waits.
    fn sweep(&mut self) {
        let swept = self.begin(false).and_then(|()| {
            let before = self.tip;
            let rows = SWEEP_ROWS.max(self.unswept * 2);
            self.unswept = 0;
            match sweep::step(&self.conn, self.tip, rows) {
                Ok(more) => self.finish(before).map(|()| more),
                Err(error) => {
                    self.abandon(before);
                    Err(error)
                }
            }
        });
        self.sweeping = swept.unwrap_or_else(|error| {
            // A full disk shows itself at every write already.
            tracing::debug!(%error, "old history could not be removed; trying again");
            false
        });
        self.checkpointer.after_commit(&self.conn);
    }
}

fn answer_all(group: Vec<Job>, error: &StoreError) {
    for job in group {
        // A caller that left does not need its answer.
        let _ = job.reply.send(Err(copy(error)));
    }
}
