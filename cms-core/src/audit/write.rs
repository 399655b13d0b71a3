// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One write to a chain: the records, their links and the new head join a transaction, and the
//! answer of the store decides what the chain's end is from then on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::chain::{ChainKey, Head, Moment, SEGMENTS, Tip};
use super::draft::Draft;
use super::export::ExportKey;
use super::lanes::{Lane, Pool, Taken, read_heads};
use super::sink::{Sinks, Starter};
use crate::api::audit::Link;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::store::{Db, Outcome, Revision, StoreErrorKind, Transaction};

/// A segment is closed when it is longer than this.
const MAX_SEGMENT_BYTES: usize = 240 * 1024;
/// How many chains are tried when other processes write to the same ones.
const MAX_LOST: u32 = 16;

/// The keys of the trail; absent while the installation is sealed.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) chain: Arc<ChainKey>,
    pub(super) export: ExportKey,
}

/// What all clones of the trail share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) db: Db,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: ArcSwapOption<Keys>,
    pub(super) pool: Arc<Pool>,
    pub(super) sinks: Sinks,
    /// The bound of every wait for a chain or a sink.
    pub(super) wait: Duration,
}

/// How one attempt ended.
enum Attempt {
    Committed(Revision),
    /// Conditions of the caller did not hold.
    Conflict(Vec<usize>),
    /// Somebody else has written to the chain.
    Lost,
}

/// Records that have their place, but are not stored yet.
#[derive(Debug)]
pub(super) struct Chained {
    tip: Tip,
    links: Option<BTreeMap<String, Link>>,
    /// The keys of the segments and the lines in them.
    segments: Vec<(String, Bytes)>,
}

impl Chained {
    /// The records' lines, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().flat_map(|(_, lines)| lines.split(|byte| *byte == b'\n'))
    }
}

impl Shared {
    /// The keys.
    ///
    /// # Errors
    /// `Sealed` while there are none.
    pub(super) fn keys(&self) -> Result<Arc<Keys>> {
        self.keys.load_full().ok_or_else(Error::sealed)
    }

    /// Commits records and a change in one transaction, on whichever chain is free.
    pub(super) async fn commit(self: &Arc<Self>, drafts: &[&Draft], change: Transaction) -> Result<Outcome> {
        let started = Instant::now();
        for attempt in 0..MAX_LOST {
            let taken = match tokio::time::timeout(self.wait, self.pool.take()).await {
                Ok(taken) => taken?,
                Err(elapsed) => return Err(unavailable().with_source(elapsed)),
            };
            match self.attempt(taken, drafts, change.clone()).await? {
                Attempt::Committed(revision) => {
                    self.db.counts().appended(drafts.len(), started);
                    return Ok(Outcome::Committed { revision });
                }
                Attempt::Conflict(failed) => return Ok(Outcome::Conflict { failed }),
                Attempt::Lost => tokio::time::sleep(jitter(attempt)?).await,
            }
        }
        Err(unavailable())
    }

    async fn attempt(
        self: &Arc<Self>,
        mut taken: Taken,
        drafts: &[&Draft],
        change: Transaction,
    ) -> Result<Attempt> {
        let keys = match self.keys() {
            Ok(keys) => keys,
            Err(sealed) => {
                taken.give_back();
                return Err(sealed);
            }
        };
        let now = self.clock.now();
        let lane = taken.lane()?;
        let links = match lane.must_link(now) {
            true => Some(lane.links(&read_heads(&self.db).await?.heads)),
            false => None,
        };
        let chained = chain(&keys.chain, lane, now, drafts, links)?;
        let place = change.conditions.len();
        let transaction = join(change, lane, &chained)?;
        if let Err(refused) = self.show_sinks(&chained).await {
            taken.give_back();
            return Err(refused);
        }
        match self.db.commit(transaction).await {
            Ok(Outcome::Committed { revision }) => self.committed(taken, chained, revision, now),
            Ok(Outcome::Conflict { failed }) => {
                self.sinks.void(&chained).await;
                conflict(taken, failed, place)
            }
            Err(error) if error.kind() == StoreErrorKind::Unknown => {
                match self.find(&chained, &mut taken).await {
                    Some(revision) => self.committed(taken, chained, revision, now),
                    None => Err(error.into()),
                }
            }
            Err(error) => {
                self.sinks.void(&chained).await;
                taken.give_back();
                Err(error.into())
            }
        }
    }

