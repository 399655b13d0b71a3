// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The storage backends of CMS, and the registry that opens one by its URL.
//!
//! A new backend is one module with a `SCHEME` and an `open`, and one entry in
//! [`Registry::builtin`].

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "openbao")]
pub mod openbao;
#[cfg(feature = "redis")]
pub mod redis;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use cms_core::store::{MemoryStore, Store, StoreError, StoreErrorKind, StoreResult};
use futures_util::future::BoxFuture;

type Factory = Arc<dyn Fn(String) -> BoxFuture<'static, StoreResult<Arc<dyn Store>>> + Send + Sync>;

/// Opens the store that a URL names, with the backends that this build has: `embedded:DIRECTORY`
/// (or just a path), `etcd://HOST:PORT` and `memory:`.
///
/// # Errors
/// `Unsupported` for a scheme that is not known; otherwise what the backend answers.
pub async fn open(url: &str) -> StoreResult<Arc<dyn Store>> {
    Registry::builtin().open(url).await
}

/// Which backend opens which scheme.
#[derive(Clone, Default)]
pub struct Registry(Vec<(&'static str, Factory)>);

impl Registry {
    /// The backends of this build.
    pub fn builtin() -> Self {
        let registry = Self::default();
        #[cfg(feature = "embedded")]
        let registry =
            registry.add(embedded::SCHEME, |location| async move { embedded::open(&location).await });
        #[cfg(feature = "etcd")]
        let registry = registry
            .add(etcd::SCHEME, |location| async move { etcd::open(&location, false).await })
            .add(etcd::TLS_SCHEME, |location| async move { etcd::open(&location, true).await });
        registry.add("memory", |_| async { Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>) })
    }

    /// Adds a backend, in front of an earlier one with the same scheme. The factory gets the URL
    /// without the scheme and its colon.
    #[must_use]
    pub fn add<F, R>(mut self, scheme: &'static str, open: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = StoreResult<Arc<dyn Store>>> + Send + 'static,
    {
        self.0.retain(|(known, _)| *known != scheme);
        self.0.push((scheme, Arc::new(move |location| Box::pin(open(location)))));
        self
    }

    /// The schemes, in the order in which they were added.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(scheme, _)| *scheme)
    }

    /// Opens the store that a URL or a path names.
    ///
    /// # Errors
    /// `Unsupported` for a scheme that is not known; otherwise what the backend answers.
    pub async fn open(&self, url: &str) -> StoreResult<Arc<dyn Store>> {
        let (scheme, location) = split(url);
        let Some((_, factory)) = self.0.iter().find(|(known, _)| *known == scheme) else {
            let known: Vec<&str> = self.schemes().collect();
            let text = format!("no backend opens `{scheme}:`; this build knows `{}:`", known.join(":`, `"));
            return Err(StoreError::new("registry", StoreErrorKind::Unsupported, text));
        };
        factory(location.to_owned()).await
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.schemes()).finish()
    }
}

/// Takes a URL apart. What begins with no scheme is the path of an embedded store.
fn split(url: &str) -> (&str, &str) {
    let letters = |scheme: &str| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match url.split_once(':') {
        Some((scheme, location)) if letters(scheme) => (scheme, location),
        _ => ("embedded", url),
    }
}
