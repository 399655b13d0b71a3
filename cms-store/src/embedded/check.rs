// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checking the whole file: every checksum, that keys and history agree, that no revision is gone.

use std::collections::HashMap;

use cms_core::store::{StoreErrorKind, StoreResult};
use rusqlite::Connection;

use super::error::{corrupt, fail, from_sqlite};
use super::row::{CHANGE_COLUMNS, Change, HEAD_COLUMNS, Head, revision};
use super::schema::{compacted, number};

/// Checks everything, SQLite's own structures included.
pub(super) fn check(conn: &Connection) -> StoreResult<()> {
    let found: String =
        conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(from_sqlite)?;
    if found != "ok" {
        let text = format!("the file is damaged ({found}): restore the store from a backup");
        return Err(fail(StoreErrorKind::Corrupt, text));
    }
    check_rows(conn)
}

/// Checks what the rows say.
pub(super) fn check_rows(conn: &Connection) -> StoreResult<()> {
    number(conn, "swept")?;
    let mut expected = check_history(conn)?;
    let mut find =
        conn.prepare(&format!("SELECT key, {HEAD_COLUMNS} FROM kv ORDER BY key")).map_err(from_sqlite)?;
    let mut rows = find.query([]).map_err(from_sqlite)?;
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let key =
            row.get_ref(0).map_err(from_sqlite)?.as_blob().map_err(|error| from_sqlite(error.into()))?;
        let head = Head::read(row, 1, key)?;
        if expected.remove(key) != Some(Head { lease: None, ..head }) {
            return Err(corrupt(key, "the entry is not the one that the history ends with"));
        }
    }
    match expected.into_keys().next() {
        Some(key) => Err(corrupt(&key, "the history has the key, the entries have not")),
        None => Ok(()),
    }
}

/// Goes through the history; answers what each key must be at its end. Leases are left as `kv` has
/// them: the history does not record them.
fn check_history(conn: &Connection) -> StoreResult<HashMap<Vec<u8>, Head>> {
    let mark = compacted(conn)?;
    let mut expected = HashMap::new();
    let mut last = mark;
    let mut dead = 0;
    let mut find =
        conn.prepare(&format!("SELECT {CHANGE_COLUMNS} FROM log ORDER BY id")).map_err(from_sqlite)?;
    let mut rows = find.query([]).map_err(from_sqlite)?;
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let change = Change::read(row, 0)?;
        let revision = revision(change.id);
        if revision > last + 1 {
            let text =
                format!("revision {} is missing from the history: restore the store from a backup", last + 1);
            return Err(fail(StoreErrorKind::Corrupt, text));
        }
        if change.dead < dead {
            return Err(corrupt(&change.key, "the history is out of order"));
        }
        last = last.max(revision);
        dead = change.dead;
        follow(&mut expected, change, mark)?;
    }
    Ok(expected)
}

fn follow(expected: &mut HashMap<Vec<u8>, Head>, change: Change, mark: u64) -> StoreResult<()> {
    let before = expected.remove(&change.key);
    let replaced = before.map_or(0, |head| head.id);
    // Below the mark, replaced rows may be gone already.
    if replaced != change.prev && (revision(change.id) > mark || replaced != 0) {
        return Err(corrupt(&change.key, "a change is missing from the history of the key"));
    }
    // Without a value it was removed, or erased when it was replaced.
    if change.value.is_some() || change.version != 0 {
        let size = change.value.as_ref().map_or(0, bytes::Bytes::len);
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let Change { id, created, version, .. } = change;
        expected.insert(change.key, Head { id, created, version, lease: None, size });
    }
    Ok(())
}
