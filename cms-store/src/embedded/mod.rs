// SPDX-License-Identifier: Apache-2.0 OR MIT
#![doc = include_str!("docs.md")]

mod apply;
mod check;
mod checkpoint;
mod config;
mod erase;
mod error;
mod leases;
mod readers;
mod reserve;
mod row;
mod schema;
mod store;
mod sweep;
mod watch;
mod writer;

use std::sync::Arc;

use cms_core::store::{Store, StoreErrorKind, StoreResult};

pub use config::EmbeddedConfig;
pub use store::EmbeddedStore;

/// The scheme of this backend: `embedded:DIRECTORY`.
pub const SCHEME: &str = "embedded";

/// Opens the store in the directory that the URL names behind its scheme.
///
/// # Errors
/// See [`EmbeddedStore::open`].
pub async fn open(location: &str) -> StoreResult<Arc<dyn Store>> {
    let directory = location.strip_prefix("//").unwrap_or(location);
    if directory.is_empty() {
        let text = "the URL names no directory: write `embedded:DIRECTORY`";
        return Err(error::fail(StoreErrorKind::Unsupported, text));
    }
    let config = EmbeddedConfig::new(directory);
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(config)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(_) => Err(error::fail(StoreErrorKind::Unavailable, "the process is shutting down")),
    }
}
