// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Threads for what policies take long over, so that it does not slow down those who ask for little.
//!
//! They run when nobody else wants the processor, and each project has its share of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::turns::{Turn, Turns};

/// Work of one project that may wait.
const WAITING: usize = 128;

/// The threads. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Lane(Arc<Inner>);

struct Inner {
    /// Gone only while this is dropped.
    runtime: Option<Runtime>,
    turns: Turns,
}

impl Lane {
    /// Threads are started when there is work.
    pub(crate) fn new() -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name("cms-lane")
            .on_thread_start(step_aside)
            .build()
            .map_err(Error::internal)?;
        Ok(Self(Arc::new(Inner { runtime: Some(runtime), turns: Turns::new(threads, threads - 1, WAITING) })))
    }

    /// Waits for the turn of a project; `None` when too much of its work waits already.
    pub(crate) async fn turn(&self, project: &ProjectId) -> Option<Turn> {
        self.0.turns.take(project).await
    }

    /// Runs what belongs to a project, in its turn.
    ///
    /// # Errors
    /// `Unavailable` with the code `policy_busy` when too much of the project's work waits already.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        project: &ProjectId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let Some(turn) = self.turn(project).await else {
            let text = "the project's policies take long, and too many questions to them wait already";
            return Err(Error::unavailable("policy_busy", text).with_retry_after(Duration::from_secs(1)));
        };
        let Some(runtime) = &self.0.runtime else { return Err(Error::internal("the lane is closed")) };
        // The turn ends with the work, also when nobody waits for it any more.
        let run = move || {
            let done = work();
            drop(turn);
            done
        };
        runtime.spawn_blocking(run).await.map_err(Error::internal)
    }
}

/// Leaves the processor to whoever wants it (`SCHED_IDLE`, sched(7)): a thread that is merely nice would
/// still keep others waiting until its slice of time is over. Elsewhere it is a thread like any other.
fn step_aside() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
        use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // Where the system forbids even politeness, it is work like any other.
        let _refused = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for its threads would block whoever drops it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
