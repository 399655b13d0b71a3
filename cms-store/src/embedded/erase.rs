// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Values that leave the file: their rows stay in the history without them, so that no revision is
//! missing; SQLite overwrites the room with zeros (`secure_delete`); and the write-ahead log, which
//! holds older pages, is moved and cut off.
//!
//! `erased` and `scrubbed` in `meta` tell what is left to be cut off, whoever was to do it.

use cms_core::store::{Revision, StoreResult};
use rusqlite::Connection;

use super::apply::{Failure, Tip, change};
use super::error::from_sqlite;
use super::row::Head;
use super::schema::{number, set_number};
use super::sweep;

/// Takes the values of entries, and of what they replaced, out of the history. Runs inside the
/// writer's SQL transaction.
pub(super) fn values(conn: &Connection, heads: impl Iterator<Item = Head>) -> Result<(), Failure> {
    let mut any = false;
    for head in heads {
        any = true;
        value(conn, head.id)?;
    }
    if any { request(conn) } else { Ok(()) }
}

/// Follows the chain of one key back to where it was created, or to where the history begins.
fn value(conn: &Connection, mut id: i64) -> Result<(), Failure> {
    while let Some(mut row) = change(conn, id)?.filter(|row| row.value.is_some()) {
        row.value = None;
        conn.prepare_cached("UPDATE log SET value = NULL, sum = ?2 WHERE id = ?1")?
            .execute((id, row.sum()))?;
        id = row.prev;
    }
    Ok(())
}

/// Takes out what the last change of the history replaced, if the history up to it is forgotten:
/// sweeping leaves that change, and what it replaced, to a later time.
pub(super) fn replaced_last(conn: &Connection, tip: Tip, upto: Revision) -> Result<(), Failure> {
    match change(conn, tip.id)? {
        Some(last) if upto >= tip.revision() && last.prev != 0 => value(conn, last.prev),
        _ => Ok(()),
    }
}

/// Notes that the write-ahead log is to be cut off.
pub(super) fn request(conn: &Connection) -> Result<(), Failure> {
    let next = number(conn, "erased")?.saturating_add(1);
    Ok(set_number(conn, "erased", next)?)
}

/// Cuts the write-ahead log off if that was asked for; tells whether nothing is left to do. That is
/// not so while history is being removed, or when a reader that stands still has prevented it.
pub(super) fn scrub(conn: &Connection, tip: Tip) -> StoreResult<bool> {
    let erased = number(conn, "erased")?;
    if erased == number(conn, "scrubbed")? {
        return Ok(true);
    }
    let is_last = !sweep::pending(conn, tip)?;
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = conn.query_row(sql, [], |row| row.get(0)).map_err(from_sqlite)?;
    let is_done = is_last && busy == 0;
    if is_done {
        set_number(conn, "scrubbed", erased).map_err(from_sqlite)?;
    }
    Ok(is_done)
}
