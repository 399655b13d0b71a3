// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verification of the trail in the store: every record is hashed again and every chain followed from
//! its beginning to its head, in one pass that keeps only the ends of the chains.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::BufReader;
use std::sync::Arc;

use super::chain::{ChainKey, GENESIS, SEGMENTS, digest, parse_record};
use super::lanes::{StoredHeads, read_heads};
use super::sink::{Checked, check, claim};
use super::write::{Keys, Shared};
use crate::api::audit::{AuditVerification, BrokenAt, Damage, Link, Record};
use crate::error::{Error, Result};
use crate::store::{Db, Entry, Range};

/// How many segments are read at a time.
const SEGMENTS_READ: usize = 16;
/// How many hashes of each chain are kept at hand for links to it.
const KEPT_HASHES: usize = 1_024;

/// How far a verification or an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many records are done.
    pub records: u64,
    /// How many there are in all.
    pub total: u64,
}

/// Verifies the trail as it is when this begins, in the files of the sinks and in the store; what is
/// recorded meanwhile is left for next time.
pub(super) async fn verify(
    shared: &Shared,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<AuditVerification> {
    let keys = shared.keys()?;
    let (mut broken, anchors) = match check_files(shared, &keys).await? {
        Ok(anchors) => (None, anchors),
        Err(broken) => (Some(broken), Vec::new()),
    };
    let heads = read_heads(&shared.db).await?;
    broken = broken.or_else(|| heads.broken());
    let mut verifier = Verifier::new(Some(&keys.chain), heads.links());
    for (by, links) in &anchors {
        broken = broken.or_else(|| verifier.links(links, by).err());
    }
    if broken.is_none() {
        broken = walk(&shared.db, &mut verifier, progress).await?;
    }
    Ok(AuditVerification {
        ok: broken.is_none(),
        records: verifier.records,
        chains: heads.heads.len() as u64,
        head: heads.digest(),
        signing_key: keys.export.public(),
        broken_at: broken,
    })
}

/// How far each chain has come, and who says so.
type Anchors = Vec<(String, BTreeMap<String, Link>)>;

/// Checks the files that sinks write. They end no earlier than the store did before.
async fn check_files(shared: &Shared, keys: &Arc<Keys>) -> Result<Result<Anchors, BrokenAt>> {
    let mut anchors = Vec::new();
    for (name, path) in shared.sinks.files() {
        let heads = shared.sinks.are_complete().then_some(read_heads(&shared.db).await?.links());
        let (path, keys) = (path.to_owned(), keys.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::open(path)?;
            // What pipes and devices were given cannot be read again.
            if !file.metadata()?.is_file() {
                return Ok(Ok(Checked::default()));
            }
            check(BufReader::new(file), &keys.chain, heads.as_ref())
        });
        match checked.await.map_err(Error::internal)? {
            Ok(Ok(checked)) => anchors.push((format!("the sink `{name}`"), checked.anchors)),
            Ok(Err(broken)) => return Ok(Err(in_sink(name, broken))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let gone = truncated("", 0, "its file is gone".to_owned());
                return Ok(Err(in_sink(name, gone)));
            }
            Err(error) => return Err(Error::internal(error)),
        }
    }
    Ok(Ok(anchors))
}

fn in_sink(name: &str, mut broken: BrokenAt) -> BrokenAt {
    broken.detail = format!("in the sink `{name}`: {}", broken.detail);
    broken
}

async fn walk(
    db: &Db,
    verifier: &mut Verifier<'_>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Option<BrokenAt>> {
    let mut segments = Segments::new();
    while let Some(page) = segments.next(db).await? {
        for entry in &page {
            if let Err(broken) = verifier.segment(entry) {
                return Ok(Some(broken));
            }
        }
        progress(verifier.progress());
        tokio::task::yield_now().await;
    }
    let created_meanwhile = read_heads(db).await?;
    if let Err(broken) = verifier.finish(&created_meanwhile) {
        return Ok(Some(broken));
    }
    let mut segments = Segments::new();
    while verifier.has_open_links()
        && let Some(page) = segments.next(db).await?
    {
        for record in page.iter().flat_map(records).flatten() {
            if let Err(broken) = verifier.resolve(&record) {
                return Ok(Some(broken));
            }
        }
    }
    Ok(verifier.unresolved())
}

/// Reads all segments, the oldest first, some at a time.
pub(super) struct Segments(Option<Range>);

impl Segments {
    pub(super) fn new() -> Self {
        Self(Some(Range::prefix(SEGMENTS).limit(SEGMENTS_READ)))
    }

    pub(super) async fn next(&mut self, db: &Db) -> Result<Option<Vec<Entry>>> {
        let Some(range) = self.0.take() else { return Ok(None) };
        let page = db.range(range.clone()).await?;
        if let (true, Some(last)) = (page.more, page.entries.last()) {
            self.0 = Some(range.after(&last.key));
        }
        Ok(Some(page.entries))
    }
}

/// The lines of a segment.
pub(super) fn lines(entry: &Entry) -> impl DoubleEndedIterator<Item = &[u8]> {
    entry.value.split(|byte| *byte == b'\n')
}

