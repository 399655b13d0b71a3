// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sink port: where records go besides the store, and what happens when they cannot.
//!
//! The store is always a sink: a change's record is in its transaction, and a chain ends where the
//! store says. Further sinks are listed in [`builtin`].

mod check;
mod ecs;
mod file;
mod medium;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

pub use file::{FileSink, FileSync};

pub(super) use check::{Checked, check, claim};

use super::chain::parse_record;
use super::write::Chained;
use crate::api::audit::{Link, Record};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Opens a sink from what follows its name in the settings.
pub type OpenSink = fn(&str) -> BoxFuture<'static, std::io::Result<Arc<dyn AuditSink>>>;

/// Every sink that settings can name, beside the store, which is always one.
pub fn builtin() -> &'static [(&'static str, OpenSink)] {
    &[("file", |path| {
        let path = path.to_owned();
        Box::pin(async move {
            let sink = FileSink::open(path, FileSync::Never).await?;
            Ok(Arc::new(sink) as Arc<dyn AuditSink>)
        })
    })]
}

/// Opens a sink from its setting, such as `file:/var/log/cms/audit.jsonl`.
///
/// # Errors
/// `Invalid` for a sink that is unknown or cannot be opened.
pub async fn open(setting: &str) -> Result<Arc<dyn AuditSink>> {
    let (name, rest) = setting.split_once(':').unwrap_or((setting, ""));
    let Some((_, open)) = builtin().iter().find(|(known, _)| *known == name) else {
        let known: Vec<String> = builtin().iter().map(|(name, _)| format!("`{name}:…`")).collect();
        return Err(Error::invalid(format!("`{setting}` names no audit sink: write {}", known.join(", "))));
    };
    open(rest).await.map_err(|error| {
        Error::invalid(format!("the audit sink `{setting}` cannot be opened: {error}")).with_source(error)
    })
}

/// What a sink is given to keep, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkLine {
    /// A record.
    Record(Box<Record>),
    /// A record that was given before, but whose change did not come about.
    Void(Box<Record>),
    /// The beginning of a medium, such as a file that was rotated: what came before stands elsewhere.
    Start(Box<Start>),
}

impl SinkLine {
    /// The line that takes this one back; only records can be.
    fn voided(&self) -> Option<Self> {
        match self {
            Self::Record(record) => Some(Self::Void(record.clone())),
            Self::Void(_) | Self::Start(_) => None,
        }
    }

    /// Brings the ends of the chains up to date with this line.
    fn advance(&self, ends: &mut BTreeMap<String, Link>) {
        match self {
            Self::Start(start) => ends.extend(start.heads.clone()),
            Self::Record(record) => {
                let link = Link { seq: record.seq, hash: record.hash.clone() };
                ends.insert(record.chain.clone(), link);
            }
            Self::Void(record) => {
                let end = ends.get(&record.chain);
                if end.is_some_and(|end| end.seq >= record.seq) {
                    let link = Link { seq: record.seq - 1, hash: record.prev.clone() };
                    ends.insert(record.chain.clone(), link);
                }
            }
        }
    }
}

/// Where every chain stood when a medium was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The version of this shape: 1.
    pub v: u8,
    /// When.
    pub time: Timestamp,
    /// The ends of the chains.
    pub heads: BTreeMap<String, Link>,
    /// A keyed hash over the above, so that nobody begins a medium anew to hide what is missing.
    pub hash: String,
}

/// Makes start lines for a sink, without giving it the key.
#[derive(Clone)]
pub struct Starter {
    heads: Arc<BTreeMap<String, Link>>,
    make: Arc<MakeStart>,
}

type MakeStart = dyn Fn(&BTreeMap<String, Link>) -> Option<Start> + Send + Sync;

impl Starter {
    pub(super) fn new(
        heads: BTreeMap<String, Link>,
        make: impl Fn(&BTreeMap<String, Link>) -> Option<Start> + Send + Sync + 'static,
    ) -> Self {
        Self { heads: Arc::new(heads), make: Arc::new(make) }
    }

    /// Where the chains stood before this process wrote to any.
    pub fn heads(&self) -> &BTreeMap<String, Link> {
        &self.heads
    }

    /// The line that begins a medium with the chains at these ends; none while the trail is sealed.
    pub fn line(&self, ends: &BTreeMap<String, Link>) -> Option<SinkLine> {
        (self.make)(ends).map(|start| SinkLine::Start(Box::new(start)))
    }
}

impl fmt::Debug for Starter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starter").field("heads", &self.heads).finish_non_exhaustive()
    }
}

/// Keeps records outside of the store.
///
/// - [`AuditSink::write`] MUST return only when the lines are kept as the sink promises, all of them
///   in order, or fail.
/// - It MUST be safe to cancel: a caller that waits no longer drops the call. A sink whose medium
///   hangs MUST NOT gather tasks or threads: it fails at once while it is busy with too much.
/// - Of several lines with the same chain and number, the last one counts.
#[async_trait]
pub trait AuditSink: fmt::Debug + Send + Sync {
    /// The sink's name, for errors and metrics.
    fn name(&self) -> &str;

    /// Takes what start lines are made with, before the first write.
    ///
    /// # Errors
    /// What kept it from doing so; for the log.
    fn begin(&self, starter: Starter) -> std::io::Result<()> {
        let _ = starter;
        Ok(())
    }

    /// Keeps the lines.
    ///
    /// # Errors
    /// What kept it from doing so; for the log.
    async fn write(&self, lines: Arc<[SinkLine]>) -> std::io::Result<()>;

