// SPDX-License-Identifier: Apache-2.0 OR MIT
#![doc = include_str!("docs.md")]

mod calls;
mod check;
mod client;
mod config;
mod error;
mod keys;
mod lease;
mod range;
mod store;
mod txn;
mod watch;

use std::sync::Arc;

use cms_core::store::{Store, StoreResult};

pub use config::EtcdConfig;
pub use store::EtcdStore;

/// The scheme of this backend: `etcd://HOST:PORT[,HOST:PORT…][/PREFIX]`.
pub const SCHEME: &str = "etcd";
/// The same by TLS.
pub const TLS_SCHEME: &str = "etcds";

/// Opens the store that the URL names behind its scheme, as nobody in particular.
///
/// # Errors
/// See [`EtcdStore::connect`].
pub async fn open(location: &str, tls: bool) -> StoreResult<Arc<dyn Store>> {
    Ok(Arc::new(EtcdStore::connect(EtcdConfig::parse(location, tls)?).await?))
}
