// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verification of a file of sink lines: every line is one that was written, every chain goes on
//! without a gap from where the file begins, and ends no earlier than in the store.
//!
//! A record may stand in the file without its change having come about: taken back by a void line,
//! or, after a crash, by a later record with its number. So the file may end after the store, but
//! only by the records of one write.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead};

use super::{SinkLine, Start, ecs};
use crate::api::audit::{BrokenAt, Damage, Link, Record};
use crate::audit::chain::{ChainKey, GENESIS};
use crate::clock::Timestamp;

/// How many records of a chain can be taken back; more than one write holds.
const KEPT: usize = 1_024;

/// What a whole file says of the chains.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// How far each chain is known to have come in the store.
    pub(crate) anchors: BTreeMap<String, Link>,
}

/// Checks the lines of a file against the key and, if given, the heads of the store; those must
/// have been read before the file.
///
/// # Errors
/// If the file cannot be read; the inner one names the first record that is wrong.
pub(crate) fn check(
    file: impl BufRead,
    key: &ChainKey,
    heads: Option<&BTreeMap<String, Link>>,
) -> io::Result<Result<Checked, BrokenAt>> {
    let mut checker =
        Checker { key, chains: BTreeMap::new(), begun: false, check: ecs::FIRST_CHECK, last: None };
    for (number, line) in file.split(b'\n').enumerate() {
        if let Err(broken) = checker.line(&line?, number + 1) {
            return Ok(Err(broken));
        }
    }
    Ok(checker.finish(heads))
}

struct Checker<'k> {
    key: &'k ChainKey,
    chains: BTreeMap<String, Place>,
    begun: bool,
    /// The check of the line before.
    check: [u8; 32],
    /// The record of the line before.
    last: Option<(String, u64)>,
}

/// How far a chain was followed in the file.
#[derive(Debug)]
struct Place {
    /// The last records, by number and hash; never empty.
    recent: VecDeque<Link>,
    /// The time of the last record, which the records of one write share.
    time: Option<Timestamp>,
    anchor: Link,
}

impl Place {
    fn new(link: Link) -> Self {
        Self { recent: VecDeque::from([link.clone()]), time: None, anchor: link }
    }

    fn end(&self) -> &Link {
        self.recent.back().unwrap_or(&self.anchor)
    }

    /// Goes back to the record before this number, if it is still known and has this hash.
    fn back_to(&mut self, seq: u64, prev: &str) -> bool {
        while self.recent.len() > 1 && self.end().seq >= seq {
            self.recent.pop_back();
        }
        self.end().seq + 1 == seq && self.end().hash == prev
    }

    fn push(&mut self, record: &Record) {
        if self.time != Some(record.time) {
            self.anchor = self.end().clone();
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(Link { seq: record.seq, hash: record.hash.clone() });
        self.time = Some(record.time);
    }
}

impl Checker<'_> {
    fn line(&mut self, text: &[u8], number: usize) -> Result<(), BrokenAt> {
        let read = ecs::read(text, &self.check);
        let read = read.ok_or_else(|| self.located(unreadable(text, number), text))?;
        self.check = read.check;
        match &read.line {
            SinkLine::Start(start) => self.start(start, number),
            _ if !self.begun => Err(misplaced(text, number)),
            SinkLine::Record(record) => self.record(record, number),
            SinkLine::Void(record) => self.void(record, number),
        }?;
        // What is wrong with the chain says more; this is what is left.
        if read.check == read.expected { Ok(()) } else { Err(self.located(misplaced(text, number), text)) }
    }

    fn start(&mut self, start: &Start, number: usize) -> Result<(), BrokenAt> {
        // A file has one beginning; a start line elsewhere would hide a gap.
        if self.begun || !self.key.vouches_for_start(start) {
            return Err(BrokenAt {
                chain: String::new(),
                seq: 0,
                id: None,
                damage: Damage::Altered,
                detail: format!("line {number} is a start line that does not belong there"),
            });
        }
        self.begun = true;
        for (chain, link) in &start.heads {
            self.chains.insert(chain.clone(), Place::new(link.clone()));
        }
        Ok(())
    }

    fn record(&mut self, record: &Record, number: usize) -> Result<(), BrokenAt> {
        self.vouched(record, number)?;
        let place = self.place(record);
        let end = place.end().seq;
        if record.seq > end + 1 {
            let detail =
                format!("line {number} holds record {}, but {end} is the last before it", record.seq);
            return Err(at(record, end + 1, Damage::Removed, detail));
        }
        // A record is never written twice: what is tried again gets another id.
        let twice = place.recent.iter().any(|link| link.hash == record.hash);
        if twice || !place.back_to(record.seq, &record.prev) {
            let detail = format!("line {number} does not follow on the record before it");
            return Err(at(record, record.seq, Damage::Reordered, detail));
        }
        place.push(record);
        self.last = Some((record.chain.clone(), record.seq));
        Ok(())
    }

