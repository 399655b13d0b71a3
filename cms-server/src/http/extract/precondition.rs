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

    /// Whether the caller already holds the representation with this tag.
    pub(crate) fn is_known(&self, tag: &str) -> bool {
        match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Listed(tags)) => tags.iter().any(|known| known.text == tag),
        }
    }
}

/// What a reader says that it has: its `If-None-Match`, as it came.
#[derive(Debug)]
pub(crate) struct Known(Vec<HeaderValue>);

impl Known {
    /// Takes it from a request, if it says anything.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values: Vec<_> = headers.get_all(IF_NONE_MATCH).iter().cloned().collect();
        (!values.is_empty()).then_some(Self(values))
    }

    /// Whether it has what is answered with these headers. What is not readable is nothing: the worst is
    /// that the reader gets it once more.
    pub(crate) fn are_known(&self, headers: &HeaderMap) -> bool {
        let Some(tag) = headers.get(ETAG) else { return false };
        // Almost every reader sends the one tag that it was given.
        self.0.contains(tag) || self.lists(tag).unwrap_or(false)
    }

    fn lists(&self, tag: &HeaderValue) -> Option<bool> {
        let text = tag.to_str().ok()?.trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
        let if_none_match = tags(self.0.iter(), &IF_NONE_MATCH).ok()?;
        Some(Preconditions { if_match: None, if_none_match }.is_known(text))
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
        let all = |name| parts.headers.get_all(name).iter();
        let if_match = tags(all(IF_MATCH), &IF_MATCH)?;
        let if_none_match = tags(all(IF_NONE_MATCH), &IF_NONE_MATCH)?;
        Ok(Self { if_match, if_none_match })
    }
}

fn tags<'v>(values: impl Iterator<Item = &'v HeaderValue>, name: &HeaderName) -> Result<Option<Tags>, Error> {
    let mut listed = Vec::new();
    let mut given = false;
    for value in values {
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
        Self::shown(&version)
    }

    /// The tag of a hash or another word without quotes.
    pub(crate) fn text(text: &str) -> Self {
        Self::shown(&text)
    }

    fn shown(tag: &dyn std::fmt::Display) -> Self {
        Self(
            HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\"")),
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

    #[test]
    fn readers_know_what_they_list() {
        let known = |given: &[&'static str], tag: &'static str| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            let answer = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]);
            Known::of(&headers).is_some_and(|known| known.are_known(&answer))
        };
        for given in [&["\"3\""][..], &["W/\"3\""], &["3"], &["*"], &["\"1\", \"3\""], &["\"1\"", "\"3\""]] {
            assert!(known(given, "\"3\"") && known(given, "W/\"3\""), "{given:?}");
        }
        for given in [&[][..], &["\"4\""], &["\"3"], &["\"3\" \"3\""], &["\"1\"", "\""]] {
            assert!(!known(given, "\"3\""), "{given:?}");
        }
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
