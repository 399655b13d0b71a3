// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keyrings in memory, ready for use, and the records that hold them wrapped in the store.
//!
//! Older versions stay readable for what they sealed; the last one seals. Keys are kept as schedules
//! only: whoever needs the bytes unwraps the record again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::aead::{AeadError, AeadKey};
use super::material::{KeyMaterial, Material};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Condition, Entry, Revision};

/// Where the root keyring lies, wrapped by the seal.
pub(super) const ROOT_KEY: &str = "sys/keyring";
/// How many seals one process makes with a key before it asks for the next one. Far below the 2^32
/// at which random nonces become a risk, because the count is per process and begins again with it;
/// [`MAX_AGE`] bounds what restarts forget.
pub(super) const ROTATE_AFTER_SEALS: u64 = 1 << 30;
/// How many seals one process makes with a key at all.
pub(super) const MAX_SEALS: u64 = 1 << 31;
/// How old a key becomes before it is due for rotation.
pub(super) const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How many versions a keyring holds.
pub(super) const MAX_VERSIONS: usize = 4096;

/// Where a project's keyring lies, wrapped by the root key.
pub(super) fn project_key(project: &str) -> String {
    format!("keys/{project}")
}

/// One version of a key, ready for use.
#[derive(Debug)]
pub(super) struct KeyVersion {
    pub(super) number: u32,
    pub(super) created: Timestamp,
    pub(super) key: AeadKey,
    /// Counts this process's seals; shared by every loading of the same version.
    seals: Arc<AtomicU64>,
}

impl KeyVersion {
    fn new(material: &KeyMaterial, before: Option<&Keyring>) -> Result<Self, AeadError> {
        let known = before.and_then(|keyring| keyring.find(material.number));
        Ok(Self {
            number: material.number,
            created: material.created,
            key: AeadKey::new(material.key.expose())?,
            seals: known.map_or_else(Arc::default, |version| version.seals.clone()),
        })
    }

    /// Counts one more seal.
    ///
    /// # Errors
    /// `Unavailable` when the key has sealed as much as it safely may.
    pub(super) fn count(&self) -> Result<()> {
        if self.seals.fetch_add(1, Ordering::Relaxed) < MAX_SEALS {
            return Ok(());
        }
        Err(Error::unavailable("key_exhausted", "the project's data key is used up; rotate it and try again"))
    }

    /// Whether the key should be followed by a new one.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.seals.load(Ordering::Relaxed) >= ROTATE_AFTER_SEALS || now.since(self.created) >= MAX_AGE
    }

    #[cfg(test)]
    pub(super) fn set_seals(&self, seals: u64) {
        self.seals.store(seals, Ordering::Relaxed);
    }
}

/// A keyring, ready for use.
#[derive(Debug)]
pub(super) struct Keyring {
    /// The state of the store's record that this was made for: the revision of its last change, or
    /// `None` if it does not exist (yet).
    pub(super) seen: Option<Revision>,
    current: Arc<KeyVersion>,
    /// Every version, ascending by number.
    versions: Vec<Arc<KeyVersion>>,
    /// The versions that the record before this one still had: whoever has read a value just before
    /// it was sealed anew can open it.
    retired: Vec<Arc<KeyVersion>>,
}