    fn void(&mut self, record: &Record, number: usize) -> Result<(), BrokenAt> {
        self.vouched(record, number)?;
        let place = self.place(record);
        if record.seq > place.end().seq {
            // The rest of a write whose first record was taken back already.
            return Ok(());
        }
        let known = place.recent.iter().any(|link| link.seq == record.seq && link.hash == record.hash);
        if !known || !place.back_to(record.seq, &record.prev) {
            let detail = format!("line {number} takes back a record that is not there");
            return Err(at(record, record.seq, Damage::Reordered, detail));
        }
        place.anchor = place.end().clone();
        place.time = None;
        Ok(())
    }

    fn vouched(&self, record: &Record, number: usize) -> Result<(), BrokenAt> {
        let line = serde_json::to_vec(record).unwrap_or_default();
        if self.key.vouches_for(&line) {
            return Ok(());
        }
        let detail = format!("the contents of line {number} are not those that were hashed");
        let altered = at(record, record.seq, Damage::Altered, detail);
        Err(self.located(altered, &line))
    }

    /// Names an altered record by the one that it follows, because its own name may be altered too.
    fn located(&self, mut broken: BrokenAt, line: &[u8]) -> BrokenAt {
        let prev = claim(&String::from_utf8_lossy(line), "prev");
        let before = self.chains.iter().find_map(|(chain, place)| {
            let link = place.recent.iter().rev().find(|link| prev.as_ref() == Some(&link.hash))?;
            (link.seq > 0).then_some((chain, link.seq))
        });
        if let Some((chain, seq)) = before {
            (broken.chain, broken.seq) = (chain.clone(), seq + 1);
        } else if broken.chain.is_empty()
            && let Some((chain, seq)) = &self.last
        {
            // Nothing can be read of it: most likely it followed on the line before.
            (broken.chain, broken.seq) = (chain.clone(), seq + 1);
        }
        broken
    }

    /// The chain of a record; one that the start line does not know begins here.
    fn place(&mut self, record: &Record) -> &mut Place {
        let genesis = || Place::new(Link { seq: 0, hash: GENESIS.to_owned() });
        self.chains.entry(record.chain.clone()).or_insert_with(genesis)
    }

    fn finish(self, heads: Option<&BTreeMap<String, Link>>) -> Result<Checked, BrokenAt> {
        for (chain, head) in heads.into_iter().flatten() {
            let end = self.chains.get(chain).map_or(0, |place| place.end().seq);
            if end < head.seq {
                let detail = format!("the file ends at record {end} of a chain that goes on to {}", head.seq);
                let (chain, damage) = (chain.clone(), Damage::Truncated);
                return Err(BrokenAt { chain, seq: end + 1, id: None, damage, detail });
            }
            // A chain that has gone far ahead meanwhile is followed, but not held so far back.
            if let Some(place) = self.chains.get(chain)
                && place.recent.front().is_some_and(|first| first.seq <= head.seq)
                && !place.recent.iter().any(|link| link.seq == head.seq && link.hash == head.hash)
            {
                let detail = "the file holds another record than the store".to_owned();
                let (chain, damage) = (chain.clone(), Damage::Unlinked);
                return Err(BrokenAt { chain, seq: head.seq, id: None, damage, detail });
            }
        }
        let anchors = self.chains.into_iter().map(|(chain, place)| (chain, place.anchor));
        let anchors = anchors.filter(|(_, anchor)| anchor.seq > 0).collect();
        Ok(Checked { anchors })
    }
}

fn at(record: &Record, seq: u64, damage: Damage, detail: String) -> BrokenAt {
    let id = (record.seq == seq).then(|| record.id.clone());
    BrokenAt { chain: record.chain.clone(), seq, id, damage, detail }
}

/// Names a line that cannot be read by what can still be seen of it.
fn unreadable(text: &[u8], number: usize) -> BrokenAt {
    let text = String::from_utf8_lossy(text);
    BrokenAt {
        chain: claim(&text, "chain").unwrap_or_default(),
        seq: claim(&text, "sequence").and_then(|seq| seq.parse().ok()).unwrap_or_default(),
        id: claim(&text, "id"),
        damage: Damage::Altered,
        detail: format!("line {number} is not one that was written"),
    }
}

fn misplaced(text: &[u8], number: usize) -> BrokenAt {
    let detail = format!("line {number} does not follow on the line before it");
    BrokenAt { damage: Damage::Reordered, detail, ..unreadable(text, number) }
}

/// What a damaged line says under a name.
pub(crate) fn claim(text: &str, field: &str) -> Option<String> {
    let start = text.find(&format!("\"{field}\":"))? + field.len() + 3;
    let rest = text.get(start..)?.trim_start_matches('"');
    let value: String = rest.chars().take_while(|char| char.is_ascii_hexdigit() || *char == '-').collect();
    (!value.is_empty()).then_some(value)
}
