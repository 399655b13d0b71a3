// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets as they lie in the store. `sec/{path}` holds the head: the versions and what describes the
//! secret, sealed as record version 0. `secv/{path}@{version}` holds the fields of one version as the
//! JSON that was put, sealed as that version; it goes when the version is destroyed. Where a material keeps the
//! values (`material`), the head says under which id; such a head has the version 2, since an earlier cms would
//! lose the id.
//!
//! The shape of the head carries its version `v`; a golden file under `testdata/` keeps it readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::MAX_KEPT_VERSIONS;
use crate::api::secrets::{Secret, SecretState, SecretVersion};
use crate::clock::Timestamp;
use crate::crypto::Opener;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Name;
use crate::secrets::material::Laid;
use crate::store::Entry;

/// Where the heads of a project's secrets lie.
pub(super) const HEADS: &str = "sec/";
/// Where the values lie.
pub(super) const VALUES: &str = "secv/";
/// The record version that heads are sealed as.
pub(super) const HEAD_VERSION: u64 = 0;

/// The relative key of a secret's head.
pub(super) fn head_key(path: &str) -> String {
    format!("{HEADS}{path}")
}

/// The relative key of the value of one version.
pub(super) fn value_key(path: &str, version: u64) -> String {
    format!("{VALUES}{path}@{version:08}")
}

/// The path and version that the relative key of a value names.
pub(super) fn split_value_key(relative: &str) -> Option<(&str, u64)> {
    let (path, version) = relative.strip_prefix(VALUES)?.rsplit_once('@')?;
    Some((path, version.parse().ok()?))
}

/// A secret without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    v: u32,
    pub(super) engine: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// The versions that are kept, ascending; the last one is the present one.
    pub(super) versions: Vec<VersionRecord>,
}

/// One version without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VersionRecord {
    pub(super) version: u64,
    pub(super) author: String,
    pub(super) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) destroyed: Option<Timestamp>,
    /// Where its value lies, if not in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) laid: Option<Laid>,
}

impl VersionRecord {
    pub(super) fn state(&self) -> SecretState {
        match (self.destroyed, self.deleted) {
            (Some(_), _) => SecretState::Destroyed,
            (None, Some(_)) => SecretState::Deleted,
            (None, None) => SecretState::Live,
        }
    }

    pub(super) fn to_wire(&self) -> SecretVersion {
        SecretVersion {
            version: self.version,
            state: self.state(),
            author: self.author.clone(),
            created_at: self.time,
            message: self.message.clone(),
            removed_at: self.destroyed.or(self.deleted),
        }
    }
}

impl Head {
    pub(super) fn new(engine: &str) -> Self {
        Self { v: 1, engine: engine.to_owned(), metadata: BTreeMap::new(), versions: Vec::new() }
    }

