// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The chains that this process writes to. A writer takes one, appends to it alone, and gives it
//! back; so writers do not contend, and each chain is in strict order on any backend.
//!
//! Nothing reserves a chain across processes: its head is a condition of every write, and whoever
//! loses lets go of the chain and takes another. Since the chain used last is the one taken first,
//! and only chains that rest are taken over, processes soon keep to chains of their own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::Instant;

use super::chain::{HEADS, Head, Tip, new_chain, random};
use crate::api::audit::Link;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::store::{Condition, Db, Range, Revision};

/// A chain whose last record is older than this is resting: another process may take it over.
const RESTING: Duration = Duration::from_secs(3);
/// A chain whose last id is further ahead of the clock is left alone, so that ids stay near the time.
pub(super) const MAX_AHEAD: Duration = Duration::from_secs(300);
/// How long to wait for one's own chains when the others are all in use, before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A chain links to the others again after so many records,
const LINK_RECORDS: u32 = 1_000;
/// or after so long.
const LINK_AGE: Duration = Duration::from_secs(60);

/// The end of a chain as it is in the store.
#[derive(Debug, Clone)]
pub(super) struct StoredHead {
    pub(super) chain: Arc<str>,
    pub(super) head: Head,
    pub(super) modified: Revision,
}

/// The ends of all chains, read at one moment.
#[derive(Debug, Default)]
pub(super) struct StoredHeads {
    pub(super) heads: Vec<StoredHead>,
    /// Chains whose head is not one: nothing is appended to them any more.
    pub(super) unreadable: Vec<String>,
}

/// Reads the heads of all chains.
pub(super) async fn read_heads(db: &Db) -> Result<StoredHeads> {
    let mut found = StoredHeads::default();
    let mut range = Range::prefix(HEADS).limit(1_000);
    loop {
        let page = db.range(range.clone()).await?;
        for entry in &page.entries {
            let chain = entry.key.strip_prefix(HEADS).unwrap_or(&entry.key);
            match Head::parse(entry) {
                Ok(head) => {
                    found.heads.push(StoredHead { chain: chain.into(), head, modified: entry.modified });
                }
                Err(error) => {
                    tracing::error!(chain, ?error, "the head of an audit chain cannot be read");
                    found.unreadable.push(chain.to_owned());
                }
            }
        }
        match page.entries.last() {
            Some(last) if page.more => range = range.after(&last.key),
            _ => return Ok(found),
        }
    }
}

/// A chain that this process writes to.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) tip: Tip,
    /// The revision of the head; 0 if it is not stored yet.
    pub(super) revision: Revision,
    /// What the chain knows of the others.
    linked: HashMap<Arc<str>, u64>,
    unlinked_records: u32,
    /// When it last linked; `None` if this process has not written to it.
    linked_at: Option<Timestamp>,
}

impl Lane {
    fn new(tip: Tip, revision: Revision) -> Self {
        Self { tip, revision, linked: HashMap::new(), unlinked_records: 0, linked_at: None }
    }

    /// The key of the head.
    pub(super) fn head_key(&self) -> String {
        format!("{HEADS}{}", self.tip.chain)
    }

    /// The condition that nobody else has written to the chain.
    pub(super) fn condition(&self) -> Condition {
        match self.revision {
            0 => Condition::Absent(self.head_key()),
            revision => Condition::Unchanged(self.head_key(), revision),
        }
    }

    /// Whether the next record must say where the other chains stand.
    pub(super) fn must_link(&self, now: Timestamp) -> bool {
        self.unlinked_records >= LINK_RECORDS
            || self.linked_at.is_none_or(|at| now.since(at) >= LINK_AGE || at.since(now) >= LINK_AGE)
    }

    /// The links that are news to this chain.
    pub(super) fn links(&self, heads: &[StoredHead]) -> BTreeMap<String, Link> {
        let news = heads.iter().filter(|other| {
            other.chain != self.tip.chain
                && self.linked.get(&other.chain).is_none_or(|seq| *seq < other.head.seq)
        });
        news.map(|other| {
            let link = Link { seq: other.head.seq, hash: other.head.hash.clone() };
            (other.chain.to_string(), link)
        })
        .collect()
    }

    /// Notes what is stored now: the new end, and the links if it made any.
    pub(super) fn advance(
        &mut self,
        tip: Tip,
        revision: Revision,
        links: Option<&BTreeMap<String, Link>>,
        now: Timestamp,
    ) {
        let records = u32::try_from(tip.seq - self.tip.seq).unwrap_or(u32::MAX);
        self.unlinked_records = self.unlinked_records.saturating_add(records);
        self.tip = tip;
        self.revision = revision;
        if let Some(links) = links {
            self.linked.extend(links.iter().map(|(chain, link)| (Arc::from(chain.as_str()), link.seq)));
            self.unlinked_records = 0;
            self.linked_at = Some(now);
        }
    }
}

