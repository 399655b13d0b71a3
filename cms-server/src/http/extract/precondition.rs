// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `If-Match`, `If-None-Match` and the `ETag` that they speak of: `"<version>"` for documents and
//! secrets, `"<hash>"` for releases and bundles.

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, IntoResponseParts, ResponseParts};
use cms_core::{Error, ErrorKind, Expected};

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
    Listed(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// The opaque part, without quotes.
    text: String,
}

impl Preconditions {
    /// What a write expects to be there (RFC 9110, 13.1.1 and 13.1.2).
    ///
    /// # Errors
    /// `Invalid` for a mixture, or a list of versions that must not be there.
    pub(crate) fn expected(&self) -> Result<Expected, Error> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Ok(Expected::Any),
            (None, Some(Tags::Any)) => Ok(Expected::Absent),
            (Some(Tags::Any), None) => Ok(Expected::Present),
            (Some(Tags::Listed(tags)), None) => {
                Ok(Expected::OneOf(tags.iter().filter_map(version).collect()))
            }
            _ => Err(unsupported("a write takes either `If-Match` or `If-None-Match: *`")),
        }
    }

    /// The one tag of `If-None-Match`, for those who wait until it changes.
    pub(crate) fn one_tag(&self) -> Option<&str> {
        match &self.if_none_match {
            Some(Tags::Listed(tags)) => tags.first().map(|tag| tag.text.as_str()),
            Some(Tags::Any) | None => None,
        }
    }

    /// What a reader says that it has; nothing if that is not readable, as the worst is that it gets it
    /// once more.
    pub(crate) fn of_reader(headers: &HeaderMap) -> Self {
        let if_none_match = tags(headers, &IF_NONE_MATCH).unwrap_or_default();
        Self { if_match: None, if_none_match }
    }

    /// Whether the caller already holds what is answered with these headers.
    pub(crate) fn are_known(&self, headers: &HeaderMap) -> bool {
        let tag = headers.get(ETAG).and_then(|value| value.to_str().ok());
        let inner = tag.and_then(|tag| tag.trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"'));
        inner.is_some_and(|tag| self.is_known(tag))
    }

    /// Whether the caller already holds the representation with this tag.
    pub(crate) fn is_known(&self, tag: &str) -> bool {
        match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Listed(tags)) => tags.iter().any(|known| known.text == tag),
        }
    }
}

/// The version that a tag names; none for tags that no version can have, and for weak ones, which never
/// match where something is about to change.
fn version(tag: &Tag) -> Option<u64> {
    let digits = !tag.weak && tag.text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| tag.text.parse().ok()).flatten()
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
        listed.extend(list(text).ok_or_else(|| broken(name))?);
    }
    if given && listed.is_empty() {
        return Err(broken(name));
    }
    Ok(given.then_some(Tags::Listed(listed)))
}

/// The tags of a list such as `"1", W/"2"`. What is quoted may hold commas; a bare word is taken as well,
/// as many clients forget the quotes.
fn list(text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let (weak, tagged) = rest.strip_prefix("W/").map_or((false, rest), |tagged| (true, tagged));
        let (inner, behind) = match tagged.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => tagged.split_at(tagged.find(',').unwrap_or(tagged.len())),
        };
        let (inner, behind) = (inner.trim_end(), behind.trim_start());
        if inner.contains(['"', ' ', '\t']) || !(behind.is_empty() || behind.starts_with(',')) {
            return None;
        }
        tags.push(Tag { weak, text: inner.to_owned() });
        rest = behind;
    }
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

    async fn expected(name: &str, value: &str) -> Result<Expected, ErrorKind> {
        with(&[(name, value)]).await.unwrap().expected().map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn writes_expect_versions_something_or_nothing() {
        let one_of = |versions: &[u64]| Ok(Expected::OneOf(versions.to_vec()));
        assert_eq!(expected("if-match", "\"3\"").await, one_of(&[3]));
        assert_eq!(expected("if-match", "3").await, one_of(&[3]));
        assert_eq!(expected("if-match", "\"1\", \"2\",,4").await, one_of(&[1, 2, 4]));
        assert_eq!(expected("if-match", "W/\"3\"").await, one_of(&[]), "weak tags never match");
        assert_eq!(expected("if-match", "\"abc\", \"+1\", W/\"2\", \"a,b\", \"7\"").await, one_of(&[7]));
        assert_eq!(expected("if-match", "*").await, Ok(Expected::Present));
        assert_eq!(expected("if-none-match", "*").await, Ok(Expected::Absent));
        assert_eq!(expected("if-none-match", "\"1\"").await, Err(ErrorKind::Invalid));
        for broken in ["\"", "\"1", "\"1\" \"2\"", "1 2", "", ",", "1\""] {
            assert!(with(&[("if-match", broken)]).await.is_err(), "{broken:?}");
        }
        assert_eq!(Preconditions::default().expected().unwrap(), Expected::Any);
    }

    #[tokio::test]
    async fn reads_know_their_tag() {
        let known = with(&[("if-none-match", "\"1\", W/\"2\"")]).await.unwrap();
        assert!(known.is_known("1") && known.is_known("2") && !known.is_known("3"));
        assert!(with(&[("if-none-match", "*")]).await.unwrap().is_known("9"));
        assert!(!Preconditions::default().is_known("1"));
        let hashes = with(&[("if-none-match", "\"a,b\""), ("if-none-match", "c")]).await.unwrap();
        assert!(hashes.is_known("a,b") && hashes.is_known("c"));
    }
}
