// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Records that a store may hold sealed only: credentials, sessions, signing keys.
//!
//! A record is bound to its key and to the store's count of writes of that key, so every write must
//! carry the condition that the key is as it was read.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::crypto::Barrier;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Condition, Db, Entry, Transaction};

/// The store behind the barrier.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) db: Db,
    pub(crate) barrier: Barrier,
}

/// A record as it was read past the cache.
#[derive(Debug)]
pub(crate) struct Fresh<T> {
    pub(crate) entry: Entry,
    pub(crate) record: T,
}

impl Sealed {
    pub(crate) fn of(kit: &Kit) -> Self {
        Self { db: kit.db.clone(), barrier: kit.barrier.clone() }
    }

    /// Reads a record past the cache, to build a transaction from.
    pub(crate) async fn fresh<T: DeserializeOwned>(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<Fresh<T>>> {
        match self.db.fresh(key).await? {
            Some(entry) => Ok(Some(self.open(project, entry).await?)),
            None => Ok(None),
        }
    }

    /// Opens a record that was read as part of a range.
    pub(crate) async fn open<T: DeserializeOwned>(
        &self,
        project: &ProjectId,
        entry: Entry,
    ) -> Result<Fresh<T>> {
        let plain = self.barrier.open(project, &entry.key, entry.version, &entry.value).await?;
        let record = decode(&entry.key, plain.expose())?;
        Ok(Fresh { entry, record })
    }

    /// Reads a record through the cache; what `build` makes of it is kept until the record changes.
    pub(crate) async fn cached<R, T, F>(
        &self,
        project: &ProjectId,
        key: &str,
        build: F,
    ) -> Result<Option<Arc<T>>>
    where
        R: DeserializeOwned,
        T: Any + Send + Sync,
        F: FnOnce(R, u64) -> Result<T>,
    {
        let cached = self.db.cached(key).await?;
        if let Some(kept) = cached.kept::<T>() {
            return Ok(Some(kept));
        }
        let Some(entry) = cached.entry() else { return Ok(None) };
        let plain = self.barrier.open(project, key, entry.version, &entry.value).await?;
        cached.parsed(|entry| build(decode(key, plain.expose())?, entry.version))
    }

    /// The part of a transaction that writes a record over what was read (`None`: over nothing).
    pub(crate) async fn write<T: Serialize>(
        &self,
        project: &ProjectId,
        key: &str,
        read: Option<&Entry>,
        record: &T,
    ) -> Result<Transaction> {
        let version = read.map_or(1, |entry| entry.version + 1);
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(record).map_err(Error::internal)?);
        let sealed = self.barrier.seal(project, key, version, &plain).await?;
        Ok(Transaction::new().when(Condition::as_read(key, read)).and(sealed.put(key)))
    }
}

fn decode<T: DeserializeOwned>(key: &str, plain: &[u8]) -> Result<T> {
    // The decoder's own text may quote the record, so only its class goes to the log.
    serde_json::from_slice(plain).map_err(|error| {
        Error::internal(format!("the record at `{key}` cannot be read: {:?} error", error.classify()))
    })
}
