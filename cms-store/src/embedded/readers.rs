// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading: a few connections, used off the async threads, and the queries on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cms_core::store::{
    Batch, Entry, Event, MAX_PAGE_BYTES, Page, Range, Revision, StoreErrorKind, StoreResult,
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, Rows};
use tokio::sync::Semaphore;

use super::config::EmbeddedConfig;
use super::error::{corrupt, fail, from_sqlite};
use super::row::{CHANGE_COLUMNS, Change, Head, last_id, revision};
use super::schema::{Role, compacted, connect, present};

/// How many entries a range read answers when it names no limit.
const DEFAULT_LIMIT: usize = 1000;
/// After how many bytes a read of changes ends, with the revision that it is in.
const CHANGES_BYTES: usize = 4 * 1024 * 1024;
/// After how many changes a read of changes ends, with the revision that it is in.
const CHANGES_ROWS: usize = 1000;

/// How long a read on an async thread may take.
const BRIEF: Duration = Duration::from_micros(500);
/// How many reads stay off the async threads after one that took longer.
const WARY_READS: usize = 128;

const ENTRY_COLUMNS: &str = "kv.key, kv.id, kv.created, kv.version, kv.lease, kv.size, kv.sum";

/// The connections. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: EmbeddedConfig,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    /// How many brief reads are still to be kept off the async threads.
    wary: AtomicUsize,
}

impl Readers {
    pub(super) fn new(config: EmbeddedConfig) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let permits = Arc::new(Semaphore::new(threads.clamp(2, 16) * 2));
        let (idle, wary) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        Self(Arc::new(Inner { config, idle, permits, wary }))
    }

    /// A connection of the caller's own.
    pub(super) fn open(&self) -> StoreResult<Connection> {
        connect(&self.0.config, Role::Reader)
    }

    /// Reads a few pages. They are in memory almost always, and then changing the thread would cost
    /// several times the reading: so it happens on this thread, until a read takes so long that the
    /// disk must have been asked.
    pub(super) async fn brief<T, F>(&self, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let wary = &self.0.wary;
        if wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return self.run(read).await;
        }
        let begun = Instant::now();
        let result = self.read(read);
        if begun.elapsed() > BRIEF {
            wary.store(WARY_READS, Ordering::Relaxed);
        }
        result
    }

    /// Reads on a thread that may block.
    pub(super) async fn run<T, F>(&self, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let gone = || fail(StoreErrorKind::Unavailable, "the process is shutting down");
        let permit = self.0.permits.clone().acquire_owned().await.map_err(|_| gone())?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.read(read)
        });
        reading.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Reads on this thread.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
        let idle = self.0.idle.lock().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => self.open()?,
        };
        let result = snapshot(&conn, read);
        // After a failure a fresh connection is the safer one.
        if result.is_ok() {
            self.0.idle.lock().push(conn);
        }
        result
    }
}

/// Reads several things of one state.
pub(super) fn snapshot<T>(
    conn: &Connection,
    read: impl FnOnce(&Connection) -> StoreResult<T>,
) -> StoreResult<T> {
    conn.prepare_cached("BEGIN").and_then(|mut sql| sql.execute([])).map_err(from_sqlite)?;
    let result = read(conn);
    conn.prepare_cached("COMMIT").and_then(|mut sql| sql.execute([])).map_err(from_sqlite)?;
    result
}

/// Finds a key with its value.
fn get_sql() -> String {
    format!(
        "SELECT {ENTRY_COLUMNS}, {CHANGE_COLUMNS} FROM kv LEFT JOIN log ON log.id = kv.id WHERE kv.key = ?1"
    )
}

/// Reads one key.
pub(super) fn get(conn: &Connection, key: &str) -> StoreResult<Option<Entry>> {
    let mut find = conn.prepare_cached(&get_sql()).map_err(from_sqlite)?;
    find.query_row([key.as_bytes()], |row| Ok(entry(row))).optional().map_err(from_sqlite)?.transpose()
}

