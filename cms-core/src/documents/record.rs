// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents as they lie in the store. Every shape carries its version `v`; golden files under
//! `testdata/` keep them readable for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::documents::{Document, Kind};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// One version of a document; the head of a document is a copy of its newest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    pub(crate) v: u8,
    pub(crate) version: u64,
    /// SHA-256 of the text; empty: a tombstone.
    pub(crate) hash: String,
    pub(crate) size: u64,
    pub(crate) author: String,
    pub(crate) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<u64>,
    /// The schema that a config keeps to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
}

impl VersionRecord {
    /// Whether this version removes the document.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.hash.is_empty()
    }

    /// The version as it goes on the wire.
    pub(crate) fn document(&self, kind: Kind, name: &str) -> Document {
        Document {
            name: name.to_owned(),
            kind,
            version: self.version,
            hash: self.hash.clone(),
            author: self.author.clone(),
            created_at: self.time,
            message: self.message.clone(),
            parent: self.parent,
            deleted: self.is_tombstone(),
            schema: self.schema.clone(),
            size: self.size,
            release: None,
        }
    }
}

/// The root of the current documents of a project, and of every release: bucket to the hash of its
/// entries. Releases share the buckets that did not change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetRecord {
    pub(crate) v: u8,
    /// How many documents there are, by the kind's word.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Bucket (`policy-1f`) to the SHA-256 of its entries.
    pub(crate) buckets: BTreeMap<String, String>,
}

/// The documents of one bucket, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    pub(crate) v: u8,
    pub(crate) documents: BTreeMap<String, BucketEntry>,
}

/// Which version of a document is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketEntry {
    pub(crate) version: u64,
    pub(crate) hash: String,
}

/// Writes a record of this crate's own types, which cannot fail.
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(Error::internal)
}

/// Reads a record; damage is a defect of the store and names the key.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::internal(format!("the record at `{key}` cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_version_1_stay_readable() {
        let policy = VersionRecord {
            v: 1,
            version: 1,
            hash: "00ff".into(),
            size: 2,
            author: "user:ann".into(),
            time: Timestamp::from_millis(0),
            message: None,
            parent: None,
            schema: None,
        };
        let config = VersionRecord {
            version: 2,
            message: Some("why".into()),
            parent: Some(1),
            schema: Some("rag/retriever".into()),
            ..policy.clone()
        };
        let golden = include_str!("../../testdata/version_v1.jsonl");
        let records = [policy, config];
        let written = records.each_ref().map(|record| serde_json::to_string(record).unwrap());
        assert_eq!(written.join("\n"), golden.trim_end());
        for (line, record) in golden.lines().zip(records) {
            assert_eq!(serde_json::from_str::<VersionRecord>(line).unwrap(), record);
        }
    }
}