    /// Opens the medium anew, after it was rotated.
    ///
    /// # Errors
    /// What kept it from doing so; for the log.
    async fn reopen(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// The file of lines in ECS names that the sink writes, if it does, for verification.
    fn file(&self) -> Option<&Path> {
        None
    }
}

/// Which of several sinks an operation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SinkPolicy {
    /// Every sink must take the record before the change is made or the answer leaves.
    #[default]
    All,
    /// The store suffices; the others are written afterwards, and their failures are logged.
    Any,
}

/// How many writes the sinks may be behind the store.
const MAX_BEHIND: usize = 1_024;

/// The sinks beside the store.
#[derive(Debug)]
pub(super) struct Sinks {
    sinks: Vec<Arc<dyn AuditSink>>,
    policy: SinkPolicy,
    wait: Duration,
    begun: tokio::sync::OnceCell<()>,
    /// What the sinks that follow the store have still to be given; absent if they come first.
    behind: Option<mpsc::Sender<Arc<[SinkLine]>>>,
}

impl Sinks {
    pub(super) fn new(sinks: Vec<Arc<dyn AuditSink>>, policy: SinkPolicy, wait: Duration) -> Self {
        let behind = (policy == SinkPolicy::Any && !sinks.is_empty()).then(|| {
            let (behind, waiting) = mpsc::channel(MAX_BEHIND);
            tokio::spawn(follow(sinks.clone(), waiting, wait));
            behind
        });
        Self { sinks, policy, wait, begun: tokio::sync::OnceCell::new(), behind }
    }

    /// Gives the sinks what they begin with, once.
    pub(super) async fn begin(&self, starter: impl Future<Output = Result<Starter>>) -> Result<()> {
        if self.sinks.is_empty() {
            return Ok(());
        }
        let begin = || async {
            let starter = starter.await?;
            for sink in &self.sinks {
                sink.begin(starter.clone()).map_err(|error| unavailable(sink.name(), error))?;
            }
            Ok::<(), Error>(())
        };
        self.begun.get_or_try_init(begin).await?;
        Ok(())
    }

    /// Gives the records to the sinks that must have them before they are committed.
    pub(super) async fn before(&self, chained: &Chained) -> Result<()> {
        if self.policy != SinkPolicy::All || self.sinks.is_empty() {
            return Ok(());
        }
        let results = self.write(&self.sinks, lines(chained, SinkLine::Record)?).await;
        if results.iter().all(Result::is_ok) {
            return Ok(());
        }
        // A sink that has failed takes its lines back itself.
        let taken = self.sinks.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let taken: Vec<_> = taken.map(|(sink, _)| sink.clone()).collect();
        self.write(&taken, lines(chained, SinkLine::Void)?).await;
        results.into_iter().collect()
    }

    /// Tells the sinks that the records which they have were not committed.
    pub(super) async fn void(&self, chained: &Chained) {
        if self.policy == SinkPolicy::All
            && !self.sinks.is_empty()
            && let Ok(lines) = lines(chained, SinkLine::Void)
        {
            // If this fails, the next record of the chain says the same by its number.
            self.write(&self.sinks, lines).await;
        }
    }

    /// Leaves the records to the sinks that follow the store, without waiting for them.
    pub(super) fn after(&self, chained: &Chained) {
        if let Some(behind) = &self.behind
            && let Ok(lines) = lines(chained, SinkLine::Record)
            && behind.try_send(lines).is_err()
        {
            tracing::error!("the audit sinks are too far behind: they do not get records that the store has");
        }
    }

    /// Opens every sink anew.
    pub(super) async fn reopen(&self) -> Result<()> {
        for sink in &self.sinks {
            sink.reopen().await.map_err(|error| unavailable(sink.name(), error))?;
        }
        Ok(())
    }

    /// The files that the sinks write.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.sinks.iter().filter_map(|sink| Some((sink.name(), sink.file()?)))
    }

    /// Whether the sinks have every record that is committed.
    pub(super) fn are_complete(&self) -> bool {
        self.policy == SinkPolicy::All
    }

    async fn write(&self, sinks: &[Arc<dyn AuditSink>], lines: Arc<[SinkLine]>) -> Vec<Result<()>> {
        write_to(sinks, lines, self.wait).await
    }
}

async fn write_to(sinks: &[Arc<dyn AuditSink>], lines: Arc<[SinkLine]>, wait: Duration) -> Vec<Result<()>> {
    let writes = sinks.iter().map(|sink| {
        let lines = lines.clone();
        async move {
            match tokio::time::timeout(wait, sink.write(lines)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(unavailable(sink.name(), error)),
                Err(elapsed) => Err(unavailable(sink.name(), elapsed.into())),
            }
        }
    });
    futures_util::future::join_all(writes).await
}

/// Gives records to sinks behind the store, in order; what they do not take is lost to them.
async fn follow(
    sinks: Vec<Arc<dyn AuditSink>>,
    mut waiting: mpsc::Receiver<Arc<[SinkLine]>>,
    wait: Duration,
) {
    while let Some(lines) = waiting.recv().await {
        // The store has them, and the failure is in the log.
        write_to(&sinks, lines, wait).await;
    }
}

fn lines(chained: &Chained, line: fn(Box<Record>) -> SinkLine) -> Result<Arc<[SinkLine]>> {
    chained.lines().map(|text| Ok(line(Box::new(parse_record(text).map_err(Error::internal)?)))).collect()
}

fn unavailable(sink: &str, error: std::io::Error) -> Error {
    tracing::error!(sink, %error, "an audit sink does not take records");
    Error::unavailable(
        "audit_unavailable",
        "a sink that the audit trail needs does not take the record, so nothing was done; try again",
    )
    .with_source(error)
}