/// Reads a page of entries.
pub(super) fn range(conn: &Connection, range: &Range) -> StoreResult<Page> {
    let order = if range.descending { "DESC" } else { "ASC" };
    let below = if range.end.is_empty() { "?2 = x''" } else { "kv.key < ?2" };
    let sql = format!(
        "SELECT {ENTRY_COLUMNS}, {CHANGE_COLUMNS} FROM kv LEFT JOIN log ON log.id = kv.id \
         WHERE kv.key >= ?1 AND {below} ORDER BY kv.key {order}"
    );
    let mut find = conn.prepare_cached(&sql).map_err(from_sqlite)?;
    let rows = find.query((range.start.as_bytes(), range.end.as_bytes())).map_err(from_sqlite)?;
    let limit = if range.limit == 0 { DEFAULT_LIMIT } else { range.limit };
    let (entries, more) = page(rows, limit)?;
    Ok(Page { entries, more, revision: present(conn)? })
}

fn page(mut rows: Rows<'_>, limit: usize) -> StoreResult<(Vec<Entry>, bool)> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        if entries.len() == limit || bytes >= MAX_PAGE_BYTES {
            return Ok((entries, true));
        }
        let entry = entry(row)?;
        bytes += entry.value.len();
        entries.push(entry);
    }
    Ok((entries, false))
}

/// Puts together what `kv` and `log` say about a key; they must agree.
fn entry(row: &Row<'_>) -> StoreResult<Entry> {
    let key = row.get_ref(0).map_err(from_sqlite)?.as_blob().map_err(|error| from_sqlite(error.into()))?;
    let head = Head::read(row, 1, key)?;
    let lost = || corrupt(key, "the value of the key is not where it was written");
    if row.get::<_, Option<i64>>(7).map_err(from_sqlite)?.is_none() {
        return Err(lost());
    }
    let change = Change::read(row, 7)?;
    if change.key != key || change.created != head.created || change.version != head.version {
        return Err(lost());
    }
    change.entry()?.ok_or_else(lost)
}

/// Reads the changes after a revision, whole revisions only; empty if there are none.
pub(super) fn changes(conn: &Connection, after: Revision) -> StoreResult<Vec<Batch>> {
    check_kept(conn, after)?;
    let sql = format!("SELECT {CHANGE_COLUMNS} FROM log WHERE id > ?1 ORDER BY id");
    let mut find = conn.prepare_cached(&sql).map_err(from_sqlite)?;
    let mut rows = find.query([last_id(after)]).map_err(from_sqlite)?;
    let mut batches: BTreeMap<Revision, Vec<Event>> = BTreeMap::new();
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let change = Change::read(row, 0)?;
        let revision = revision(change.id);
        if (count >= CHANGES_ROWS || bytes >= CHANGES_BYTES) && !batches.contains_key(&revision) {
            break;
        }
        count += 1;
        bytes += change.value.as_ref().map_or(0, bytes::Bytes::len);
        let key = change.name()?;
        batches.entry(revision).or_default().push(Event { key, entry: change.entry()? });
    }
    contiguous(after, batches)
}

fn contiguous(after: Revision, batches: BTreeMap<Revision, Vec<Event>>) -> StoreResult<Vec<Batch>> {
    let expected = after + 1..;
    expected
        .zip(batches)
        .map(|(expected, (revision, events))| {
            if revision == expected {
                return Ok(Batch { revision, events });
            }
            let text =
                format!("revision {expected} is missing from the history: restore the store from a backup");
            Err(fail(StoreErrorKind::Corrupt, text))
        })
        .collect()
}

/// Refuses a revision that a watch cannot go back to; answers the present one.
pub(super) fn check_kept(conn: &Connection, after: Revision) -> StoreResult<Revision> {
    let (oldest, newest) = (compacted(conn)?, present(conn)?);
    if (oldest..=newest).contains(&after) {
        return Ok(newest);
    }
    let text = format!(
        "revision {after} is outside of {oldest} to {newest}, which is kept: start again from the present state"
    );
    Err(fail(StoreErrorKind::Compacted, text))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::schema::{Role, connect, prepare};
    use super::*;

    #[test]
    fn a_look_up_is_compiled_once_for_all_keys() {
        let directory = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig::new(directory.path().join("store"));
        prepare(&config).unwrap();
        let conn = connect(&config, Role::Reader).unwrap();
        for key in ["a", "b", "c"] {
            assert_eq!(get(&conn, key).unwrap(), None);
        }
        let find = conn.prepare_cached(&get_sql()).unwrap();
        assert_eq!(find.get_status(StatementStatus::Run), 3);
        assert_eq!(find.get_status(StatementStatus::RePrepare), 0);
    }
}
