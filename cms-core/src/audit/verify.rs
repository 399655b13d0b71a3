// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verification of the trail in the store: every record is hashed again and every chain followed from
//! its beginning to its head, in one pass that keeps only the ends of the chains.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::sync::Arc;

use super::chain::{SEGMENTS, digest, parse_record};
use super::follow::{Verifier, broken, truncated};
use super::lanes::{StoredHeads, read_heads};
use super::sink::{Checked, check};
use super::write::{Keys, Shared};
use crate::api::audit::{AuditVerification, BrokenAt, Damage, Link, Record};
use crate::error::{Error, Result};
use crate::store::{Db, Entry, Range};

/// How many segments are read at a time.
const SEGMENTS_READ: usize = 16;

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
    let mut verifier = Verifier::new(Some(keys.chain.clone()), Some(heads.links()));
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
    verifier: &mut Verifier,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Option<BrokenAt>> {
    let mut segments = Segments::new();
    while let Some(page) = segments.next(db).await? {
        for entry in &page {
            if let Err(broken) = segment(verifier, entry) {
                return Ok(Some(broken));
            }
        }
        progress(verifier.progress());
        tokio::task::yield_now().await;
    }
    let created_meanwhile = read_heads(db).await?;
    if let Err(broken) = verifier.ends(&created_meanwhile) {
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

fn segment(verifier: &mut Verifier, entry: &Entry) -> Result<(), BrokenAt> {
    let name = entry.key.strip_prefix(SEGMENTS).unwrap_or(&entry.key);
    for (place, line) in lines(entry).enumerate() {
        let record = verifier.read(line, name)?;
        if place == 0 && record.id != name {
            return Err(broken(&record, Damage::Reordered, format!("it stands at `{name}`")));
        }
        verifier.record(&record)?;
    }
    Ok(())
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