/// The chains of this process.
#[derive(Debug)]
pub(super) struct Pool {
    db: Db,
    clock: Arc<dyn Clock>,
    /// How many chains in use the installation may have.
    max_chains: usize,
    /// The chains that nobody writes to at the moment; the one used last is at the end.
    free: Mutex<Vec<Lane>>,
    /// Counts `free`.
    waiting: Semaphore,
    /// Every chain of this process, free or not.
    owned: Mutex<HashSet<Arc<str>>>,
    /// One taking over at a time; until when it need not be tried.
    adopting: AsyncMutex<Option<Instant>>,
}

impl Pool {
    pub(super) fn new(db: Db, clock: Arc<dyn Clock>, max_chains: usize) -> Arc<Self> {
        Arc::new(Self {
            db,
            clock,
            max_chains,
            free: Mutex::default(),
            waiting: Semaphore::new(0),
            owned: Mutex::default(),
            adopting: AsyncMutex::default(),
        })
    }

    /// Takes a chain; waits while every one is in use.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Taken> {
        loop {
            if let Ok(permit) = self.waiting.try_acquire() {
                permit.forget();
            } else {
                tokio::select! {
                    biased;
                    permit = self.waiting.acquire() => permit.map_err(Error::internal)?.forget(),
                    adopted = self.adopt() => match adopted? {
                        Some(lane) => return Ok(self.taken(lane)),
                        None => self.wait().await?,
                    },
                }
            }
            if let Some(lane) = self.free.lock().pop() {
                return Ok(self.taken(lane));
            }
        }
    }

    /// Waits for a chain to come back; without one, gives up after a while to look again.
    async fn wait(&self) -> Result<()> {
        if let Ok(permit) = tokio::time::timeout(LOOK_AGAIN, self.waiting.acquire()).await {
            permit.map_err(Error::internal)?.forget();
        }
        Ok(())
    }

    fn taken(self: &Arc<Self>, lane: Lane) -> Taken {
        Taken { lane: Some(lane), pool: self.clone() }
    }

    /// Takes over a chain that rests, or begins a new one; `None` if this process should rather wait
    /// for its own.
    async fn adopt(&self) -> Result<Option<Lane>> {
        let mut not_before = self.adopting.lock().await;
        if not_before.is_some_and(|moment| Instant::now() < moment) {
            return Ok(None);
        }
        let heads = read_heads(&self.db).await?;
        let lane = self.choose(&heads.heads)?;
        *not_before = lane.is_none().then(|| Instant::now() + LOOK_AGAIN);
        Ok(lane)
    }

    fn choose(&self, heads: &[StoredHead]) -> Result<Option<Lane>> {
        let now = self.clock.now();
        let mut owned = self.owned.lock();
        let tips = heads.iter().map(|stored| (Tip::from_head(stored.chain.clone(), &stored.head), stored));
        let usable: Vec<(Tip, &StoredHead)> =
            tips.filter(|(tip, _)| Timestamp::from_millis(tip.millis()) <= now.after(MAX_AHEAD)).collect();
        let others = || usable.iter().filter(|(tip, _)| !owned.contains(&tip.chain));
        let resting: Vec<_> =
            others().filter(|(tip, _)| now.since(Timestamp::from_millis(tip.millis())) >= RESTING).collect();
        let fresh = owned.iter().filter(|chain| !heads.iter().any(|head| head.chain == **chain)).count();
        let chosen = if !resting.is_empty() {
            pick(&resting)?
        } else if usable.len() + fresh < self.max_chains {
            let tip = Tip::new(new_chain()?);
            owned.insert(tip.chain.clone());
            return Ok(Some(Lane::new(tip, 0)));
        } else if owned.is_empty() {
            pick(&others().collect::<Vec<_>>())?
        } else {
            None
        };
        let Some((tip, stored)) = chosen else { return Ok(None) };
        let lane = Lane::new(tip.clone(), stored.modified);
        owned.insert(tip.chain.clone());
        Ok(Some(lane))
    }

    fn give_back(&self, lane: Lane) {
        self.free.lock().push(lane);
        self.waiting.add_permits(1);
    }

    fn forget(&self, lane: &Lane) {
        self.owned.lock().remove(&lane.tip.chain);
    }
}

/// Any one of them, so that processes that look at the same time seldom choose the same.
fn pick<'h>(heads: &[&'h (Tip, &'h StoredHead)]) -> Result<Option<(&'h Tip, &'h StoredHead)>> {
    if heads.is_empty() {
        return Ok(None);
    }
    let place = usize::try_from(random()? % heads.len() as u64).unwrap_or(0);
    Ok(heads.get(place).map(|(tip, stored)| (tip, *stored)))
}

/// A chain in the hands of a writer. Unless it is given back, this process forgets it: what was
/// begun and not finished may have changed its end.
#[derive(Debug)]
pub(super) struct Taken {
    lane: Option<Lane>,
    pool: Arc<Pool>,
}

impl Taken {
    /// The chain; `None` only after it was given back.
    pub(super) fn lane(&mut self) -> Result<&mut Lane> {
        self.lane.as_mut().ok_or_else(|| Error::internal("the chain was given back already"))
    }

    /// Gives the chain back: its end is known to be as it says.
    pub(super) fn give_back(mut self) {
        if let Some(lane) = self.lane.take() {
            self.pool.give_back(lane);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(lane) = &self.lane {
            self.pool.forget(lane);
        }
    }
}