fn records(entry: &Entry) -> impl Iterator<Item = Result<Record, serde_json::Error>> {
    lines(entry).map(parse_record)
}

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
pub(super) struct Verifier<'k> {
    /// Without it, hashes are only compared, not made again.
    key: Option<&'k ChainKey>,
    heads: BTreeMap<String, Link>,
    followed: HashMap<String, Followed>,
    demands: HashMap<(String, u64), Demand>,
    /// Chains without a head, which may have been begun after the heads were read.
    headless: BTreeMap<String, String>,
    /// Whether records may be missing, because only some were asked for.
    partial: bool,
    pub(super) records: u64,
}

impl<'k> Verifier<'k> {
    pub(super) fn new(key: Option<&'k ChainKey>, heads: BTreeMap<String, Link>) -> Self {
        Self {
            key,
            heads,
            followed: HashMap::new(),
            demands: HashMap::new(),
            headless: BTreeMap::new(),
            partial: false,
            records: 0,
        }
    }

    /// Expects only some of the records.
    pub(super) fn partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }

    pub(super) fn progress(&self) -> Progress {
        Progress { records: self.records, total: self.heads.values().map(|head| head.seq).sum() }
    }

    fn segment(&mut self, entry: &Entry) -> Result<(), BrokenAt> {
        let name = entry.key.strip_prefix(SEGMENTS).unwrap_or(&entry.key);
        for (place, line) in lines(entry).enumerate() {
            let record = self.read(line, name)?;
            if place == 0 && record.id != name {
                return Err(broken(&record, Damage::Reordered, format!("it stands at `{name}`")));
            }
            self.record(&record)?;
        }
        Ok(())
    }

    /// Reads a line and hashes it again. `place` names it if it cannot be read.
    pub(super) fn read(&self, line: &[u8], place: &str) -> Result<Record, BrokenAt> {
        let unreadable = |error: serde_json::Error| {
            let text = String::from_utf8_lossy(line);
            BrokenAt {
                chain: claim(&text, "chain").unwrap_or_default(),
                seq: claim(&text, "seq").and_then(|seq| seq.parse().ok()).unwrap_or_default(),
                id: Some(claim(&text, "id").unwrap_or_else(|| place.to_owned())),
                damage: Damage::Altered,
                detail: format!("the record cannot be read: {error}"),
            }
        };
        let record = parse_record(line).map_err(unreadable).map_err(|broken| self.located(broken, line))?;
        match self.key {
            Some(key) if !key.vouches_for(line) => {
                let altered = broken(&record, Damage::Altered, "its contents are not those that were hashed");
                Err(self.located(altered, line))
            }
            _ => Ok(record),
        }
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
        let Some(head) = self.heads.get(&record.chain) else {
            self.headless.entry(record.chain.clone()).or_insert_with(|| record.id.clone());
            return Ok(Seen::Later);
        };
        if record.seq > head.seq {
            return Ok(Seen::Later);
        }
        let followed = self.followed.entry(record.chain.clone()).or_default();
        let expected = followed.seq + 1;
        if record.seq > expected && !self.partial {
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
        if !self.partial {
            self.links(&record.links, &format!("record {} of chain `{}`", record.seq, record.chain))?;
        }
        Ok(Seen::Verified)
    }

    /// Takes down what somebody knows of other chains.
    pub(super) fn links(&mut self, links: &BTreeMap<String, Link>, by: &str) -> Result<(), BrokenAt> {
        for (chain, link) in links {
            let end = self.heads.get(chain).map_or(0, |head| head.seq);
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
    fn resolve(&mut self, record: &Record) -> Result<(), BrokenAt> {
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

    fn has_open_links(&self) -> bool {
        !self.demands.is_empty()
    }

    fn unresolved(&self) -> Option<BrokenAt> {
        self.demands.iter().next().map(|((chain, seq), demand)| unlinked(chain, *seq, &demand.by))
    }

    /// Checks that every chain ends at its head, and that every chain has one.
    pub(super) fn finish(&self, created_meanwhile: &StoredHeads) -> Result<(), BrokenAt> {
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
        for (chain, head) in &self.heads {
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

fn broken(record: &Record, damage: Damage, detail: impl Into<String>) -> BrokenAt {
    let (chain, id) = (record.chain.clone(), Some(record.id.clone()));
    BrokenAt { chain, seq: record.seq, id, damage, detail: detail.into() }
}

fn truncated(chain: &str, seq: u64, detail: String) -> BrokenAt {
    BrokenAt { chain: chain.to_owned(), seq, id: None, damage: Damage::Truncated, detail }
}

fn unlinked(chain: &str, seq: u64, by: &str) -> BrokenAt {
    let detail = format!("{by} knows of another record in this place");
    BrokenAt { chain: chain.to_owned(), seq, id: None, damage: Damage::Unlinked, detail }
}

impl StoredHeads {
    /// The heads as links.
    pub(super) fn links(&self) -> BTreeMap<String, Link> {
        let link = |seq, hash: &String| Link { seq, hash: hash.clone() };
        let heads = self.heads.iter();
        heads.map(|stored| (stored.chain.to_string(), link(stored.head.seq, &stored.head.hash))).collect()
    }

    /// A digest over all heads.
    pub(super) fn digest(&self) -> String {
        let heads = self.heads.iter();
        digest(heads.map(|stored| (&*stored.chain, stored.head.seq, stored.head.hash.as_str())))
    }

    fn broken(&self) -> Option<BrokenAt> {
        let detail = "the head of the chain cannot be read";
        self.unreadable.first().map(|chain| BrokenAt {
            chain: chain.clone(),
            seq: 0,
            id: None,
            damage: Damage::Altered,
            detail: detail.to_owned(),
        })
    }
}
