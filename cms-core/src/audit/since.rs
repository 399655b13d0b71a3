// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was recorded after a record, in the order in which it was committed: how the trail is followed.
//!
//! Ids order the records of one chain, not those of several: a record may be committed after one whose
//! id is later. The store's revisions have no such gaps, so a place is a record, and stands for the
//! revision that it was committed at.

use std::time::Duration;

use futures_util::StreamExt;

use super::chain::{SEGMENTS, Stamp, parse_record};
use super::lanes::read_heads;
use super::query::{Cursor, Filter, MAX_EXAMINED, SEGMENT_SPAN, SEGMENTS_READ};
use super::verify::lines;
use crate::api::audit::Record;
use crate::api::{Page, PageQuery};
use crate::error::{Error, Result};
use crate::store::{Db, Entry, Range, Revision};

/// What `after` is called that means the record which was committed last.
const LATEST: &str = "latest";
/// How long to wait for changes that the heads promise.
const PATIENCE: Duration = Duration::from_secs(2);

/// A record of the trail, by where it stands.
struct Place {
    revision: Revision,
    at: Cursor,
}

/// What was found so far.
struct Found<'f> {
    filter: &'f Filter,
    limit: usize,
    records: Vec<Record>,
    examined: usize,
    /// The last record that was looked at.
    last: Cursor,
}

/// Lists what matches and was committed after a record, in that order. The cursor goes on from there, at
/// any time: this list has no end.
pub(super) async fn since(db: &Db, filter: &Filter, after: &str, page: &PageQuery) -> Result<Page<Record>> {
    let limit = page.limit()?;
    let place = match page.after()? {
        Some(cursor) => resume(db, Cursor::parse(&cursor)?).await?,
        None => begin(db, after).await?,
    };
    let end = read_heads(db).await?.heads.iter().map(|head| head.modified).max().unwrap_or_default();
    let mut found = Found { filter, limit, records: Vec::new(), examined: 0, last: place.at.clone() };
    rest(db, &place, &mut found).await?;
    if end > place.revision && !found.is_full() {
        changes(db, place.revision, end, &mut found).await?;
    }
    let next = found.last.to_string();
    Ok(Page::new(found.records, Some(&next)))
}

/// What follows in the same transaction.
async fn rest(db: &Db, place: &Place, found: &mut Found<'_>) -> Result<()> {
    let mut range = Range::prefix(SEGMENTS).limit(SEGMENTS_READ);
    range.start = format!("{SEGMENTS}{}", place.at.segment);
    let read = db.range(range).await?;
    for entry in read.entries.iter().filter(|entry| entry.created == place.revision) {
        found.take(entry, &place.at);
    }
    Ok(())
}

/// What was committed after a revision, up to another.
async fn changes(db: &Db, after: Revision, end: Revision, found: &mut Found<'_>) -> Result<()> {
    let mut batches = db.store().watch(SEGMENTS, after).await?;
    let none = found.last.clone();
    while let Ok(Some(batch)) = tokio::time::timeout(PATIENCE, batches.next()).await {
        let batch = batch?;
        for entry in batch.events.iter().filter_map(|event| event.entry.as_ref()) {
            found.take(entry, &none);
        }
        if found.is_full() || batch.revision >= end {
            break;
        }
    }
    Ok(())
}

impl Found<'_> {
    fn is_full(&self) -> bool {
        self.records.len() >= self.limit || self.examined >= MAX_EXAMINED
    }

    /// Looks at the records of a segment; at those behind `place`, if that is in this segment.
    fn take(&mut self, entry: &Entry, place: &Cursor) {
        let segment = entry.key.strip_prefix(SEGMENTS).unwrap_or(&entry.key);
        let behind = (place.segment == segment).then_some(place.place);
        for (place, line) in lines(entry).enumerate() {
            if behind.is_some_and(|behind| place <= behind) {
                continue;
            }
            if self.is_full() {
                return;
            }
            self.examined += 1;
            self.last = Cursor { segment: segment.to_owned(), place };
            match parse_record(line) {
                Ok(record) if self.filter.matches(&record) => self.records.push(record),
                Ok(_) => {}
                // A verification names it; reading the rest must stay possible.
                Err(error) => tracing::error!(segment, place, %error, "an audit record cannot be read"),
            }
        }
    }
}

async fn resume(db: &Db, at: Cursor) -> Result<Place> {
    let entry = db.fresh(&format!("{SEGMENTS}{}", at.segment)).await?;
    let entry = entry.ok_or_else(|| Error::invalid("`cursor` is not one that this list has answered"))?;
    Ok(Place { revision: entry.created, at })
}

async fn begin(db: &Db, after: &str) -> Result<Place> {
    if after != LATEST {
        return find(db, after).await;
    }
    let heads = read_heads(db).await?;
    let newest = heads.heads.iter().max_by_key(|head| head.modified);
    let newest = newest.ok_or_else(|| Error::not_found("a record"))?;
    find(db, &newest.head.id).await
}

/// Finds a record by its id: it stands in one of the segments whose names are not later.
async fn find(db: &Db, id: &str) -> Result<Place> {
    let unknown = || Error::invalid("`after` is neither the id of a record nor `latest`");
    let stamp = uuid::Uuid::try_parse(id).map(|_| Stamp::parse(id)).map_err(|_| unknown())?;
    let mut range = Range::prefix(SEGMENTS).limit(SEGMENTS_READ).descending();
    range.start = format!("{SEGMENTS}{}", Stamp::floor(stamp.millis().saturating_sub(SEGMENT_SPAN)));
    range.end = format!("{SEGMENTS}{stamp}\0");
    loop {
        let read = db.range(range.clone()).await?;
        for entry in &read.entries {
            let is_it = |line: &[u8]| parse_record(line).is_ok_and(|record| record.id == id);
            if let Some(place) = lines(entry).position(is_it) {
                let segment = entry.key.strip_prefix(SEGMENTS).unwrap_or(&entry.key).to_owned();
                return Ok(Place { revision: entry.created, at: Cursor { segment, place } });
            }
        }
        match read.entries.last() {
            Some(last) if read.more => range = range.after(&last.key),
            _ => return Err(unknown()),
        }
    }
}
