// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The set of documents that belong together: the current ones of a project, and those of a release.
//!
//! A set is a two-level tree of content-addressed buckets, so that a change costs one bucket and the
//! root, whatever the size of the project, and two sets are compared by comparing hashes.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::record::{BucketEntry, BucketRecord, SetRecord, decode, encode};
use crate::api::documents::Kind;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Cached, Scope, Transaction};

/// The relative key of the set of current documents.
pub(crate) const CURRENT_SET: &str = "set";
/// How many buckets the names of a kind are spread over.
const BUCKETS: u8 = 32;

/// SHA-256 in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// The relative key of a text or bucket by its hash.
pub(crate) fn blob_key(hash: &str) -> String {
    ["blob/", hash].concat()
}

/// One document of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) hash: String,
}

fn bucket_of(kind: Kind, name: &str) -> String {
    let digest = digest(&SHA256, name.as_bytes());
    let first = digest.as_ref().first().copied().unwrap_or(0);
    format!("{}-{:02x}", kind.as_str(), first % BUCKETS)
}

impl SetRecord {
    /// An empty set.
    pub(crate) fn empty() -> Self {
        Self { v: 1, ..Self::default() }
    }

    /// How many documents the set holds.
    pub(crate) fn len(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many documents of a kind the set holds.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.counts.get(kind.as_str()).copied().unwrap_or(0)
    }

    /// The hash that names everything in the set, as a release of the project.
    pub(crate) fn release_id(&self, project: &ProjectId) -> Result<String> {
        let mut text = format!("cms-release-v1\n{project}\n").into_bytes();
        text.extend(encode(&self.buckets)?);
        Ok(hash(&text))
    }

    /// The hash that names the documents of a kind.
    pub(crate) fn kind_hash(&self, kind: Kind) -> String {
        let mut text = String::new();
        for (bucket, hash) in self.buckets.iter().filter(|(bucket, _)| is_of(bucket, kind)) {
            text.push_str(bucket);
            text.push_str(hash);
        }
        hash(text.as_bytes())
    }

    /// The hashes of the buckets that hold the documents of a kind.
    pub(crate) fn hashes(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.buckets.iter().filter(move |(bucket, _)| is_of(bucket, kind)).map(|(_, hash)| hash.as_str())
    }

    /// One document of the set.
    pub(crate) async fn find(&self, scope: &Scope, kind: Kind, name: &str) -> Result<Option<BucketEntry>> {
        let Some(hash) = self.buckets.get(&bucket_of(kind, name)) else { return Ok(None) };
        Ok(read_bucket(scope, hash).await?.documents.get(name).cloned())
    }

    /// Every document of the set, or of one kind, by kind and name.
    pub(crate) async fn members(&self, scope: &Scope, kind: Option<Kind>) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for (bucket, hash) in &self.buckets {
            let Some(of) = Kind::ALL.iter().copied().find(|of| is_of(bucket, *of)) else { continue };
            if kind.is_some_and(|kind| kind != of) {
                continue;
            }
            let record = read_bucket(scope, hash).await?;
            members.extend(record.documents.iter().map(|(name, entry)| Member {
                kind: of,
                name: name.clone(),
                version: entry.version,
                hash: entry.hash.clone(),
            }));
        }
        members.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(members)
    }

    /// Applies changes (`None`: removed) and returns the new set and the buckets to be written.
    pub(crate) async fn with(
        &self,
        scope: &Scope,
        changes: &[(Kind, String, Option<BucketEntry>)],
    ) -> Result<(Self, Transaction)> {
        let mut next = self.clone();
        let mut touched: std::collections::BTreeMap<String, BucketRecord> = std::collections::BTreeMap::new();
        for (kind, name, entry) in changes {
            let bucket = bucket_of(*kind, name);
            if !touched.contains_key(&bucket) {
                let record = match self.buckets.get(&bucket) {
                    Some(hash) => (*read_bucket(scope, hash).await?).clone(),
                    None => BucketRecord { v: 1, ..BucketRecord::default() },
                };
                touched.insert(bucket.clone(), record);
            }
            let Some(record) = touched.get_mut(&bucket) else { continue };
            let before = record.documents.len();
            match entry {
                Some(entry) => record.documents.insert(name.clone(), entry.clone()),
                None => record.documents.remove(name),
            };
            let count = next.counts.entry(kind.as_str().to_owned()).or_default();
            *count = count.saturating_add(record.documents.len() as u64).saturating_sub(before as u64);
        }
        let mut writes = Transaction::new();
        for (bucket, record) in touched {
            if record.documents.is_empty() {
                next.buckets.remove(&bucket);
                continue;
            }
            let bytes = encode(&record)?;
            let hash = hash(&bytes);
            writes = writes.put(scope.key(&blob_key(&hash)), bytes);
            next.buckets.insert(bucket, hash);
        }
        Ok((next, writes))
    }
}

fn is_of(bucket: &str, kind: Kind) -> bool {
    bucket.strip_prefix(kind.as_str()).is_some_and(|rest| rest.starts_with('-'))
}

/// Reads a bucket by its hash.
pub(crate) async fn read_bucket(scope: &Scope, hash: &str) -> Result<Arc<BucketRecord>> {
    let key = blob_key(hash);
    let cached = scope.cached(&key).await?;
    cached.parsed(|entry| decode::<BucketRecord>(&entry.key, &entry.value))?.ok_or_else(|| {
        Error::internal(format!("the bucket `{key}` of project `{}` is missing", scope.project()))
    })
}

/// Finds a text by its hash; it exists.
pub(super) async fn cached_text(scope: &Scope, hash: &str) -> Result<Arc<Cached>> {
    let key = blob_key(hash);
    let cached = scope.cached(&key).await?;
    if cached.entry().is_none() {
        return Err(Error::internal(format!("the text `{key}` of project `{}` is missing", scope.project())));
    }
    Ok(cached)
}

/// Reads a text by its hash.
pub(crate) async fn read_text(scope: &Scope, hash: &str) -> Result<Bytes> {
    let cached = cached_text(scope, hash).await?;
    Ok(cached.entry().map(|entry| entry.value.clone()).unwrap_or_default())
}

/// Reads a text by its hash as UTF-8, which it was when it was written.
pub(crate) async fn read_string(scope: &Scope, hash: &str) -> Result<String> {
    String::from_utf8(read_text(scope, hash).await?.to_vec()).map_err(Error::internal)
}
