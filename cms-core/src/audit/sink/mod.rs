// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sink port: where records go besides the store, and what happens when they cannot.
//!
//! The store is always a sink: a change's record is in its transaction, and a chain ends where the
//! store says. Further sinks are listed in [`builtin`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::chain::parse_record;
use super::write::Chained;
use crate::api::audit::Record;
use crate::error::{Error, Result};

/// What a sink is given to keep, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkLine {
    /// A record.
    Record(Box<Record>),
    /// A record that was given before, but whose change did not come about.
    Void(Box<Record>),
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

/// The sinks beside the store.
#[derive(Debug)]
pub(super) struct Sinks {
    sinks: Vec<Arc<dyn AuditSink>>,
    policy: SinkPolicy,
    wait: Duration,
}

impl Sinks {
    pub(super) fn new(sinks: Vec<Arc<dyn AuditSink>>, policy: SinkPolicy, wait: Duration) -> Self {
        Self { sinks, policy, wait }
    }

    /// Gives the records to the sinks that must have them before they are committed.
    pub(super) async fn before(&self, chained: &Chained) -> Result<()> {
        if self.policy != SinkPolicy::All || self.sinks.is_empty() {
            return Ok(());
        }
        let written = self.write(lines(chained, SinkLine::Record)?).await;
        if written.is_err() {
            self.void(chained).await;
        }
        written
    }

    /// Tells the sinks that the records which they have were not committed.
    pub(super) async fn void(&self, chained: &Chained) {
        if self.policy != SinkPolicy::All || self.sinks.is_empty() {
            return;
        }
        if let Ok(lines) = lines(chained, SinkLine::Void) {
            // What a sink that failed does not hold needs no voiding; `write` has logged it.
            let _ = self.write(lines).await;
        }
    }

    /// Gives the records to the sinks that follow the store.
    pub(super) async fn after(&self, chained: &Chained) {
        if self.policy != SinkPolicy::Any || self.sinks.is_empty() {
            return;
        }
        if let Ok(lines) = lines(chained, SinkLine::Record) {
            // The store has them: that suffices.
            let _ = self.write(lines).await;
        }
    }

    /// Opens every sink anew.
    pub(super) async fn reopen(&self) -> Result<()> {
        for sink in &self.sinks {
            sink.reopen().await.map_err(|error| unavailable(sink.name(), error))?;
        }
        Ok(())
    }

    async fn write(&self, lines: Arc<[SinkLine]>) -> Result<()> {
        let writes = self.sinks.iter().map(|sink| {
            let lines = lines.clone();
            async move {
                match tokio::time::timeout(self.wait, sink.write(lines)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(unavailable(sink.name(), error)),
                    Err(elapsed) => Err(unavailable(sink.name(), elapsed.into())),
                }
            }
        });
        futures_util::future::join_all(writes).await.into_iter().collect()
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
