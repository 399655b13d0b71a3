// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The error of every service: what a client may read, apart from what only the log may hold.
//!
//! Each front end maps [`ErrorKind`] once, without a catch-all arm.

use std::fmt;
use std::time::Duration;

use crate::store::StoreError;

/// The result of every service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, as far as a caller's reaction depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be understood.
    Invalid,
    /// Nobody, or nobody known, asks.
    Unauthenticated,
    /// The caller may know that the thing exists, but not do this.
    Denied,
    /// It does not exist, or the caller may not know that it does.
    NotFound,
    /// It contradicts the present state.
    Conflict,
    /// The version that the caller expected is no longer the present one.
    Stale,
    /// It is larger than its limit.
    TooLarge,
    /// The content type is not one that is understood here.
    UnsupportedMedia,
    /// It is understood, but not valid: a policy that does not compile, data that is no JSON.
    Unprocessable,
    /// The installation is sealed, or the project's key is gone.
    Sealed,
    /// A rate or a quota is used up.
    TooMany,
    /// Something that is needed does not answer; a retry may help.
    Unavailable,
    /// It may have been done, or not: the answer of something that is needed was lost.
    Unknown,
    /// A defect or a damaged store.
    Internal,
}

/// A place in the caller's input, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The field (JSON Pointer) or the document that is meant.
    pub path: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// A stable word for it, where a compiler found it.
    pub code: Option<&'static str>,
}

/// An error of a service.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    hint: Option<String>,
    places: Vec<Place>,
    retry_after: Option<Duration>,
    source: Option<Source>,
}

impl Error {
    /// Builds an error from its kind, its stable code (a word that clients may compare) and a
    /// text that any client may read.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            code,
            message: message.into(),
            hint: None,
            places: Vec::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// Malformed input.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "invalid_request", message)
    }

    /// A name that breaks its rule. The text is quoted, escaped and cut at 80 characters.
    pub(crate) fn invalid_name(what: &str, text: &str, rule: &str) -> Self {
        let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
        Self::new(
            ErrorKind::Invalid,
            "invalid_name",
            format!("`{shown}` is not a valid {what}: it must be {rule}"),
        )
    }

    /// No valid credential. The text is the same whatever was wrong with it.
    pub fn unauthenticated() -> Self {
        Self::new(ErrorKind::Unauthenticated, "unauthenticated", "a valid access token or API key is needed")
    }

    /// Not allowed.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, "denied", message)
    }

    /// Not there, or not for the caller to know.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, "not_found", format!("{what} does not exist"))
    }

    /// Contradicts the present state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message)
    }

    /// The expected version is not the present one.
    pub fn stale(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stale, "stale_version", message)
    }

    /// Understood, but not valid.
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unprocessable, code, message)
    }

    /// Past a size limit.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, "too_large", message)
    }

    /// The installation is sealed.
    pub fn sealed() -> Self {
        Self::new(
            ErrorKind::Sealed,
            "sealed",
            "the installation is sealed: unseal it before using anything that needs a key",
        )
    }

    /// A dependency does not answer.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, code, message).with_retry_after(Duration::from_secs(1))
    }

    /// A defect. The detail goes to the log only.
    pub fn internal(detail: impl Into<Source>) -> Self {
        Self::new(
            ErrorKind::Internal,
            "internal",
            "something went wrong inside; the log has more under this request id",
        )
        .with_source(detail)
    }

    /// Adds advice on what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the places of the input that are wrong.
    #[must_use]
    pub fn with_places(mut self, places: Vec<Place>) -> Self {
        self.0.places = places;
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds the cause, which is logged and never shown to a client.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable word for this error.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The text for clients.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Advice on what to do next, if there is any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The places of the input that are wrong.
    pub fn places(&self) -> &[Place] {
        &self.0.places
    }

    /// When a retry makes sense, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Tells whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::TooMany)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("places", &self.0.places)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        use crate::store::StoreErrorKind as Kind;
        let text = match error.kind() {
            Kind::TooLarge => {
                return Self::too_large(format!("the store does not take this change: {}", error.message()))
                    .with_source(error);
            }
            Kind::Compacted => {
                return Self::new(
                    ErrorKind::Conflict,
                    "compacted",
                    "that revision is no longer kept; start again from the present state",
                )
                .with_source(error);
            }
            Kind::Corrupt | Kind::Unsupported => return Self::internal(error),
            Kind::Full => "the store has no room left",
            Kind::Unknown => {
                let text = "it is not known whether the change was made; read before trying again";
                return Self::new(ErrorKind::Unknown, "outcome_unknown", text).with_source(error);
            }
            Kind::Unavailable => "the store does not answer",
        };
        Self::unavailable("store_unavailable", text).with_source(error)
    }
}
