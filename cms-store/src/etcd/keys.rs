// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the port's keys and revisions to etcd's, and back.
//!
//! All keys lie under a folder. The folder's own name is no key of the port, so the mark of what is still to
//! be erased lies there. An empty etcd is at revision 1, an empty store at 0.

use cms_core::store::{Entry, Revision, StoreErrorKind, StoreResult};
use etcd_client::proto::PbKeyValue;

use super::error::fail;

/// The folder that all keys lie in.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// With its last slash.
    folder: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { folder: format!("{prefix}/") }
    }

    /// etcd's key for a key or a prefix of the port.
    pub(super) fn key(&self, key: &str) -> Vec<u8> {
        [&self.folder, key].concat().into_bytes()
    }

    /// Where the mark lies.
    pub(super) fn mark(&self) -> Vec<u8> {
        self.key("")
    }

    /// The first key from `start` on.
    pub(super) fn start(&self, start: &str) -> Vec<u8> {
        self.key(if start.is_empty() { "\0" } else { start })
    }

    /// The end of a range, excluded; empty: the end of the folder.
    pub(super) fn end(&self, end: &str) -> Vec<u8> {
        if end.is_empty() { past(&self.folder) } else { self.key(end) }
    }

    /// The end of all keys under a prefix, which may be empty.
    pub(super) fn prefix_end(&self, prefix: &str) -> Vec<u8> {
        past(&format!("{}{prefix}", self.folder))
    }

    /// The port's key.
    pub(super) fn name(&self, key: &[u8]) -> StoreResult<String> {
        let name = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(&self.folder));
        name.map(str::to_owned).ok_or_else(|| {
            let text =
                "a key that CMS has not written: nobody else may write under its prefix; remove the key";
            fail(StoreErrorKind::Corrupt, text).with_key(String::from_utf8_lossy(key))
        })
    }

    pub(super) fn entry(&self, kv: PbKeyValue) -> StoreResult<Entry> {
        Ok(Entry {
            key: self.name(&kv.key)?,
            value: kv.value.into(),
            created: ours(kv.create_revision),
            modified: ours(kv.mod_revision),
            version: u64::try_from(kv.version).unwrap_or(0),
        })
    }
}

/// The port's count of a revision of etcd's.
pub(super) fn ours(revision: i64) -> Revision {
    u64::try_from(revision).unwrap_or(0).saturating_sub(1)
}

/// etcd's count of a revision of the port's.
pub(super) fn theirs(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX - 1).saturating_add(1)
}

/// The end of all keys that begin with a text: its last byte one higher. No byte of UTF-8 is the highest.
fn past(prefix: &str) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    bytes
}
