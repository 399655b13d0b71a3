// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rows on disk and their checksums: a flipped byte is an error, never another value.
//!
//! Each change is one row of `log`, numbered by its revision and its place in it; `kv` points from
//! a key to the row that holds its present value, so that a value is written once.

use bytes::Bytes;
use cms_core::store::{Entry, Revision, StoreResult};
use rusqlite::Row;

use super::error::{corrupt, from_sqlite};

/// How many low bits of a row's number tell the place within the revision.
const PLACE_BITS: u32 = 20;
/// How many keys one revision may change.
pub(super) const MAX_CHANGES: usize = 1 << PLACE_BITS;

/// The number of the change at a place (from 0) of a revision.
pub(super) fn id(revision: Revision, place: usize) -> i64 {
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    i64::try_from(revision)
        .unwrap_or(i64::MAX >> PLACE_BITS)
        .saturating_mul(1 << PLACE_BITS)
        .saturating_add(place)
}

/// The last number that a change of the revision can have.
pub(super) fn last_id(revision: Revision) -> i64 {
    id(revision, MAX_CHANGES - 1)
}

/// The revision of a numbered change.
pub(super) fn revision(id: i64) -> Revision {
    unsigned(id >> PLACE_BITS)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of `kv` that [`Head::read`] expects.
pub(super) const HEAD_COLUMNS: &str = "id, created, version, lease, size, sum";

/// What `kv` says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) created: i64,
    pub(super) version: i64,
    pub(super) lease: Option<i64>,
    pub(super) size: i64,
}

impl Head {
    pub(super) fn sum(&self, key: &[u8]) -> u32 {
        let lease = self.lease.unwrap_or(-1);
        checksum(&[self.id, self.created, self.version, lease, self.size], key, None)
    }

    /// Reads the columns from `first` on, and checks them.
    pub(super) fn read(row: &Row<'_>, first: usize, key: &[u8]) -> StoreResult<Self> {
        let (head, sum) = Self::columns(row, first).map_err(from_sqlite)?;
        if head.sum(key) == sum {
            Ok(head)
        } else {
            Err(corrupt(key, "the entry does not match its checksum"))
        }
    }

    fn columns(row: &Row<'_>, first: usize) -> rusqlite::Result<(Self, u32)> {
        let head = Self {
            id: row.get(first)?,
            created: row.get(first + 1)?,
            version: row.get(first + 2)?,
            lease: row.get(first + 3)?,
            size: row.get(first + 4)?,
        };
        Ok((head, row.get(first + 5)?))
    }
}

/// The columns of `log` that [`Change::read`] expects.
pub(super) const CHANGE_COLUMNS: &str =
    "log.id, log.key, prev, dead, log.created, log.version, log.sum, value";

/// One change of one key, as `log` holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: i64,
    pub(super) key: Vec<u8>,
    /// The change of the same key that this one replaced; 0: none.
    pub(super) prev: i64,
    /// How many bytes of values were replaced since the store began, up to here.
    pub(super) dead: i64,
    pub(super) created: i64,
    pub(super) version: i64,
    /// The new value; `None`: removed, or (if `version` is not 0) erased since.
    pub(super) value: Option<Bytes>,
}

impl Change {
    pub(super) fn sum(&self) -> u32 {
        let numbers = [self.id, self.prev, self.dead, self.created, self.version];
        checksum(&numbers, &self.key, self.value.as_deref())
    }

    /// Reads the columns of [`CHANGE_COLUMNS`] from `first` on, and checks them.
    pub(super) fn read(row: &Row<'_>, first: usize) -> StoreResult<Self> {
        let (change, sum) = Self::columns(row, first).map_err(from_sqlite)?;
        if change.sum() == sum {
            Ok(change)
        } else {
            Err(corrupt(&change.key, "the entry does not match its checksum"))
        }
    }

    fn columns(row: &Row<'_>, first: usize) -> rusqlite::Result<(Self, u32)> {
        let change = Self {
            id: row.get(first)?,
            key: row.get_ref(first + 1)?.as_blob()?.to_vec(),
            prev: row.get(first + 2)?,
            dead: row.get(first + 3)?,
            created: row.get(first + 4)?,
            version: row.get(first + 5)?,
            value: row.get_ref(first + 7)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        };
        Ok((change, row.get(first + 6)?))
    }

    /// The key as text.
    pub(super) fn name(&self) -> StoreResult<String> {
        match std::str::from_utf8(&self.key) {
            Ok(key) => Ok(key.to_owned()),
            Err(_) => Err(corrupt(&self.key, "the key is not text")),
        }
    }

    /// The state that the change left; `None`: removed or erased.
    pub(super) fn entry(self) -> StoreResult<Option<Entry>> {
        let key = self.name()?;
        Ok(self.value.map(|value| Entry {
            key,
            value,
            created: unsigned(self.created),
            modified: revision(self.id),
            version: unsigned(self.version),
        }))
    }
}

/// CRC-32 of numbers, key and value; a missing value differs from an empty one.
fn checksum(numbers: &[i64], key: &[u8], value: Option<&[u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    if let Some(value) = value {
        hasher.update(&[1]);
        hasher.update(value);
    }
    hasher.finalize()
}

/// The checksum of a number of `meta`.
pub(super) fn number_sum(name: &str, number: i64) -> u32 {
    checksum(&[number], name.as_bytes(), None)
}
