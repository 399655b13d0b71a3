// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file sink: append-only JSON lines in ECS names, whole or not at all.
//!
//! One thread writes, so that a medium that hangs holds up one thread and nothing else; what waits
//! is bounded, and what nobody waits for any more is not written. How the file itself is treated is
//! in `medium`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::medium::Medium;
use super::{AuditSink, SinkLine, Starter};

/// How many writes may wait; more than all chains of an installation can have under way.
const MAX_WAITING: usize = 256;
/// How long opening may take before the sink counts as out of order until it is done.
const OPEN_WAIT: Duration = Duration::from_secs(2);

/// Whether an acknowledged line survives the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileSync {
    /// The operating system has it; the store is what rests on fsync.
    #[default]
    Never,
    /// It is on the medium.
    Always,
}

/// Appends to a file.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    jobs: SyncSender<Job>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Job {
    Begin(Starter),
    Write(Arc<[SinkLine]>, Done),
    Reopen(Done),
}

type Done = oneshot::Sender<io::Result<()>>;

impl FileSink {
    /// Opens or creates the file, readable by its owner only.
    ///
    /// # Errors
    /// If it cannot be opened. A medium that does not answer at all is no error here: the sink
    /// refuses records until it does.
    pub async fn open(path: impl Into<PathBuf>, sync: FileSync) -> io::Result<Self> {
        let path = path.into();
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let (opened, open) = oneshot::channel();
        let medium = Medium::new(path.clone(), sync);
        std::thread::Builder::new()
            .name("cms-audit-file".to_owned())
            .spawn(move || Writer { medium, waiting }.run(opened))?;
        match tokio::time::timeout(OPEN_WAIT, open).await {
            Ok(opened) => opened.map_err(io::Error::other)??,
            Err(_) => tracing::error!(path = %path.display(), "the audit file does not open yet"),
        }
        Ok(Self { path, jobs })
    }

    async fn ask(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, heard) = oneshot::channel();
        self.send(job(done))?;
        heard.await.map_err(io::Error::other)?
    }

    fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                io::Error::new(io::ErrorKind::WouldBlock, "too many writes wait for the file already")
            }
            TrySendError::Disconnected(_) => io::Error::other("the thread that writes the file has ended"),
        })
    }
}

#[async_trait]
impl AuditSink for FileSink {
    fn name(&self) -> &str {
        "file"
    }

    fn begin(&self, starter: Starter) -> io::Result<()> {
        self.send(Job::Begin(starter))
    }

    async fn write(&self, lines: Arc<[SinkLine]>) -> io::Result<()> {
        self.ask(|done| Job::Write(lines, done)).await
    }

    async fn reopen(&self) -> io::Result<()> {
        self.ask(Job::Reopen).await
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// The thread. Ends when the sink is gone.
struct Writer {
    medium: Medium,
    waiting: Receiver<Job>,
}

impl Writer {
    fn run(mut self, opened: Done) {
        let open = self.medium.open();
        let failed = open.is_err();
        if opened.send(open).is_ok() && failed {
            return;
        }
        while let Ok(first) = self.waiting.recv() {
            let mut group = Vec::new();
            self.sort(first, &mut group);
            while let Ok(next) = self.waiting.try_recv() {
                self.sort(next, &mut group);
            }
            self.write(group);
        }
    }

    /// Does what is not a write at once, and keeps the writes that somebody still waits for.
    fn sort(&mut self, job: Job, group: &mut Vec<(Arc<[SinkLine]>, Done)>) {
        match job {
            Job::Begin(starter) => self.medium.begin(starter),
            Job::Write(lines, done) if !done.is_closed() => group.push((lines, done)),
            Job::Write(..) => {}
            Job::Reopen(done) => {
                let reopened = self.medium.reopen();
                // Whoever asked may have gone.
                let _ = done.send(reopened);
            }
        }
    }

    /// Writes a group in one go, and takes back what nobody has waited for to the end.
    fn write(&mut self, group: Vec<(Arc<[SinkLine]>, Done)>) {
        if group.is_empty() {
            return;
        }
        let written = self.medium.append(group.iter().flat_map(|(lines, _)| lines.iter()));
        let mut void = Vec::new();
        for (lines, done) in group {
            let answer = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            if done.send(answer).is_err() && written.is_ok() {
                void.extend(lines.iter().filter_map(SinkLine::voided));
            }
        }
        if !void.is_empty()
            && let Err(error) = self.medium.append(void.iter())
        {
            // A later record with the same number says the same.
            tracing::error!(%error, "records without effect could not be marked in the audit file");
        }
    }
}
