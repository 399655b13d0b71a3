// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a backend may answer when it does not answer.

use std::fmt;
use std::sync::Arc;

/// What kind of failure a backend met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The backend does not answer; nothing was changed.
    Unavailable,
    /// It is not known whether the transaction was applied.
    Unknown,
    /// The revision asked for is older than what the backend keeps.
    Compacted,
    /// A key, value or transaction is larger than the backend takes.
    TooLarge,
    /// The medium has no room; reads go on.
    Full,
    /// The backend holds bytes that it cannot have written.
    Corrupt,
    /// The backend does not offer this, or its format is not one that this version understands.
    Unsupported,
}

/// A backend's failure: which backend, of what kind, at which key, and why.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    backend: &'static str,
    message: String,
    key: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// Builds an error of the named backend.
    pub fn new(backend: &'static str, kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, backend, message: message.into(), key: None, source: None }
    }

    /// Adds the key at which it happened.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What happened, and what to do next.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The backend that failed.
    pub fn backend(&self) -> &'static str {
        self.backend
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} store: {}", self.backend, self.message)?;
        match &self.key {
            Some(key) => write!(f, " (at `{key}`)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}
