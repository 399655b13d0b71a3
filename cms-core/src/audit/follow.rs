// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following chains record by record, in one pass that keeps only their ends: what the verification of
//! the store and of exports share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::chain::{ChainKey, GENESIS, parse_record};
use super::lanes::StoredHeads;
use super::sink::claim;
use super::verify::Progress;
use crate::api::audit::{BrokenAt, Damage, Link, Record};

/// How many hashes of each chain are kept at hand for links to it.
const KEPT_HASHES: usize = 1_024;

/// How far a chain was followed.
#[derive(Debug)]
struct Followed {
    seq: u64,
    hash: String,
    /// The hashes of the last records, the last one at the end.
    recent: VecDeque<String>,
}

impl Default for Followed {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned(), recent: VecDeque::new() }
    }
}

impl Followed {
    fn advance(&mut self, record: &Record) {
        self.seq = record.seq;
        self.hash.clone_from(&record.hash);
        if self.recent.len() == KEPT_HASHES {
            self.recent.pop_front();
        }
        self.recent.push_back(record.hash.clone());
    }

    /// The hash of a record that was passed, if it is still at hand.
    fn hash_of(&self, seq: u64) -> Option<&str> {
        let back = usize::try_from(self.seq.checked_sub(seq)?).ok()?;
        let place = self.recent.len().checked_sub(back + 1)?;
        self.recent.get(place).map(String::as_str)
    }
}

/// What a link demands of a record, and who says so.
#[derive(Debug)]
struct Demand {
    hash: String,
    by: String,
}

/// What became of a record that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is part of what is verified, and right so far.
    Verified,
    /// It came after the heads were read.
    Later,
}

/// Follows chains record by record and stops at the first that is broken.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Without it, hashes are only compared, not made again.
    key: Option<Arc<ChainKey>>,
    /// Where the chains end; `None` if only some of their records are asked for.
    heads: Option<BTreeMap<String, Link>>,
    followed: HashMap<String, Followed>,
    demands: HashMap<(String, u64), Demand>,
    /// Chains without a head, which may have been begun after the heads were read.
    headless: BTreeMap<String, String>,
    pub(super) records: u64,
}

