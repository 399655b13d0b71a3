// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One transaction inside the writer's SQL transaction: first everything is read and judged, then
//! everything is written, so that a refusal leaves nothing behind.

use std::collections::BTreeMap;

use bytes::Bytes;
use cms_core::store::{
    Batch, Condition, Entry, Event, LeaseId, Operation, Outcome, Revision, StoreError, StoreErrorKind,
    StoreResult, Transaction, prefix_end,
};
use rusqlite::{Connection, OptionalExtension};

use super::erase;
use super::error::{fail, from_sqlite};
use super::row::{CHANGE_COLUMNS, Change, HEAD_COLUMNS, Head, MAX_CHANGES, id, revision, signed, unsigned};

/// Where the history ends: the number of its last row, and how many bytes were replaced by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tip {
    pub(super) id: i64,
    pub(super) dead: i64,
}

impl Tip {
    /// Reads the end of the history, and checks it unless it is where it was.
    pub(super) fn read(conn: &Connection, known: Self) -> StoreResult<Self> {
        let sql = "SELECT id, dead FROM log ORDER BY id DESC LIMIT 1";
        let found = conn
            .prepare_cached(sql)
            .and_then(|mut last| {
                last.query_row([], |row| Ok(Self { id: row.get(0)?, dead: row.get(1)? })).optional()
            })
            .map_err(from_sqlite)?
            .unwrap_or_default();
        if found != known && found.id != 0 {
            change(conn, found.id)?;
        }
        Ok(found)
    }

    pub(super) fn revision(self) -> Revision {
        revision(self.id)
    }
}

