// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Watches: one hub per process holds the latest changes; each watch is a place in it, and reads
//! from the history what the hub no longer has.
//!
//! The writer hands its own commits to the hub. Those of other processes are found by one thread
//! that asks SQLite, while anybody watches, whether the file has changed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cms_core::store::{Batch, Event, Revision, StoreErrorKind, StoreResult, WatchStream};
use futures_util::stream;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::watch;

use super::error::fail;
use super::readers::{Readers, changes, check_kept, snapshot};
use super::schema::{data_version, present};

/// How often the commits of other processes are looked for.
const POLL: Duration = Duration::from_millis(10);
/// How many changes the hub holds at most.
const RING_BATCHES: usize = 1024;
/// How many bytes of values the hub holds at most.
const RING_BYTES: usize = 8 * 1024 * 1024;
/// How many changes a watch takes from the hub at a time.
const TAKEN_BATCHES: usize = 256;

/// The latest changes of the store, as long as anybody watches.
#[derive(Debug, Default)]
pub(super) struct Hub {
    state: Mutex<State>,
    /// Whether anybody watches: the writer looks here first.
    active: AtomicBool,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes the watches.
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    watchers: usize,
    /// The revision up to which the hub has seen everything.
    head: Revision,
    ring: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// A change was seen that does not follow on `head`.
    behind: bool,
    following: bool,
    closed: bool,
}

impl State {
    /// Takes those changes that follow on `head`; tells whether there were any.
    fn extend(&mut self, batches: Vec<Batch>) -> bool {
        let before = self.head;
        for batch in batches {
            if batch.revision == self.head + 1 {
                self.head = batch.revision;
                self.bytes += weight(&batch);
                self.ring.push_back(Arc::new(batch));
            } else if batch.revision > self.head {
                self.behind = true;
            }
        }
        while self.ring.len() > RING_BATCHES || (self.bytes > RING_BYTES && self.ring.len() > 1) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= weight(&oldest);
        }
        self.head != before
    }

    /// Begins anew at a revision, without what lies before it.
    fn restart(&mut self, head: Revision) {
        self.head = head;
        self.ring.clear();
        self.bytes = 0;
    }
}

fn weight(batch: &Batch) -> usize {
    let size = |event: &Event| event.key.len() + event.entry.as_ref().map_or(0, |entry| entry.value.len());
    batch.events.iter().map(size).sum()
}

/// What a watch finds in the hub.
enum Found {
    Batches(Vec<Arc<Batch>>),
    Nothing,
    /// The hub no longer has it: it is in the history.
    Older,
    Closed,
}

impl Hub {
    /// Takes this process's latest commits.
    pub(super) fn publish(&self, batches: Vec<Batch>) {
        if batches.is_empty() || !self.active.load(Ordering::SeqCst) {
            return;
        }
        let mut state = self.state.lock();
        let moved = state.extend(batches);
        if state.behind {
            self.wake.notify_one();
        }
        drop(state);
        if moved {
            self.moved.send_replace(());
        }
    }

