// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a user may choose about the embedded store; every default fits a single machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the embedded store is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmbeddedConfig {
    /// The directory of the store's files. It is made, for its owner only, if it does not exist.
    pub directory: PathBuf,
    /// How many revisions a watch can go back, as long as `keep_bytes` allows.
    pub keep_revisions: u64,
    /// How many bytes of replaced values are kept for watches; the last 1,000 revisions always are.
    pub keep_bytes: u64,
    /// How long a commit waits for another process before it answers `Unavailable`.
    pub patience: Duration,
    /// Up to this size, opening the store checks every entry, not only those that are read.
    pub check_bytes: u64,
}

impl EmbeddedConfig {
    /// The defaults, for the files in a directory.
    pub fn new(directory: impl AsRef<Path>) -> Self {
        Self {
            directory: directory.as_ref().to_owned(),
            keep_revisions: 100_000,
            keep_bytes: 256 * 1024 * 1024,
            patience: Duration::from_secs(5),
            check_bytes: 16 * 1024 * 1024,
        }
    }

    /// The one file that holds the state; SQLite puts `-wal` and `-shm` beside it.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("cms.db")
    }
}