/// Why a transaction was not applied.
#[derive(Debug)]
pub(super) enum Failure {
    /// It alone; nothing was written.
    Refused(StoreError),
    /// The SQL transaction cannot go on.
    Broken(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// What a transaction does to one key.
#[derive(Debug)]
struct Step {
    old: Option<Head>,
    new: Option<(Bytes, Option<LeaseId>)>,
    /// Whether the former values go for good.
    erases: bool,
}

/// Applies a transaction behind `tip` and moves `tip`; answers the changes for the watches too.
pub(super) fn transact(
    conn: &Connection,
    tip: &mut Tip,
    transaction: Transaction,
) -> Result<(Outcome, Option<Batch>), Failure> {
    let mut failed = Vec::new();
    for (place, condition) in transaction.conditions.iter().enumerate() {
        if !holds(conn, condition)? {
            failed.push(place);
        }
    }
    if !failed.is_empty() {
        return Ok((Outcome::Conflict { failed }, None));
    }
    let Transaction { operations, erased, .. } = transaction;
    let mut steps = plan(conn, operations)?;
    for (key, step) in &mut steps {
        step.erases = erased.iter().any(|prefix| key.starts_with(prefix));
    }
    if steps.is_empty() {
        return Ok((Outcome::Committed { revision: tip.revision() }, None));
    }
    let batch = write(conn, tip, steps)?;
    Ok((Outcome::Committed { revision: batch.revision }, Some(batch)))
}

fn holds(conn: &Connection, condition: &Condition) -> StoreResult<bool> {
    let head = head(conn, condition.key())?;
    Ok(match condition {
        Condition::Absent(_) => head.is_none(),
        Condition::Present(_) => head.is_some(),
        Condition::Unchanged(_, read) => head.is_some_and(|head| revision(head.id) == *read),
    })
}

/// Reads what `kv` says about a key.
pub(super) fn head(conn: &Connection, key: &str) -> StoreResult<Option<Head>> {
    let sql = format!("SELECT {HEAD_COLUMNS} FROM kv WHERE key = ?1");
    let mut find = conn.prepare_cached(&sql).map_err(from_sqlite)?;
    find.query_row([key.as_bytes()], |row| Ok(Head::read(row, 0, key.as_bytes())))
        .optional()
        .map_err(from_sqlite)?
        .transpose()
}

/// Reads a row of the history.
pub(super) fn change(conn: &Connection, id: i64) -> StoreResult<Option<Change>> {
    let sql = format!("SELECT {CHANGE_COLUMNS} FROM log WHERE id = ?1");
    let mut find = conn.prepare_cached(&sql).map_err(from_sqlite)?;
    find.query_row([id], |row| Ok(Change::read(row, 0))).optional().map_err(from_sqlite)?.transpose()
}

fn plan(conn: &Connection, operations: Vec<Operation>) -> StoreResult<BTreeMap<String, Step>> {
    let mut steps = BTreeMap::new();
    for operation in operations {
        match operation {
            Operation::Put { key, value, lease } => {
                if let Some(lease) = lease {
                    require_lease(conn, lease)?;
                }
                let old = head(conn, &key)?;
                steps.insert(key, Step { old, new: Some((value, lease)), erases: false });
            }
            Operation::Delete { key } => {
                if let Some(old) = head(conn, &key)? {
                    steps.insert(key, Step { old: Some(old), new: None, erases: false });
                }
            }
            Operation::DeletePrefix { prefix } => {
                for (key, old) in heads_under(conn, &prefix)? {
                    steps.insert(key, Step { old: Some(old), new: None, erases: false });
                }
            }
        }
    }
    if steps.len() > MAX_CHANGES {
        let text =
            format!("a transaction that changes {} keys is past the limit of {MAX_CHANGES}", steps.len());
        return Err(fail(StoreErrorKind::TooLarge, text));
    }
    Ok(steps)
}

fn heads_under(conn: &Connection, prefix: &str) -> StoreResult<Vec<(String, Head)>> {
    let end = prefix_end(prefix);
    let below = if end.is_empty() { "?2 = x''" } else { "key < ?2" };
    let sql = format!("SELECT key, {HEAD_COLUMNS} FROM kv WHERE key >= ?1 AND {below}");
    let mut find = conn.prepare_cached(&sql).map_err(from_sqlite)?;
    let rows = find.query_map((prefix.as_bytes(), end.as_bytes()), |row| {
        let key = row.get_ref(0)?.as_blob()?;
        Ok(Head::read(row, 1, key).map(|head| (String::from_utf8_lossy(key).into_owned(), head)))
    });
    rows.map_err(from_sqlite)?.map(|row| row.map_err(from_sqlite)?).collect()
}

/// Refuses a lease that has ended.
pub(super) fn require_lease(conn: &Connection, lease: LeaseId) -> StoreResult<()> {
    let found = conn
        .prepare_cached("SELECT 1 FROM lease WHERE id = ?1")
        .and_then(|mut find| find.exists([signed(lease.0)]))
        .map_err(from_sqlite)?;
    if found { Ok(()) } else { Err(ended(lease)) }
}

pub(super) fn ended(lease: LeaseId) -> StoreError {
    let text = format!("lease `{}` has ended or was never granted: grant a new one", lease.0);
    fail(StoreErrorKind::Unsupported, text)
}

fn write(conn: &Connection, tip: &mut Tip, steps: BTreeMap<String, Step>) -> Result<Batch, Failure> {
    let revision = tip.revision() + 1;
    let mut events = Vec::with_capacity(steps.len());
    let erased = steps.values().filter(|step| step.erases).filter_map(|step| step.old);
    erase::values(conn, erased)?;
    for (place, (key, step)) in steps.into_iter().enumerate() {
        tip.dead += step.old.map_or(0, |old| old.size);
        tip.id = id(revision, place);
        let (head, change) = rows(*tip, key.as_bytes(), step);
        insert(conn, &change)?;
        match head {
            Some(head) => point(conn, &key, &head)?,
            None => forget(conn, &key)?,
        }
        let entry = change.value.map(|value| Entry {
            key: key.clone(),
            value,
            created: unsigned(change.created),
            modified: revision,
            version: unsigned(change.version),
        });
        events.push(Event { key, entry });
    }
    Ok(Batch { revision, events })
}

/// The rows that a step leaves.
fn rows(tip: Tip, key: &[u8], step: Step) -> (Option<Head>, Change) {
    let Tip { id, dead } = tip;
    let prev = step.old.map_or(0, |old| old.id);
    let (value, lease) = match step.new {
        Some((value, lease)) => (Some(value), lease),
        None => (None, None),
    };
    let (created, version) = match (&step.old, &value) {
        (Some(old), Some(_)) => (old.created, old.version + 1),
        (Some(old), None) => (old.created, 0),
        (None, _) => (signed(revision(id)), 1),
    };
    let head = value.as_ref().map(|value| Head {
        id,
        created,
        version,
        lease: lease.map(|lease| signed(lease.0)),
        size: i64::try_from(value.len()).unwrap_or(i64::MAX),
    });
    (head, Change { id, key: key.to_vec(), prev, dead, created, version, value })
}

fn insert(conn: &Connection, change: &Change) -> rusqlite::Result<()> {
    let sql = "INSERT INTO log (id, key, prev, dead, created, version, sum, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let value = change.value.as_deref();
    let row = (
        change.id,
        &change.key,
        change.prev,
        change.dead,
        change.created,
        change.version,
        change.sum(),
        value,
    );
    conn.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn point(conn: &Connection, key: &str, head: &Head) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO kv (key, id, created, version, lease, size, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let key = key.as_bytes();
    let row = (key, head.id, head.created, head.version, head.lease, head.size, head.sum(key));
    conn.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn forget(conn: &Connection, key: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM kv WHERE key = ?1")?.execute([key.as_bytes()]).map(|_| ())
}

/// Ends a lease and removes its keys.
pub(super) fn end_lease(conn: &Connection, tip: &mut Tip, lease: LeaseId) -> Result<Option<Batch>, Failure> {
    let operations = keys_of(conn, lease)?.into_iter().map(|key| Operation::Delete { key }).collect();
    let steps = plan(conn, operations)?;
    conn.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([signed(lease.0)])?;
    if steps.is_empty() { Ok(None) } else { write(conn, tip, steps).map(Some) }
}

fn keys_of(conn: &Connection, lease: LeaseId) -> StoreResult<Vec<String>> {
    let mut find = conn.prepare_cached("SELECT key FROM kv WHERE lease = ?1").map_err(from_sqlite)?;
    let rows = find.query_map([signed(lease.0)], |row| {
        Ok(String::from_utf8_lossy(row.get_ref(0)?.as_blob()?).into_owned())
    });
    rows.map_err(from_sqlite)?.collect::<rusqlite::Result<_>>().map_err(from_sqlite)
}
