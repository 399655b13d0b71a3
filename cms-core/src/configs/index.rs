// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of every config document without reading it again: what it is a layer of, which configs it
//! refers to, whether it keeps to a schema. Kept by bucket, of which a change touches one.

use std::collections::BTreeSet;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::names::{Layer, split};
use super::shelf::{Shelf, Written, invalid};
use crate::api::documents::Kind;
use crate::documents::set::read_bucket;
use crate::error::Result;
use crate::ids::Name;

/// How much is kept, in bytes.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// What is known of a config document.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) document: Name,
    pub(crate) layer: Layer,
    /// The config that it is a layer of.
    pub(crate) config: Name,
    /// The configs that it refers to.
    pub(crate) refers: BTreeSet<Name>,
    pub(crate) has_schema: bool,
}

/// What is known, by project and bucket: versions, and with them their schemas, are a project's own. Cloning
/// shares it.
#[derive(Debug, Clone)]
pub(crate) struct Index(Arc<Cache<(String, String), Bucket, BySize>>);

type Bucket = Arc<Vec<Arc<Known>>>;

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<(String, String), Bucket> for BySize {
    fn weight(&self, _: &(String, String), bucket: &Bucket) -> u64 {
        let of = |known: &Arc<Known>| 256 + 128 * known.refers.len() as u64;
        256 + bucket.iter().map(of).sum::<u64>()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(1_024, KEPT_BYTES, BySize)))
    }
}

impl Known {
    fn new(document: Name, written: &Written, has_schema: bool) -> Result<Arc<Self>> {
        let (layer, config) = split(&document)?;
        let refers = written.refers.clone();
        Ok(Arc::new(Self { document, layer, config, refers, has_schema }))
    }
}

impl Index {
    /// Every config document as it will be.
    pub(crate) async fn of(&self, shelf: &Shelf<'_>) -> Result<Vec<Arc<Known>>> {
        let changes = || shelf.changes.iter().filter(|change| change.kind == Kind::Config);
        let changed: BTreeSet<&Name> = changes().map(|change| &change.name).collect();
        let mut found = Vec::new();
        for hash in shelf.set.hashes(Kind::Config) {
            let bucket = self.bucket(shelf, hash).await?;
            found.extend(bucket.iter().filter(|known| !changed.contains(&known.document)).cloned());
        }
        for change in changes() {
            let Some(text) = &change.content else { continue };
            let refuse = |place| invalid("config", change.name.as_str(), place);
            let written = Written::read(text).map_err(refuse)?;
            found.push(Known::new(change.name.clone(), &written, change.schema.is_some())?);
        }
        Ok(found)
    }

    async fn bucket(&self, shelf: &Shelf<'_>, hash: &str) -> Result<Bucket> {
        let key = (shelf.scope.project().to_string(), hash.to_owned());
        if let Some(kept) = self.0.get(&key) {
            return Ok(kept);
        }
        // As they stand, whatever is about to change.
        let present = Shelf { changes: &[], ..*shelf };
        let mut bucket = Vec::new();
        for name in read_bucket(shelf.scope, hash).await?.documents.keys() {
            let Some((text, written)) = present.config(name).await? else { continue };
            bucket.push(Known::new(Name::parse(name)?, &written, text.schema.is_some())?);
        }
        let bucket = Arc::new(bucket);
        self.0.insert(key, bucket.clone());
        Ok(bucket)
    }
}
