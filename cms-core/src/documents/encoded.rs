// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A version of a document as it is read: its record, its text, and the JSON of both, which is kept with
//! the text in the cache.

use std::sync::Arc;

use bytes::Bytes;

use super::record::{VersionRecord, decode, encode};
use super::{head_key, not_found, set, version_key};
use crate::api::documents::{DocumentContent, Kind};
use crate::error::{Error, Result};
use crate::ids::Name;
use crate::store::{Cached, Scope};

/// How much longer than its text a kept JSON may be, beyond twice its length: the room that the cache
/// gives is measured by the text.
const MAX_OVERHEAD_BYTES: usize = 1024;

/// A version of a document, ready to be sent.
#[derive(Debug, Clone)]
pub struct EncodedDocument {
    /// The version.
    pub version: u64,
    /// A [`DocumentContent`] as JSON.
    pub json: Bytes,
    /// The text alone, in UTF-8.
    pub text: Bytes,
}

/// What lies in the store of one version.
pub(super) struct Stored {
    record: Arc<VersionRecord>,
    text: Arc<Cached>,
}

/// The JSON of one version.
#[derive(Debug)]
struct Kept {
    /// Whose it is. Other documents may have the same text, but not the same record.
    record: Arc<VersionRecord>,
    json: Bytes,
}

impl Stored {
    /// Reads a version; the newest, unless one is named.
    pub(super) async fn read(scope: &Scope, kind: Kind, name: &Name, version: Option<u64>) -> Result<Self> {
        let key = match version {
            Some(version) => version_key(kind, name, version),
            None => head_key(kind, name),
        };
        let record = scope
            .cached(&key)
            .await?
            .parsed(|entry| decode::<VersionRecord>(&entry.key, &entry.value))?
            .filter(|record| !record.is_tombstone())
            .ok_or_else(|| not_found(kind, name, version))?;
        let text = set::cached_text(scope, &record.hash).await?;
        Ok(Self { record, text })
    }

    pub(super) fn content(&self, kind: Kind, name: &Name) -> Result<DocumentContent> {
        let content = String::from_utf8(self.text().to_vec()).map_err(Error::internal)?;
        Ok(DocumentContent { document: self.record.document(kind, name.as_str()), content })
    }

    pub(super) fn encoded(&self, kind: Kind, name: &Name) -> Result<EncodedDocument> {
        let kept = self.text.kept::<Kept>().filter(|kept| Arc::ptr_eq(&kept.record, &self.record));
        let json = match kept {
            Some(kept) => kept.json.clone(),
            None => self.encode(kind, name)?,
        };
        Ok(EncodedDocument { version: self.record.version, json, text: self.text() })
    }

    fn encode(&self, kind: Kind, name: &Name) -> Result<Bytes> {
        let json = Bytes::from(encode(&self.content(kind, name)?)?);
        if json.len() <= 2 * self.text().len() + MAX_OVERHEAD_BYTES {
            self.text.keep(Arc::new(Kept { record: self.record.clone(), json: json.clone() }));
        }
        Ok(json)
    }

    fn text(&self) -> Bytes {
        self.text.entry().map(|entry| entry.value.clone()).unwrap_or_default()
    }
}