    /// Gives the records to the sinks that must have them first.
    async fn show_sinks(self: &Arc<Self>, chained: &Chained) -> Result<()> {
        let shared = Arc::downgrade(self);
        let starter = async {
            let heads = read_heads(&self.db).await?.links();
            Ok(Starter::new(heads, move |ends| {
                let shared = shared.upgrade()?;
                Some(shared.keys().ok()?.chain.start(shared.clock.now(), ends.clone()))
            }))
        };
        self.sinks.begin(starter).await?;
        self.sinks.before(chained).await
    }

    fn committed(
        &self,
        mut taken: Taken,
        chained: Chained,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Attempt> {
        taken.lane()?.advance(chained.tip.clone(), revision, chained.links.as_ref(), now);
        // Before anybody else appends to the chain: the sinks get its records in order.
        self.sinks.after(&chained);
        taken.give_back();
        Ok(Attempt::Committed(revision))
    }

    /// Looks up whether a transaction whose end is unknown was applied: the head tells.
    async fn find(&self, chained: &Chained, taken: &mut Taken) -> Option<Revision> {
        let entry = self.db.fresh(&taken.lane().ok()?.head_key()).await.ok()??;
        (Head::parse(&entry).ok()? == chained.tip.head()).then_some(entry.modified)
    }
}

/// Puts the records at the end of the chain.
fn chain(
    key: &ChainKey,
    lane: &Lane,
    now: Timestamp,
    drafts: &[&Draft],
    links: Option<BTreeMap<String, Link>>,
) -> Result<Chained> {
    let moment = Moment::new(now);
    let none = BTreeMap::new();
    let mut tip = lane.tip.clone();
    let mut segments = Vec::new();
    let mut lines = Vec::with_capacity(drafts.len().min(512) * 640);
    let mut name = String::new();
    for (place, draft) in drafts.iter().enumerate() {
        if lines.len() > MAX_SEGMENT_BYTES {
            segments.push((std::mem::take(&mut name), Bytes::from(std::mem::take(&mut lines))));
        }
        if !lines.is_empty() {
            lines.push(b'\n');
        }
        let links = if place == 0 { links.as_ref().unwrap_or(&none) } else { &none };
        tip.append(key, &moment, draft, links, &mut lines)?;
        if name.is_empty() {
            name = format!("{SEGMENTS}{}", tip.id());
        }
    }
    segments.push((name, Bytes::from(lines)));
    Ok(Chained { tip, links, segments })
}

/// Adds the records and the new head to a change. The condition on the head comes last, so that the
/// places of the caller's conditions stay as they are.
fn join(change: Transaction, lane: &Lane, chained: &Chained) -> Result<Transaction> {
    let head = serde_json::to_vec(&chained.tip.head()).map_err(Error::internal)?;
    let mut transaction = change.when(lane.condition()).put(lane.head_key(), head);
    for (key, lines) in &chained.segments {
        transaction = transaction.put(key.clone(), lines.clone());
    }
    Ok(transaction)
}

fn conflict(taken: Taken, mut failed: Vec<usize>, place: usize) -> Result<Attempt> {
    let lost = failed.contains(&place);
    failed.retain(|condition| *condition < place);
    if !lost {
        taken.give_back();
    }
    Ok(if failed.is_empty() { Attempt::Lost } else { Attempt::Conflict(failed) })
}

/// A short random pause that grows with every lost chain.
fn jitter(attempt: u32) -> Result<Duration> {
    let bound = 500_u64 << attempt.min(6);
    Ok(Duration::from_micros(super::chain::random()? % bound))
}

/// The refusal when no record can be kept.
pub(super) fn unavailable() -> Error {
    Error::unavailable(
        "audit_unavailable",
        "the audit trail does not take records at the moment, so nothing was done; try again",
    )
}
