// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading one key, and many at one revision.
//!
//! etcd bounds an answer by keys only. So a range is read in pieces: a first small one, the next as large as
//! the values so far let expect, all at the revision of the first.

use cms_core::store::{Entry, MAX_PAGE_BYTES, Page, Range, Revision, StoreErrorKind, StoreResult};
use etcd_client::{GetOptions, SortOrder, SortTarget};

use super::calls::Get;
use super::client::{Again, Client};
use super::error::fail;
use super::keys::{Keys, ours};

/// How many keys the first piece asks for: with the largest values less than what is read of one answer.
const FIRST: usize = 32;
/// About how large the pieces after it are.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// What a range asks for that names no limit.
const DEFAULT_LIMIT: usize = 1000;
/// How often a range is begun anew because the history it was reading was forgotten.
const ATTEMPTS: usize = 3;

pub(super) async fn get(client: &Client, keys: &Keys, key: &str) -> StoreResult<Option<Entry>> {
    if key.is_empty() {
        return Ok(None);
    }
    let request = Get { key: keys.key(key), ..Get::default() };
    let answer = client.call(request, Again::Safe).await?;
    answer.kvs.into_iter().next().map(|kv| keys.entry(kv)).transpose()
}

/// The present revision. With `at`, only if the cluster has reached that one and has not forgotten it.
pub(super) async fn revision(client: &Client, keys: &Keys, at: Option<i64>) -> StoreResult<Revision> {
    let options = GetOptions::new().with_revision(at.unwrap_or_default()).with_count_only();
    let request = Get { key: keys.mark(), options };
    let answer = client.call(request, Again::Safe).await?;
    Ok(ours(answer.header.map_or(0, |header| header.revision)))
}

pub(super) async fn range(client: &Client, keys: &Keys, range: &Range) -> StoreResult<Page> {
    if !range.end.is_empty() && range.start >= range.end {
        let revision = revision(client, keys, None).await?;
        return Ok(Page { entries: Vec::new(), more: false, revision });
    }
    let mut attempts = 1;
    loop {
        match once(client, keys, range).await {
            Err(error) if error.kind() == StoreErrorKind::Compacted && attempts < ATTEMPTS => attempts += 1,
            Err(error) if error.kind() == StoreErrorKind::Compacted => {
                let text =
                    "the history is forgotten faster than this range can be read: ask for less at once";
                return Err(fail(StoreErrorKind::Unavailable, text).with_source(error));
            }
            ended => return ended,
        }
    }
}

async fn once(client: &Client, keys: &Keys, range: &Range) -> StoreResult<Page> {
    let limit = if range.limit == 0 { DEFAULT_LIMIT } else { range.limit };
    let mut start = keys.start(&range.start);
    let mut end = keys.end(&range.end);
    let mut revision = 0;
    let mut page = Page { entries: Vec::new(), more: true, revision: 0 };
    let mut bytes = 0;
    let mut piece = FIRST;
    while page.more && page.entries.len() < limit && bytes < MAX_PAGE_BYTES {
        let mut options = GetOptions::new()
            .with_range(end.clone())
            .with_revision(revision)
            .with_limit(i64::try_from(piece.min(limit - page.entries.len())).unwrap_or(i64::MAX));
        if range.descending {
            options = options.with_sort(SortTarget::Key, SortOrder::Descend);
        }
        let answer = match client.call(Get { key: start.clone(), options }, Again::Safe).await {
            Err(error) if error.kind() == StoreErrorKind::TooLarge && piece > 1 => {
                piece /= 4;
                continue;
            }
            answer => answer?,
        };
        if revision == 0 {
            revision = answer.header.map_or(0, |header| header.revision);
            page.revision = ours(revision);
        }
        page.more = answer.more;
        let Some(last) = answer.kvs.last() else { break };
        if range.descending {
            end = last.key.clone();
        } else {
            start = [last.key.as_slice(), b"\0"].concat();
        }
        for kv in answer.kvs {
            if bytes >= MAX_PAGE_BYTES {
                page.more = true;
                break;
            }
            bytes += kv.value.len();
            page.entries.push(keys.entry(kv)?);
        }
        let expected = bytes / page.entries.len().max(1) + 1;
        piece = (PIECE_BYTES / expected).max(FIRST);
    }
    Ok(page)
}
