// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries policies in a process of its own, so that none can stop, starve or bloat the server.
//!
//! The worker is this program again, started as `cms policy-worker` with nothing but a pipe in each
//! direction: no environment, no directory, no file that it could open and no socket, because it may
//! hold no further descriptor. It reads a [`Candidate`] as JSON, answers with what came of it, and ends.
//! Memory, processor time and wall-clock time are bounded; it runs when nobody else wants the processor.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use cms_core::ids::ProjectId;
use cms_core::policies::trial::{Candidate, Trial, Verdict};
use cms_core::turns::Turns;
use cms_core::{Error, Result};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The command that the worker is started with.
pub(crate) const COMMAND: &str = "policy-worker";

/// Address space. Each evaluation's stack takes a quarter of a gibibyte of it, though hardly any memory.
const ADDRESS_BYTES: u64 = 2 << 30;

/// Processor time.
const CPU_SECONDS: u64 = 20;

/// Wall-clock time from the start to the answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of an answer, which holds the outcome of every test.
const ANSWER_BYTES: u64 = 16 << 20;

/// Workers at a time.
const WORKERS: usize = 4;

/// Candidates of one project that may wait, while one is tried.
const WAITING: usize = 8;

/// Starts workers, one at a time for a project.
#[derive(Debug)]
pub(crate) struct Worker {
    program: PathBuf,
    turns: Turns,
}

impl Worker {
    /// Workers that run this same program.
    pub(crate) fn new() -> io::Result<Self> {
        // The name of the running file follows it when an upgrade replaces the file on disk.
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() { running } else { std::env::current_exe()? };
        Ok(Self { program, turns: Turns::new(WORKERS, 1, WAITING) })
    }

    async fn tried(&self, candidate: Candidate) -> Result<Verdict> {
        let text = serde_json::to_vec(&candidate).map_err(Error::internal)?;
        let mut child = self.start().map_err(|error| {
            Error::unavailable("policy_worker", "the process that tries policies cannot be started")
                .with_source(error)
        })?;
        let (answer, status) = match timeout(DEADLINE, exchange(&mut child, &text)).await {
            Ok(ended) => ended.map_err(Error::internal)?,
            Err(_) => return Err(ended(&format!("{} seconds", DEADLINE.as_secs()))),
        };
        match serde_json::from_slice(&answer) {
            Ok(verdict) => Ok(verdict),
            Err(_) => {
                tracing::warn!(%status, "the process that tried policies ended without an answer");
                Err(ended(&format!(
                    "{} MiB and {CPU_SECONDS} seconds of processor time",
                    ADDRESS_BYTES >> 20
                )))
            }
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

#[async_trait]
impl Trial for Worker {
    async fn run(&self, project: &ProjectId, candidate: Candidate) -> Result<Verdict> {
        let Some(_turn) = self.turns.take(project).await else {
            return Err(Error::unavailable(
                "policy_worker_busy",
                format!("{WAITING} changes of this project's policies wait to be tried; wait for them"),
            )
            .with_retry_after(Duration::from_secs(1)));
        };
        self.tried(candidate).await
    }
}

/// Hands the candidate over and reads the answer, at the same time, as the worker may end before it has
/// read everything; and waits for its end.
async fn exchange(child: &mut Child, text: &[u8]) -> io::Result<(Vec<u8>, ExitStatus)> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the worker has no pipes"));
    };
    let write = async move {
        // What a worker that has ended did not read is told by its answer, or by the lack of one.
        let _ended = input.write_all(text).await;
    };
    let mut answer = Vec::new();
    let mut output = output.take(ANSWER_BYTES);
    let ((), read) = tokio::join!(write, output.read_to_end(&mut answer));
    read?;
    Ok((answer, child.wait().await?))
}

fn ended(limit: &str) -> Error {
    Error::unprocessable(
        "policy_trial_limit",
        format!("compiling these policies and running their tests takes more than {limit}, or never ends"),
    )
}

/// What `cms policy-worker` does: tries the candidate on standard input.
pub(crate) fn work() -> io::Result<()> {
    confine()?;
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let candidate: Candidate = serde_json::from_slice(&text)?;
    drop(text);
    let verdict = candidate.run().map_err(io::Error::other)?;
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &verdict)?;
    output.flush()
}

/// Gives up what a policy could want.
fn confine() -> io::Result<()> {
    let limits = [
        (Resource::As, ADDRESS_BYTES),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        // Standard input, output and error.
        (Resource::Nofile, 3),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    // As polite as can be. A system that forbids even this only makes it less so.
    let _refused = nice(19);
    Ok(())
}
