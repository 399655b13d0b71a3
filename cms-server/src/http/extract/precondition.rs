// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `If-Match`, `If-None-Match` and the `ETag` that they speak of: `"<version>"` for documents and
//! secrets, `"<hash>"` for releases and bundles.

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, IntoResponseParts, ResponseParts};
use cms_core::documents::Expected;
use cms_core::{Error, ErrorKind};

use super::super::problem::Problem;

/// What the caller expects of the present version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    /// The opaque parts of the tags, without quotes; weak ones are compared like strong ones.
    Listed(Vec<String>),
}

impl Preconditions {
    /// The version that a write expects: `Some(0)` for "does not exist yet", `None` for no wish.
    ///
    /// # Errors
    /// `Invalid` for several tags or a mixture; `Stale` for a tag that no version can have.
    pub(crate) fn expected_version(&self) -> Result<Option<u64>, Error> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Ok(None),
            (None, Some(Tags::Any)) => Ok(Some(0)),
            (Some(Tags::Listed(tags)), None) => one_version(tags).map(Some),
            (Some(Tags::Any), None) => {
                Err(unsupported("`If-Match: *` is not understood here; name the version"))
            }
            _ => Err(unsupported("a write takes either `If-Match: \"<version>\"` or `If-None-Match: *`")),
        }
    }

    /// The same, as documents and projects expect it.
    ///
    /// # Errors
    /// As [`Preconditions::expected_version`].
    pub(crate) fn expected(&self) -> Result<Expected, Error> {
        Ok(match self.expected_version()? {
            None => Expected::Any,
            Some(0) => Expected::Absent,
            Some(version) => Expected::Version(version),
        })
    }

    /// The one tag of `If-None-Match`, for those who wait until it changes.
    pub(crate) fn one_tag(&self) -> Option<&str> {
        match &self.if_none_match {
            Some(Tags::Listed(tags)) => tags.first().map(String::as_str),
            Some(Tags::Any) | None => None,
        }
    }

    /// Whether the caller already holds this version.
    pub(crate) fn is_known_version(&self, version: u64) -> bool {
        self.if_none_match.is_some() && self.is_known(&version.to_string())
    }

    /// Whether the caller already holds the representation with this tag.
    pub(crate) fn is_known(&self, tag: &str) -> bool {
        match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Listed(tags)) => tags.iter().any(|known| known == tag),
        }
    }
}

fn one_version(tags: &[String]) -> Result<u64, Error> {
    let [tag] = tags else {
        return Err(unsupported("`If-Match` takes one version here"));
    };
    match tag.parse::<u64>() {
        Ok(version) if version > 0 && !tag.starts_with('+') => Ok(version),
        _ => Err(Error::stale("`If-Match` names no version that exists; read the document for its `ETag`")),
    }
}

fn unsupported(detail: &str) -> Error {
    Error::new(ErrorKind::Invalid, "invalid_precondition", detail)
}

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let if_match = tags(&parts.headers, &IF_MATCH)?;
        let if_none_match = tags(&parts.headers, &IF_NONE_MATCH)?;
        Ok(Self { if_match, if_none_match })
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Error> {
    let mut listed = Vec::new();
    let mut given = false;
    for value in headers.get_all(name) {
        given = true;
        let text = value.to_str().map_err(|_| broken(name))?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        for part in text.split(',') {
            listed.push(tag(part.trim()).ok_or_else(|| broken(name))?.to_owned());
        }
    }
    Ok(given.then_some(Tags::Listed(listed)))
}

/// The inner text of `"…"` or `W/"…"`; a bare word is taken as well, as many clients forget the quotes.
fn tag(text: &str) -> Option<&str> {
    let text = text.strip_prefix("W/").unwrap_or(text);
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    (!inner.is_empty() && !inner.contains('"')).then_some(inner)
}

fn broken(name: &HeaderName) -> Error {
    unsupported(&format!("the header `{name}` is not a list of entity tags such as `\"3\"`"))
}

/// The `ETag` of an answer.
#[derive(Debug)]
pub(crate) struct ETag(HeaderValue);

impl ETag {
    /// The tag of a version.
    pub(crate) fn version(version: u64) -> Self {
        Self::text(&version.to_string())
    }

    /// The tag of a hash or another word without quotes.
    pub(crate) fn text(text: &str) -> Self {
        Self(
            HeaderValue::try_from(format!("\"{text}\""))
                .unwrap_or_else(|_| HeaderValue::from_static("\"0\"")),
        )
    }
}

impl IntoResponseParts for ETag {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        parts.headers_mut().insert(ETAG, self.0);
        Ok(parts)
    }
}

impl IntoResponse for ETag {
    fn into_response(self) -> axum::response::Response {
        (self, ()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn with(headers: &[(&str, &str)]) -> Result<Preconditions, Problem> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Preconditions::from_request_parts(&mut parts, &()).await
    }

    async fn expected(name: &str, value: &str) -> Result<Option<u64>, ErrorKind> {
        with(&[(name, value)]).await.unwrap().expected_version().map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn writes_expect_a_version_or_none() {
        assert_eq!(expected("if-match", "\"3\"").await, Ok(Some(3)));
        assert_eq!(expected("if-match", "W/\"3\"").await, Ok(Some(3)));
        assert_eq!(expected("if-match", "3").await, Ok(Some(3)));
        assert_eq!(expected("if-none-match", "*").await, Ok(Some(0)));
        assert_eq!(expected("if-match", "\"abc\"").await, Err(ErrorKind::Stale));
        assert_eq!(expected("if-match", "\"0\"").await, Err(ErrorKind::Stale));
        assert_eq!(expected("if-match", "\"1\", \"2\"").await, Err(ErrorKind::Invalid));
        assert_eq!(expected("if-none-match", "\"1\"").await, Err(ErrorKind::Invalid));
        assert!(with(&[("if-match", "\"")]).await.is_err());
    }

    #[tokio::test]
    async fn reads_know_their_tag() {
        let known = with(&[("if-none-match", "\"1\", W/\"2\"")]).await.unwrap();
        assert!(known.is_known("1") && known.is_known("2") && !known.is_known("3"));
        assert!(with(&[("if-none-match", "*")]).await.unwrap().is_known("9"));
        assert!(!Preconditions::default().is_known("1"));
    }
}
