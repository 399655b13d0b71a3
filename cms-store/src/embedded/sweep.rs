// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forgetting history: which revisions, and removing their replaced rows a few at a time.
//!
//! A swept row takes the row that it replaced with it, and itself if it is a removal: what stays
//! below the mark is exactly the present state.

use cms_core::store::{Revision, StoreResult};
use rusqlite::Connection;

use super::apply::Tip;
use super::config::EmbeddedConfig;
use super::error::from_sqlite;
use super::row::{id, last_id, revision};
use super::schema::{compacted, number, set_compacted, set_number};

/// The history that no limit takes away.
const ALWAYS_KEPT: u64 = 1000;

/// Sets the mark up to which watches cannot go back; never lowers it.
pub(super) fn compact(conn: &Connection, tip: Tip, upto: Revision) -> StoreResult<()> {
    let mark = upto.min(tip.revision());
    if mark > compacted(conn)? {
        set_compacted(conn, mark).map_err(from_sqlite)?;
    }
    Ok(())
}

/// The mark that the limits ask for, if that is worth moving it.
pub(super) fn target(conn: &Connection, tip: Tip, config: &EmbeddedConfig) -> StoreResult<Option<Revision>> {
    let present = tip.revision();
    let mark = compacted(conn)?;
    let slack = config.keep_revisions / 16;
    if present.saturating_sub(mark) > config.keep_revisions.max(ALWAYS_KEPT) + slack {
        return Ok(Some(present - config.keep_revisions.max(ALWAYS_KEPT)));
    }
    let keep = i64::try_from(config.keep_bytes).unwrap_or(i64::MAX);
    let latest = present.saturating_sub(ALWAYS_KEPT);
    if latest <= mark || tip.dead - dead_at(conn, mark)? <= keep {
        return Ok(None);
    }
    let wanted = tip.dead - keep / 4 * 3;
    let (mut low, mut high) = (mark, latest);
    while low < high {
        let middle = low + (high - low) / 2;
        if dead_at(conn, middle)? < wanted { low = middle + 1 } else { high = middle }
    }
    Ok((low > mark).then_some(low))
}

/// How many bytes were replaced by the first change after a revision.
fn dead_at(conn: &Connection, after: Revision) -> StoreResult<i64> {
    let sql = "SELECT dead FROM log WHERE id > ?1 ORDER BY id LIMIT 1";
    conn.prepare_cached(sql)
        .and_then(|mut find| find.query_row([last_id(after)], |row| row.get(0)))
        .map_err(from_sqlite)
}

/// Removes up to `limit` rows below the mark; tells whether more are left. Runs inside the
/// writer's SQL transaction.
pub(super) fn step(conn: &Connection, tip: Tip, limit: usize) -> StoreResult<bool> {
    let mark = compacted(conn)?;
    let swept = number(conn, "swept")?;
    // The last row tells the present revision: it stays, and is met again by a later sweep.
    let end = last_id(mark).min(tip.id - 1);
    if swept >= end {
        return Ok(false);
    }
    let rows = replaced(conn, swept, end, limit).map_err(from_sqlite)?;
    let more = rows.len() == limit;
    let reached = if more { rows.last().map_or(end, |row| row.0) } else { end };
    remove(conn, &rows, reached).map_err(from_sqlite)?;
    Ok(more)
}

/// Whether rows below the mark wait to be removed.
pub(super) fn pending(conn: &Connection, tip: Tip) -> StoreResult<bool> {
    Ok(number(conn, "swept")? < last_id(compacted(conn)?).min(tip.id - 1) && tip.id > id(1, 0))
}

fn replaced(
    conn: &Connection,
    after: i64,
    upto: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, i64, bool)>> {
    let sql = "SELECT id, prev, value IS NULL AND version = 0 FROM log WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
    let mut find = conn.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    find.query_map((after, upto, limit), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

fn remove(conn: &Connection, rows: &[(i64, i64, bool)], reached: i64) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM log WHERE id = ?1")?;
    for (id, prev, removal) in rows {
        if *prev != 0 {
            delete.execute([prev])?;
        }
        if *removal {
            delete.execute([id])?;
        }
    }
    tracing::trace!(rows = rows.len(), upto = revision(reached), "swept history");
    set_number(conn, "swept", reached)
}