impl Verifier {
    /// Follows chains to their heads; without heads, where records are left out, only as far as they
    /// are there.
    pub(super) fn new(key: Option<Arc<ChainKey>>, heads: Option<BTreeMap<String, Link>>) -> Self {
        Self {
            key,
            heads,
            followed: HashMap::new(),
            demands: HashMap::new(),
            headless: BTreeMap::new(),
            records: 0,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let total =
            self.heads.as_ref().map_or(self.records, |heads| heads.values().map(|head| head.seq).sum());
        Progress { records: self.records, total }
    }

    /// Reads a line and hashes it again. `place` names it if it cannot be read.
    pub(super) fn read(&self, line: &[u8], place: &str) -> Result<Record, BrokenAt> {
        let record = parse_record(line).map_err(|error| {
            let mut broken = self.name(line);
            broken.id.get_or_insert_with(|| place.to_owned());
            broken.detail = format!("the record cannot be read: {error}");
            broken
        })?;
        match &self.key {
            Some(key) if !key.vouches_for(line) => {
                let detail = "its contents are not those that were hashed".to_owned();
                Err(BrokenAt { detail, ..self.name(line) })
            }
            _ => Ok(record),
        }
    }

    /// Names an altered record by what can be read of it, or by the one that it follows.
    pub(super) fn name(&self, line: &[u8]) -> BrokenAt {
        let text = String::from_utf8_lossy(line);
        let broken = BrokenAt {
            chain: claim(&text, "chain").unwrap_or_default(),
            seq: claim(&text, "seq").and_then(|seq| seq.parse().ok()).unwrap_or_default(),
            id: claim(&text, "id"),
            damage: Damage::Altered,
            detail: String::new(),
        };
        self.located(broken, line)
    }

    /// Names an altered record by the one that it follows, because its own name may be altered too.
    fn located(&self, mut broken: BrokenAt, line: &[u8]) -> BrokenAt {
        let prev = claim(&String::from_utf8_lossy(line), "prev");
        let before = self.followed.iter().find(|(_, followed)| {
            followed.seq > 0 && prev.as_ref().is_some_and(|prev| *prev == followed.hash)
        });
        if let Some((chain, followed)) = before {
            broken.chain.clone_from(chain);
            broken.seq = followed.seq + 1;
        }
        broken
    }

    /// Checks the place of a record in its chain.
    pub(super) fn record(&mut self, record: &Record) -> Result<Seen, BrokenAt> {
        if let Some(heads) = &self.heads {
            let Some(head) = heads.get(&record.chain) else {
                self.headless.entry(record.chain.clone()).or_insert_with(|| record.id.clone());
                return Ok(Seen::Later);
            };
            if record.seq > head.seq {
                return Ok(Seen::Later);
            }
        }
        let followed = self.followed.entry(record.chain.clone()).or_default();
        let expected = followed.seq + 1;
        if record.seq > expected && self.heads.is_some() {
            let missing = BrokenAt {
                chain: record.chain.clone(),
                seq: expected,
                id: None,
                damage: Damage::Removed,
                detail: format!("record {} follows on {}", record.seq, followed.seq),
            };
            return Err(missing);
        }
        if record.seq < expected {
            return Err(broken(record, Damage::Reordered, format!("it comes after record {}", followed.seq)));
        }
        if record.seq == expected && record.prev != followed.hash {
            return Err(broken(
                record,
                Damage::Reordered,
                "it follows on another record than the one before",
            ));
        }
        followed.advance(record);
        self.records += 1;
        self.resolve(record)?;
        if !record.links.is_empty() {
            self.links(&record.links, &format!("record {} of chain `{}`", record.seq, record.chain))?;
        }
        Ok(Seen::Verified)
    }

    /// Takes down what somebody knows of other chains.
    pub(super) fn links(&mut self, links: &BTreeMap<String, Link>, by: &str) -> Result<(), BrokenAt> {
        let Some(heads) = &self.heads else { return Ok(()) };
        for (chain, link) in links {
            let end = heads.get(chain).map_or(0, |head| head.seq);
            if link.seq > end {
                let detail = format!("{by} knows of record {}, but the chain ends at {end}", link.seq);
                return Err(truncated(chain, end + 1, detail));
            }
            let hash = self.followed.get(chain).and_then(|followed| followed.hash_of(link.seq));
            match hash {
                Some(hash) if *hash == link.hash => {}
                Some(_) => return Err(unlinked(chain, link.seq, by)),
                None => {
                    let demand = Demand { hash: link.hash.clone(), by: by.to_owned() };
                    self.demands.insert((chain.clone(), link.seq), demand);
                }
            }
        }
        Ok(())
    }

    /// Checks a record against what links have said of it.
    pub(super) fn resolve(&mut self, record: &Record) -> Result<(), BrokenAt> {
        if self.demands.is_empty() {
            return Ok(());
        }
        match self.demands.remove(&(record.chain.clone(), record.seq)) {
            Some(demand) if demand.hash != record.hash => {
                Err(unlinked(&record.chain, record.seq, &demand.by))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn has_open_links(&self) -> bool {
        !self.demands.is_empty()
    }

    pub(super) fn unresolved(&self) -> Option<BrokenAt> {
        self.demands.iter().next().map(|((chain, seq), demand)| unlinked(chain, *seq, &demand.by))
    }

    /// Checks that every chain ends at its head, and that every chain has one.
    pub(super) fn ends(&self, created_meanwhile: &StoredHeads) -> Result<(), BrokenAt> {
        let known = created_meanwhile.links();
        if let Some((chain, id)) = self.headless.iter().find(|(chain, _)| !known.contains_key(*chain)) {
            let mut broken = truncated(chain, 1, "the chain has no head".to_owned());
            broken.id = Some(id.clone());
            return Err(broken);
        }
        self.reaches_heads()
    }

    /// Checks that every chain ends at its head.
    pub(super) fn reaches_heads(&self) -> Result<(), BrokenAt> {
        let none = Followed::default();
        for (chain, head) in self.heads.iter().flatten() {
            let followed = self.followed.get(chain).unwrap_or(&none);
            if followed.seq < head.seq {
                let detail = format!("the chain ends at {}, but its head is {}", followed.seq, head.seq);
                return Err(truncated(chain, followed.seq + 1, detail));
            }
            if followed.hash != head.hash {
                return Err(unlinked(chain, head.seq, "the head of the chain"));
            }
        }
        Ok(())
    }
}

pub(super) fn broken(record: &Record, damage: Damage, detail: impl Into<String>) -> BrokenAt {
    let (chain, id) = (record.chain.clone(), Some(record.id.clone()));
    BrokenAt { chain, seq: record.seq, id, damage, detail: detail.into() }
}

pub(super) fn truncated(chain: &str, seq: u64, detail: String) -> BrokenAt {
    BrokenAt { chain: chain.to_owned(), seq, id: None, damage: Damage::Truncated, detail }
}

fn unlinked(chain: &str, seq: u64, by: &str) -> BrokenAt {
    let detail = format!("{by} knows of another record in this place");
    BrokenAt { chain: chain.to_owned(), seq, id: None, damage: Damage::Unlinked, detail }
}
