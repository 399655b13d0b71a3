// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading the trail, newest first, by who did what to what, how it ended and when.
//!
//! There is no index: a page looks at a bounded number of records and answers what it has found,
//! with a cursor to go on from.

use std::fmt;

use super::chain::{SEGMENTS, Stamp, parse_record};
use super::lanes::MAX_AHEAD;
use super::verify::lines;
use crate::api::audit::{AuditOutcome, AuditQuery, Record};
use crate::api::{Page, PageQuery};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Db, Range};

/// How many records one page looks at.
pub(super) const MAX_EXAMINED: usize = 20_000;
/// How many segments are read at a time.
pub(super) const SEGMENTS_READ: usize = 64;
/// Within a segment, ids may be later than its name by so many milliseconds.
pub(super) const SEGMENT_SPAN: i64 = 1_000;
/// What a filter may hold at most, in bytes.
const MAX_FILTER_BYTES: usize = 2_048;

/// Which records are wanted, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) project: Option<ProjectId>,
    actor: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    outcome: Option<AuditOutcome>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Filter {
    pub(super) fn new(query: &AuditQuery) -> Result<Self> {
        for (name, text) in
            [("actor", &query.actor), ("action", &query.action), ("resource", &query.resource)]
        {
            if text.as_ref().is_some_and(|text| text.len() > MAX_FILTER_BYTES) {
                return Err(Error::invalid(format!("`{name}` is longer than {MAX_FILTER_BYTES} bytes")));
            }
        }
        Ok(Self {
            project: query.project.as_deref().map(ProjectId::parse).transpose()?,
            actor: query.actor.clone(),
            action: query.action.clone(),
            resource: query.resource.clone(),
            outcome: query.outcome,
            from: query.from,
            to: query.to,
        })
    }

    pub(super) fn matches(&self, record: &Record) -> bool {
        self.project.as_ref().is_none_or(|project| project.as_str() == record.project)
            && self.actor.as_ref().is_none_or(|actor| *actor == record.actor)
            && self.action.as_ref().is_none_or(|action| *action == record.action)
            && self.resource.as_ref().is_none_or(|prefix| record.resource.starts_with(prefix))
            && self.outcome.is_none_or(|outcome| outcome == record.outcome)
            && self.from.is_none_or(|from| record.time >= from)
            && self.to.is_none_or(|to| record.time < to)
    }

    /// The segments that can hold such records. Ids are never before the time of their record, and
    /// never further ahead of it than [`MAX_AHEAD`].
    fn range(&self, cursor: Option<&Cursor>) -> Range {
        let mut range = Range::prefix(SEGMENTS).limit(SEGMENTS_READ).descending();
        if let Some(from) = self.from {
            let start = from.as_millis().saturating_sub(SEGMENT_SPAN);
            range.start = format!("{SEGMENTS}{}", Stamp::floor(start));
        }
        if let Some(to) = self.to {
            let end = to.after(MAX_AHEAD).as_millis().saturating_add(SEGMENT_SPAN);
            range.end = format!("{SEGMENTS}{}", Stamp::floor(end));
        }
        if let Some(cursor) = cursor {
            // The segment itself belongs to the page again: what it holds below the cursor.
            range.end = format!("{SEGMENTS}{}\0", cursor.segment);
        }
        range
    }
}

/// Where a page ended: at the record in this segment at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) segment: String,
    pub(super) place: usize,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let parse = || {
            let (segment, place) = text.split_once(':')?;
            uuid::Uuid::try_parse(segment).ok()?;
            Some(Self { segment: segment.to_owned(), place: place.parse().ok()? })
        };
        parse().ok_or_else(|| Error::invalid("`cursor` is not one that this list has answered"))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.place)
    }
}

/// Lists what matches, newest first.
pub(super) async fn list(db: &Db, filter: &Filter, page: &PageQuery) -> Result<Page<Record>> {
    let limit = page.limit()?;
    let cursor = page.after()?.map(|text| Cursor::parse(&text)).transpose()?;
    let mut found = Vec::new();
    let mut examined = 0;
    let mut range = filter.range(cursor.as_ref());
    loop {
        let read = db.range(range.clone()).await?;
        for entry in &read.entries {
            let segment = entry.key.strip_prefix(SEGMENTS).unwrap_or(&entry.key);
            let below = cursor.as_ref().filter(|cursor| cursor.segment == segment);
            let places = lines(entry).count();
            for (line, place) in lines(entry).rev().zip((0..places).rev()) {
                if below.is_some_and(|cursor| place >= cursor.place) {
                    continue;
                }
                examined += 1;
                match parse_record(line) {
                    Ok(record) if filter.matches(&record) => found.push(record),
                    Ok(_) => {}
                    // A verification names it; reading the rest must stay possible.
                    Err(error) => tracing::error!(segment, place, %error, "an audit record cannot be read"),
                }
                if found.len() == limit || examined == MAX_EXAMINED {
                    let last = Cursor { segment: segment.to_owned(), place };
                    return Ok(Page::new(found, Some(&last.to_string())));
                }
            }
        }
        match read.entries.last() {
            Some(last) if read.more => range = range.after(&last.key),
            _ => return Ok(Page::new(found, None)),
        }
    }
}