    /// Reads a head out of what the store holds.
    pub(super) fn open(opener: &Opener, entry: &Entry) -> Result<Self> {
        let bytes = opener.open(&entry.key, HEAD_VERSION, &entry.value)?;
        let damaged = |what: String| Error::internal(format!("the head at `{}` {what}", entry.key));
        let head: Self =
            serde_json::from_slice(bytes.expose()).map_err(|error| damaged(error.to_string()))?;
        match head.v {
            1 | 2 if !head.versions.is_empty() => Ok(head),
            1 | 2 => Err(damaged("has no version".to_owned())),
            other => Err(damaged(format!("has the format {other}, which a later version of cms wrote"))),
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let v = if self.versions.iter().any(|version| version.laid.is_some()) { 2 } else { 1 };
        serde_json::to_vec(&Self { v, ..self.clone() }).map_err(Error::internal)
    }

    /// The number of the present version; 0 before the first.
    pub(super) fn current(&self) -> u64 {
        self.versions.last().map_or(0, |last| last.version)
    }

    /// A version that is kept; the present one if none is named.
    pub(super) fn version(&self, path: &Name, version: Option<u64>) -> Result<&VersionRecord> {
        let number = version.unwrap_or_else(|| self.current());
        match self.versions.binary_search_by_key(&number, |kept| kept.version) {
            Ok(at) => self.versions.get(at).ok_or_else(|| Error::internal("a position has no version")),
            Err(_) if number > 0 && number < self.current() => Err(Error::new(
                ErrorKind::NotFound,
                "version_not_kept",
                format!("version {number} of the secret `{path}` is no longer kept; {MAX_KEPT_VERSIONS} are"),
            )),
            Err(_) => Err(Error::new(
                ErrorKind::NotFound,
                "version_not_found",
                format!("version {number} of the secret `{path}` does not exist"),
            )),
        }
    }

    /// A version whose value can be read.
    pub(super) fn live(&self, path: &Name, version: Option<u64>) -> Result<&VersionRecord> {
        let found = self.version(path, version)?;
        let (code, what, hint) = match found.state() {
            SecretState::Live => return Ok(found),
            SecretState::Deleted => ("version_deleted", "deleted", "undelete it to read it again"),
            SecretState::Destroyed => ("version_destroyed", "destroyed", "its value is gone for good"),
        };
        let message = format!("version {} of the secret `{path}` is {what}", found.version);
        Err(Error::new(ErrorKind::NotFound, code, message).with_hint(hint))
    }

    /// Adds a version; answers those that are no longer kept.
    pub(super) fn push(&mut self, version: VersionRecord) -> Vec<VersionRecord> {
        self.versions.push(version);
        let surplus = self.versions.len().saturating_sub(MAX_KEPT_VERSIONS);
        self.versions.drain(..surplus).collect()
    }

    /// The secret as of one of its versions.
    pub(super) fn to_wire(&self, path: &str, version: &VersionRecord) -> Secret {
        Secret {
            path: path.to_owned(),
            version: version.version,
            state: version.state(),
            author: version.author.clone(),
            created_at: version.time,
            message: version.message.clone(),
            metadata: self.metadata.clone(),
            engine: self.engine.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../testdata/secret_head.v1.json");
    const GOLDEN_LAID: &str = include_str!("../../testdata/secret_head.v2.json");

    #[test]
    fn the_golden_head_is_still_read_and_written() {
        let head: Head = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!((head.current(), head.versions.len()), (4, 3));
        let states: Vec<_> = head.versions.iter().map(VersionRecord::state).collect();
        assert_eq!(states, [SecretState::Destroyed, SecretState::Deleted, SecretState::Live]);
        let written: serde_json::Value = serde_json::from_slice(&head.encode().unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(GOLDEN).unwrap());
    }

    #[test]
    fn a_head_that_points_outside_is_one_that_an_earlier_cms_refuses() {
        let head: Head = serde_json::from_str(GOLDEN_LAID).unwrap();
        let laid: Vec<_> = head.versions.iter().map(|version| version.laid.as_ref()).collect();
        assert_eq!(
            laid[1].map(|laid| (laid.id.as_str(), laid.key)),
            Some(("0f1e2d3c4b5a69788796a5b4c3d2e1f0", 2))
        );
        assert!(laid[0].is_none());
        let written: serde_json::Value = serde_json::from_slice(&head.encode().unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(GOLDEN_LAID).unwrap());
    }

    #[test]
    fn missing_versions_say_why_they_are_missing() {
        let head: Head = serde_json::from_str(GOLDEN).unwrap();
        let path = Name::parse("db/main").unwrap();
        let code =
            |version| head.live(&path, version).map(|found| found.version).map_err(|error| error.code());
        assert_eq!(code(None), Ok(4));
        assert_eq!(code(Some(4)), Ok(4));
        assert_eq!(code(Some(3)), Err("version_deleted"));
        assert_eq!(code(Some(2)), Err("version_destroyed"));
        assert_eq!(code(Some(1)), Err("version_not_kept"));
        assert_eq!(code(Some(0)), Err("version_not_found"));
        assert_eq!(code(Some(5)), Err("version_not_found"));
    }

    #[test]
    fn keys_of_values_name_path_and_version() {
        let key = value_key("a/b.c", 12);
        assert_eq!(key, "secv/a/b.c@00000012");
        assert_eq!(split_value_key(&key), Some(("a/b.c", 12)));
        assert_eq!(split_value_key("sec/a"), None);
    }
}
