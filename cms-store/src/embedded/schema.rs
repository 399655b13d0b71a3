// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file: made for its owner only, told apart from other files, opened with the same settings
//! everywhere.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use cms_core::store::{StoreError, StoreErrorKind, StoreResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::config::EmbeddedConfig;
use super::error::{fail, from_sqlite};
use super::row::{number_sum, revision, signed, unsigned};

/// "CMS1": what makes the file ours.
const APPLICATION_ID: i64 = 0x434d_5331;
/// The format that this version writes, and the newest that it reads.
const FORMAT: i64 = 1;

/// How long a lock is asked for at short intervals.
const EAGER: Duration = Duration::from_millis(100);

const TABLES: &str = "
    CREATE TABLE kv (
        key BLOB PRIMARY KEY, id INTEGER NOT NULL, created INTEGER NOT NULL, version INTEGER NOT NULL,
        lease INTEGER, size INTEGER NOT NULL, sum INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kv_lease ON kv (lease) WHERE lease IS NOT NULL;
    CREATE TABLE log (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL, prev INTEGER NOT NULL, dead INTEGER NOT NULL,
        created INTEGER NOT NULL, version INTEGER NOT NULL, sum INTEGER NOT NULL, value BLOB
    ) STRICT;
    CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER NOT NULL, renewals INTEGER NOT NULL) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Writer,
}

/// Makes the directory and the file if they are missing, and refuses a file that is not ours.
pub(super) fn prepare(config: &EmbeddedConfig) -> StoreResult<()> {
    make_files(config).map_err(|error| {
        let shown = config.directory.display();
        let kind = match error.kind() {
            ErrorKind::StorageFull => StoreErrorKind::Full,
            _ => StoreErrorKind::Unavailable,
        };
        fail(kind, format!("the store in `{shown}` cannot be made: {error}; check the path, owner and mode"))
            .with_source(error)
    })?;
    let conn = open_file(config, Role::Writer)?;
    identify(&conn, config)?;
    use_wal(&conn, config.patience)
}

fn make_files(config: &EmbeddedConfig) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        builder.mode(0o700);
        options.mode(0o600);
    }
    builder.create(&config.directory)?;
    // An existing file is never opened here: closing it would drop this process's locks on it.
    match options.open(config.file()) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    for directory in [Some(config.directory.as_path()), config.directory.parent()].into_iter().flatten() {
        sync_directory(directory)?;
    }
    Ok(())
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match fs::File::open(path) {
        Ok(directory) => directory.sync_all(),
        // A parent that may be entered but not read is none of ours.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Tells whether the file is ours, and makes its tables if it is empty.
fn identify(conn: &Connection, config: &EmbeddedConfig) -> StoreResult<()> {
    let shown = config.file();
    let shown = shown.display();
    let read = |sql: &str| {
        conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| unreadable(error, config))
    };
    // The tables first: whoever makes them writes the number in the same transaction.
    if read("SELECT count(*) FROM sqlite_schema")? == 0 && read("PRAGMA application_id")? == 0 {
        create(conn).map_err(|error| unreadable(error, config))?;
    }
    if read("PRAGMA application_id")? != APPLICATION_ID {
        let text = format!("`{shown}` belongs to another program: choose an empty directory");
        return Err(fail(StoreErrorKind::Unsupported, text));
    }
    match read("PRAGMA user_version")? {
        FORMAT => Ok(()),
        newer if newer > FORMAT => {
            let text = format!(
                "`{shown}` has format {newer}, this version reads up to {FORMAT}: use the newer version"
            );
            Err(fail(StoreErrorKind::Unsupported, text))
        }
        other => {
            let text = format!(
                "`{shown}` says that it has format {other}, which never was: restore it from a backup"
            );
            Err(fail(StoreErrorKind::Corrupt, text))
        }
    }
}

fn unreadable(error: rusqlite::Error, config: &EmbeddedConfig) -> StoreError {
    let shown = config.file();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            let text = format!(
                "`{}` is not a store or its beginning is damaged: choose another directory, or restore it from a \
                 backup; nothing was changed",
                shown.display()
            );
            fail(StoreErrorKind::Corrupt, text).with_source(error)
        }
        _ => from_sqlite(error),
    }
}

fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let made = (|| {
        // Another process may have been first.
        if conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? > 0 {
            return Ok(());
        }
        conn.execute_batch(TABLES)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
        conn.pragma_update(None, "user_version", FORMAT)
    })();
    match made {
        Ok(()) => conn.execute_batch("COMMIT"),
        Err(error) => {
            // The first error is the one that tells.
            drop(conn.execute_batch("ROLLBACK"));
            Err(error)
        }
    }
}

/// Switches to the write-ahead log. SQLite does not wait for other processes here, so this does.
fn use_wal(conn: &Connection, patience: Duration) -> StoreResult<()> {
    let begun = Instant::now();
    loop {
        let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(error) => return Err(from_sqlite(error)),
        }
        if begun.elapsed() > patience {
            return Err(fail(
                StoreErrorKind::Unavailable,
                "another process holds the store for too long: try again",
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Opens a connection to a file that [`prepare`] has seen.
pub(super) fn connect(config: &EmbeddedConfig, role: Role) -> StoreResult<Connection> {
    let conn = open_file(config, role)?;
    let settings = match role {
        // Checkpoints have a thread of their own, and history is never looked up by foreign keys.
        Role::Writer => {
            "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192; PRAGMA synchronous = FULL; \
             PRAGMA secure_delete = ON;"
        }
        Role::Reader => "PRAGMA query_only = ON; PRAGMA cache_size = -4096;",
    };
    conn.execute_batch(settings).map_err(from_sqlite)?;
    Ok(conn)
}

fn open_file(config: &EmbeddedConfig, role: Role) -> StoreResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(config.file(), flags).map_err(from_sqlite)?;
    let patience = match role {
        Role::Reader => config.patience.min(Duration::from_secs(2)),
        Role::Writer => config.patience,
    };
    let mut begun = Instant::now();
    // SQLite's own handler sleeps for up to 100 ms. A commit takes less than one, and the gap before
    // a busy neighbour's next commit is shorter still: who asks rarely never gets a turn.
    conn.busy_handler(Some(move |count: i32| {
        if count == 0 {
            begun = Instant::now();
        }
        let waited = begun.elapsed();
        let pause = if waited < EAGER { Duration::from_micros(100) } else { Duration::from_millis(1) };
        std::thread::sleep(pause);
        waited < patience
    }))
    .map_err(from_sqlite)?;
    // Else the planner looks at the values that are bound, and compiles a look-up by key anew for each.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(from_sqlite)?;
    conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;")
        .map_err(|error| unreadable(error, config))?;
    Ok(conn)
}

/// Reads a number of `meta`; 0 if it was never written.
pub(super) fn number(conn: &Connection, name: &str) -> StoreResult<i64> {
    let mut find =
        conn.prepare_cached("SELECT number, sum FROM meta WHERE name = ?1").map_err(from_sqlite)?;
    let found: Option<(i64, u32)> =
        find.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(from_sqlite)?;
    match found {
        None => Ok(0),
        Some((number, sum)) if number_sum(name, number) == sum => Ok(number),
        Some(_) => {
            let text =
                format!("the number `{name}` does not match its checksum: restore the store from a backup");
            Err(fail(StoreErrorKind::Corrupt, text))
        }
    }
}

/// Writes a number of `meta`.
pub(super) fn set_number(conn: &Connection, name: &str, number: i64) -> rusqlite::Result<()> {
    let mut put =
        conn.prepare_cached("INSERT OR REPLACE INTO meta (name, number, sum) VALUES (?1, ?2, ?3)")?;
    put.execute((name, number, number_sum(name, number))).map(|_| ())
}

/// The last revision whose history is forgotten.
pub(super) fn compacted(conn: &Connection) -> StoreResult<u64> {
    number(conn, "compacted").map(unsigned)
}

pub(super) fn set_compacted(conn: &Connection, revision: u64) -> rusqlite::Result<()> {
    set_number(conn, "compacted", signed(revision))
}

/// The present revision. The last row of the history always stays, so it is that row's.
pub(super) fn present(conn: &Connection) -> StoreResult<u64> {
    let mut last = conn.prepare_cached("SELECT max(id) FROM log").map_err(from_sqlite)?;
    let id: Option<i64> = last.query_row([], |row| row.get(0)).map_err(from_sqlite)?;
    Ok(id.map_or(0, revision))
}

/// A number that changes when another connection has committed.
pub(super) fn data_version(conn: &Connection) -> StoreResult<i64> {
    let mut version = conn.prepare_cached("PRAGMA data_version").map_err(from_sqlite)?;
    version.query_row([], |row| row.get(0)).map_err(from_sqlite)
}
