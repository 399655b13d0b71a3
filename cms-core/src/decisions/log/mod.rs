// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of decisions. Noting one never waits: each project has a queue of its own with a bound, so
//! that no tenant's decisions, nor the policies that mask them, keep another's out. What does not fit is
//! counted and left out. A task per project masks, seals and stores what was noted, about once a second.

mod mask;
mod note;
mod query;
mod replay;
mod segments;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Timestamp;
use crate::counts::{Counts, Kept};
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::kit::Kit;
use mask::Masked;
pub(super) use note::Note;
pub(super) use replay::fault;
pub(crate) use sweep::sweep;
pub(crate) use verify::verify;

/// How many decisions of a project wait at most.
const QUEUE: usize = 8_192;
/// How many bytes of a project's decisions wait at most.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Larger decisions are not logged.
const MAX_DECISION_BYTES: usize = 1024 * 1024;
/// How many decisions are masked in one go.
const BATCH: usize = 256;
/// How long a decision waits for others to be written with.
const FLUSH: Duration = Duration::from_secs(1);
/// How long the task of a project waits for a decision before it ends.
const IDLE: Duration = Duration::from_secs(60);

/// The log. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kit: Kit,
    queues: Mutex<HashMap<ProjectId, Queue>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One project's queue.
#[derive(Debug, Clone)]
struct Queue {
    notes: Sender<Note>,
    bytes: Arc<AtomicUsize>,
}

impl Log {
    pub(super) fn new(kit: Kit, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { kit, queues: Mutex::default(), tasks, stop }))
    }

    /// Notes a decision, or counts that it could not be noted.
    pub(super) fn note(&self, note: Note) {
        let bytes = note.bytes();
        if bytes > MAX_DECISION_BYTES {
            return self.counts().logged(Kept::TooLarge, 1);
        }
        let mut queues = self.0.queues.lock();
        let queue = queues.entry(note.project.clone()).or_insert_with_key(|project| self.begin(project));
        if queue.notes.is_closed() {
            *queue = self.begin(&note.project);
        }
        if queue.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES {
            queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return self.counts().logged(Kept::QueueFull, 1);
        }
        if let Err(TrySendError::Full(note) | TrySendError::Closed(note)) = queue.notes.try_send(note) {
            queue.bytes.fetch_sub(note.bytes(), Ordering::Relaxed);
            self.counts().logged(Kept::QueueFull, 1);
        }
    }

    fn begin(&self, project: &ProjectId) -> Queue {
        let (notes, waiting) = mpsc::channel(QUEUE);
        let queue = Queue { notes, bytes: Arc::default() };
        let writer = Writer {
            kit: self.0.kit.clone(),
            project: project.clone(),
            bytes: queue.bytes.clone(),
            open: HashMap::new(),
        };
        self.0.tasks.spawn(writer.run(waiting, self.0.stop.clone()));
        queue
    }

    fn counts(&self) -> &Counts {
        self.0.kit.db.counts()
    }
}

/// Writes one project's decisions.
struct Writer {
    kit: Kit,
    project: ProjectId,
    bytes: Arc<AtomicUsize>,
    /// The segments that are being filled.
    open: HashMap<EnvironmentId, Segment>,
}

struct Segment {
    begun: Timestamp,
    lines: Vec<u8>,
    decisions: usize,
}

impl Writer {
    async fn run(mut self, mut waiting: Receiver<Note>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                taken = waiting.recv_many(&mut batch, BATCH) => if taken == 0 { break },
                () = tokio::time::sleep(IDLE) => break,
                () = stop.cancelled() => break,
            }
            self.take(&mut batch).await;
            // What comes within the next moment is written together.
            let full = tokio::time::sleep(FLUSH);
            tokio::pin!(full);
            loop {
                tokio::select! {
                    taken = waiting.recv_many(&mut batch, BATCH) => if taken == 0 { break },
                    () = &mut full => break,
                    () = stop.cancelled() => break,
                }
                self.take(&mut batch).await;
            }
            self.flush().await;
        }
        // Whoever notes another one from here on begins a new queue.
        waiting.close();
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            self.take(&mut batch).await;
        }
        self.flush().await;
    }

    /// Masks decisions and adds them to the open segments.
    async fn take(&mut self, batch: &mut Vec<Note>) {
        let notes = std::mem::take(batch);
        let bytes = notes.iter().map(Note::bytes).sum();
        let count = notes.len();
        // Policies run here, for as long as their limits let them.
        let masked = tokio::task::spawn_blocking(move || notes.into_iter().map(masked).collect::<Vec<_>>());
        let masked = masked.await.unwrap_or_else(|_| {
            tracing::error!(project = %self.project, "masking decisions failed");
            self.counts().logged(Kept::Failed, count);
            Vec::new()
        });
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        for (environment, masked) in masked {
            match masked {
                Masked::Keep(decision) => {
                    let segment = self.open.entry(environment.clone()).or_insert_with(|| Segment {
                        begun: decision.timestamp,
                        lines: Vec::new(),
                        decisions: 0,
                    });
                    match segments::add(&mut segment.lines, &decision) {
                        Ok(()) => segment.decisions += 1,
                        Err(error) => tracing::error!(%error, "a decision cannot be written"),
                    }
                    if segment.lines.len() >= segments::SEGMENT_BYTES {
                        self.write(&environment).await;
                    }
                }
                Masked::Dropped => self.counts().logged(Kept::Dropped, 1),
                Masked::Failed(message) => {
                    tracing::warn!(project = %self.project, %environment, message,
                        "a decision is not logged, as its policy could not say what to mask");
                    self.counts().logged(Kept::Failed, 1);
                }
            }
        }
    }

    async fn flush(&mut self) {
        let environments: Vec<_> = self.open.keys().cloned().collect();
        for environment in environments {
            self.write(&environment).await;
        }
    }

    async fn write(&mut self, environment: &EnvironmentId) {
        let Some(segment) = self.open.remove(environment) else { return };
        let scope = self.kit.db.internal(&self.project);
        let written = segments::write(&self.kit, &scope, environment, segment.begun, &segment.lines).await;
        match written {
            Ok(()) => self.counts().logged(Kept::Logged, segment.decisions),
            Err(error) => {
                tracing::warn!(project = %self.project, %environment, %error, decisions = segment.decisions,
                    "decisions are not logged, as the store did not take them");
                self.counts().logged(Kept::Failed, segment.decisions);
            }
        }
    }

    fn counts(&self) -> &Counts {
        self.kit.db.counts()
    }
}

fn masked(note: Note) -> (EnvironmentId, Masked) {
    let environment = note.environment.clone();
    let masked = match note.logged() {
        Ok((decision, snapshot)) => mask::mask(&snapshot, decision),
        Err(error) => Masked::Failed(error.to_string()),
    };
    (environment, masked)
}

/// Refuses what is no setting of a log.
pub(crate) fn check_settings(settings: &crate::api::decision_log::DecisionLog) -> Result<()> {
    if settings.every > 1_000_000 {
        return Err(Error::invalid("`decision_log.every` is 0 to 1,000,000"));
    }
    if !(1..=365).contains(&settings.keep_days) {
        return Err(Error::invalid("`decision_log.keep_days` is 1 to 365"));
    }
    Ok(())
}