impl Keyring {
    pub(super) fn new(
        material: &Material,
        seen: Option<Revision>,
        before: Option<&Self>,
    ) -> Result<Self, AeadError> {
        let versions: Vec<_> = material
            .keys
            .iter()
            .map(|key| KeyVersion::new(key, before).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let current = versions.last().cloned().ok_or(AeadError::Short)?;
        let is_left =
            |version: &Arc<KeyVersion>| !material.keys.iter().any(|key| key.number == version.number);
        let retired = before.map_or_else(Vec::new, |before| {
            before.versions.iter().filter(|version| is_left(version)).cloned().collect()
        });
        Ok(Self { seen, current, versions, retired })
    }

    pub(super) fn current(&self) -> &KeyVersion {
        &self.current
    }

    pub(super) fn find(&self, number: u32) -> Option<&KeyVersion> {
        if self.current.number == number {
            return Some(&self.current);
        }
        let find =
            |versions: &[Arc<KeyVersion>]| versions.iter().rposition(|version| version.number == number);
        let held = find(&self.versions).and_then(|at| self.versions.get(at));
        held.or_else(|| find(&self.retired).and_then(|at| self.retired.get(at))).map(Arc::as_ref)
    }

    /// The condition that the keyring's record, at `key`, is still the one that this was made for.
    pub(super) fn unchanged(&self, key: &str) -> Condition {
        match self.seen {
            Some(revision) => Condition::Unchanged(key.to_owned(), revision),
            None => Condition::Absent(key.to_owned()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }
}

/// The root keyring as the store holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RootRecord {
    v: u32,
    /// Counts the changes of the keyring; bound into what the seal wraps.
    pub(super) generation: u64,
    /// The name of the seal that wrapped it.
    pub(super) seal: String,
    wrapped: String,
}

impl RootRecord {
    pub(super) fn new(generation: u64, seal: &str, wrapped: &[u8]) -> Self {
        Self { v: 1, generation, seal: seal.to_owned(), wrapped: BASE64.encode(wrapped) }
    }

    pub(super) fn parse(entry: &Entry) -> Result<Self> {
        parse_record::<Self>(entry, |record| record.v)
    }

    pub(super) fn wrapped(&self) -> Result<Vec<u8>> {
        decode_wrapped(&self.wrapped, ROOT_KEY)
    }

    /// What the seal binds the keyring to.
    pub(super) fn context(generation: u64) -> Vec<u8> {
        format!("cms root keyring {generation}").into_bytes()
    }
}

/// A project's keyring as the store holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProjectRecord {
    v: u32,
    /// Counts the changes of the keyring; bound into the wrapping.
    pub(super) generation: u64,
    #[serde(flatten)]
    pub(super) state: ProjectState,
}

/// Whether a project has its keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum ProjectState {
    /// The keys, wrapped by this version of the root key.
    Active { root: u32, wrapped: String },
    /// The keys are gone, and with them everything that they sealed.
    Destroyed { at: Timestamp },
}

impl ProjectRecord {
    pub(super) fn active(generation: u64, root: u32, wrapped: &[u8]) -> Self {
        Self { v: 1, generation, state: ProjectState::Active { root, wrapped: BASE64.encode(wrapped) } }
    }

    pub(super) fn destroyed(at: Timestamp) -> Self {
        Self { v: 1, generation: 0, state: ProjectState::Destroyed { at } }
    }

    pub(super) fn parse(entry: &Entry) -> Result<Self> {
        parse_record::<Self>(entry, |record| record.v)
    }
}

/// Encodes a record for the store.
pub(super) fn encode_record<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(Error::internal)
}

pub(super) fn decode_wrapped(text: &str, key: &str) -> Result<Vec<u8>> {
    BASE64.decode(text.as_bytes()).map_err(|_| corrupt(key))
}

/// The error for a keyring that cannot be what was written.
pub(super) fn corrupt(key: &str) -> Error {
    Error::internal(format!("the keyring at `{key}` is damaged"))
}

/// The error for a project whose keys were destroyed.
pub(super) fn key_destroyed(project: &str) -> Error {
    Error::new(
        ErrorKind::Sealed,
        "key_destroyed",
        format!(
            "the data key of the project `{project}` is destroyed, and nothing that it sealed can be read"
        ),
    )
}

fn parse_record<T: for<'de> Deserialize<'de>>(entry: &Entry, version: fn(&T) -> u32) -> Result<T> {
    let record: T =
        serde_json::from_slice(&entry.value).map_err(|error| corrupt(&entry.key).with_source(error))?;
    match version(&record) {
        1 => Ok(record),
        other => Err(Error::internal(format!(
            "the keyring at `{}` has the format {other}, which a later version of cms wrote",
            entry.key
        ))),
    }
}