    /// Ends all watches.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
        self.moved.send_replace(());
    }

    fn join(&self, present: Revision) {
        let mut state = self.state.lock();
        state.watchers += 1;
        if state.watchers == 1 {
            state.restart(present);
            self.active.store(true, Ordering::SeqCst);
            // What was committed between the reading of `present` and now is still to be found.
            state.behind = true;
            self.wake.notify_one();
        }
    }

    fn leave(&self) {
        let mut state = self.state.lock();
        state.watchers -= 1;
        if state.watchers == 0 {
            self.active.store(false, Ordering::SeqCst);
            state.restart(0);
        }
    }

    fn after(&self, at: Revision) -> Found {
        let state = self.state.lock();
        if state.closed {
            return Found::Closed;
        }
        if at >= state.head {
            return Found::Nothing;
        }
        let missed = usize::try_from(state.head - at).unwrap_or(usize::MAX);
        match state.ring.len().checked_sub(missed) {
            Some(known) => {
                Found::Batches(state.ring.iter().skip(known).take(TAKEN_BATCHES).cloned().collect())
            }
            None => Found::Older,
        }
    }

    /// Starts the thread if it does not run.
    fn follow(self: &Arc<Self>, readers: &Readers) -> StoreResult<()> {
        let mut state = self.state.lock();
        if state.following || state.closed {
            return Ok(());
        }
        let (hub, readers) = (self.clone(), readers.clone());
        let thread = std::thread::Builder::new().name("cms-store-watch".into());
        thread.spawn(move || hub.run(&readers)).map_err(|error| {
            fail(StoreErrorKind::Unavailable, "no thread can be started: raise the limit of threads")
                .with_source(error)
        })?;
        state.following = true;
        Ok(())
    }

    fn run(&self, readers: &Readers) {
        let mut follower: Option<(Connection, Option<i64>)> = None;
        while self.wait() {
            let looked = match follower.take() {
                Some((conn, version)) => self.catch_up(conn, version),
                None => readers.open().and_then(|conn| self.catch_up(conn, None)),
            };
            match looked {
                Ok(next) => follower = Some(next),
                Err(error) => {
                    tracing::warn!(%error, "the changes of other processes could not be read; trying again");
                    std::thread::sleep(POLL);
                }
            }
        }
    }

    /// Waits until it is time to look; tells whether the store is still open.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.watchers == 0 && !state.closed {
            self.wake.wait(&mut state);
        }
        if !state.behind && !state.closed {
            self.wake.wait_for(&mut state, POLL);
        }
        !state.closed
    }

    /// Reads what other processes have committed, if the number that tells so has changed.
    fn catch_up(&self, conn: Connection, version: Option<i64>) -> StoreResult<(Connection, Option<i64>)> {
        let behind = std::mem::take(&mut self.state.lock().behind);
        // Read before the changes: what comes in between is found once more, and not missed.
        let now = data_version(&conn)?;
        if behind || version != Some(now) {
            self.read_all(&conn).inspect_err(|_| self.state.lock().behind = true)?;
        }
        Ok((conn, Some(now)))
    }

    fn read_all(&self, conn: &Connection) -> StoreResult<()> {
        while self.active.load(Ordering::SeqCst) {
            let head = self.state.lock().head;
            let batches = match snapshot(conn, |conn| changes(conn, head)) {
                Err(error) if error.kind() == StoreErrorKind::Compacted => {
                    // Every watch finds out for itself whether it has missed something.
                    let present = present(conn)?;
                    self.state.lock().restart(present);
                    self.moved.send_replace(());
                    return Ok(());
                }
                read => read?,
            };
            if batches.is_empty() {
                break;
            }
            if self.state.lock().extend(batches) {
                self.moved.send_replace(());
            }
        }
        Ok(())
    }
}

/// One watch: where it stands, and what it has found but not yet delivered.
struct Cursor {
    hub: Arc<Hub>,
    readers: Readers,
    moved: watch::Receiver<()>,
    prefix: String,
    at: Revision,
    ready: VecDeque<Batch>,
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
            self.moved.mark_unchanged();
            match self.hub.after(self.at) {
                Found::Batches(batches) => self.take(batches.iter().map(AsRef::as_ref)),
                // The sender lives in the hub that this cursor holds: it cannot be gone.
                Found::Nothing => drop(self.moved.changed().await),
                Found::Closed => self.ended = true,
                Found::Older => {
                    if let Err(error) = self.read_older().await {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    async fn read_older(&mut self) -> StoreResult<()> {
        let at = self.at;
        let batches = self.readers.run(move |conn| changes(conn, at)).await?;
        self.take(batches.iter());
        Ok(())
    }

    fn take<'b>(&mut self, batches: impl Iterator<Item = &'b Batch>) {
        for batch in batches {
            self.at = batch.revision;
            let under = batch.events.iter().filter(|event| event.key.starts_with(&self.prefix));
            let events: Vec<Event> = under.cloned().collect();
            if !events.is_empty() {
                self.ready.push_back(Batch { revision: batch.revision, events });
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.hub.leave();
    }
}

/// Begins a watch.
pub(super) async fn watch(
    hub: &Arc<Hub>,
    readers: &Readers,
    prefix: &str,
    after: Revision,
) -> StoreResult<WatchStream> {
    let moved = hub.moved.subscribe();
    let present = readers.run(move |conn| check_kept(conn, after)).await?;
    hub.follow(readers)?;
    hub.join(present);
    let cursor = Cursor {
        hub: hub.clone(),
        readers: readers.clone(),
        moved,
        prefix: prefix.to_owned(),
        at: after,
        ready: VecDeque::new(),
        ended: false,
    };
    Ok(Box::pin(stream::unfold(cursor, |mut cursor| async move {
        cursor.next().await.map(|item| (item, cursor))
    })))
}
