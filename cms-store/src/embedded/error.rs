// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From SQLite's codes to the port's kinds, each with what to do next.

use cms_core::store::{StoreError, StoreErrorKind};
use rusqlite::{Error, ErrorCode};

/// The name of this backend.
pub(super) const NAME: &str = "embedded";

pub(super) fn fail(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
    StoreError::new(NAME, kind, message)
}

/// Names the key whose bytes are not those that were written.
pub(super) fn corrupt(key: &[u8], what: &str) -> StoreError {
    let text = format!("{what}: run `cms doctor`, and restore the store from a backup");
    fail(StoreErrorKind::Corrupt, text).with_key(String::from_utf8_lossy(key))
}

/// What a failed read or an unfinished write amounts to: nothing was changed.
pub(super) fn from_sqlite(error: Error) -> StoreError {
    if let Error::InvalidColumnType(..)
    | Error::FromSqlConversionFailure(..)
    | Error::IntegralValueOutOfRange(..) = error
    {
        let text = "a row holds what was never written: restore the store from a backup";
        return fail(StoreErrorKind::Corrupt, text).with_source(error);
    }
    let (kind, text) = match code(&error) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (StoreErrorKind::Unavailable, "another process holds the store for too long: try again")
        }
        _ if no_shared_memory(&error) => {
            (StoreErrorKind::Full, "the disk has no room for the memory that processes share: make room")
        }
        Some(ErrorCode::DiskFull) => {
            (StoreErrorKind::Full, "the disk is full: make room, writes go on by themselves")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (StoreErrorKind::Corrupt, "the file is damaged: restore the store from a backup")
        }
        Some(ErrorCode::TooBig) => (StoreErrorKind::TooLarge, "the change is too large for one entry"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            (StoreErrorKind::Unavailable, "the file cannot be opened for writing: check owner and mode")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (StoreErrorKind::Unavailable, "the disk does not answer: check it, then try again")
        }
        _ => (StoreErrorKind::Unavailable, "the database gave up: try again"),
    };
    fail(kind, text).with_source(error)
}

/// What a failed commit amounts to, and whether the store can still be trusted with another one.
pub(super) fn from_commit(error: Error) -> (StoreError, bool) {
    if code(&error) == Some(ErrorCode::DiskFull) {
        return (from_sqlite(error), true);
    }
    let text = "the disk failed while a change was being made durable: writes are refused until the store is \
                opened again";
    (fail(StoreErrorKind::Unknown, text).with_source(error), false)
}

fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::SqliteFailure(failure, _) => Some(failure.code),
        _ => None,
    }
}

fn no_shared_memory(error: &Error) -> bool {
    matches!(error, Error::SqliteFailure(failure, _) if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// Hands one outcome to several callers: the text and the kind, without the cause.
pub(super) fn copy(error: &StoreError) -> StoreError {
    let prefix = format!("{NAME} store: ");
    let text = error.to_string();
    fail(error.kind(), text.strip_prefix(&prefix).unwrap_or(&text))
}
