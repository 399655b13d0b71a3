// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Path segments as typed names. They are decoded once; what hides a separator, a traversal or a
//! control character behind `%` is refused before any route or look-up.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use cms_core::Error;
use cms_core::ids::{EnvironmentId, Name, ProjectId, UserId};

use super::super::problem::Problem;

/// Typed path parameters, in the order of the route.
#[derive(Debug)]
pub(crate) struct Segments<T>(pub(crate) T);

/// A value of one path parameter.
pub(crate) trait FromSegment: Sized {
    /// Parses the decoded text of the parameter.
    ///
    /// # Errors
    /// `Invalid` if the text breaks the rule for such values.
    fn from_segment(text: &str) -> Result<Self, Error>;
}

impl FromSegment for ProjectId {
    fn from_segment(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromSegment for EnvironmentId {
    fn from_segment(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromSegment for UserId {
    fn from_segment(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromSegment for Name {
    fn from_segment(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromSegment for String {
    /// An identifier that the service will look up: printable, of bounded length.
    fn from_segment(text: &str) -> Result<Self, Error> {
        if text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(text.to_owned())
        } else {
            Err(Error::invalid("an identifier in the path must be 1 to 512 printable ASCII characters"))
        }
    }
}

/// Makes a value from the parameters of a route.
pub(crate) trait FromSegments: Sized {
    /// How many parameters it takes.
    const LEN: usize;

    /// Takes as many parameters as it needs.
    ///
    /// # Errors
    /// `Invalid` if one of them breaks its rule.
    fn from_segments<'p>(params: impl Iterator<Item = &'p str>) -> Result<Self, Error>;
}

fn next<'p, T: FromSegment>(params: &mut impl Iterator<Item = &'p str>) -> Result<T, Error> {
    T::from_segment(params.next().unwrap_or_default())
}

impl<A: FromSegment> FromSegments for (A,) {
    const LEN: usize = 1;

    fn from_segments<'p>(mut params: impl Iterator<Item = &'p str>) -> Result<Self, Error> {
        Ok((next(&mut params)?,))
    }
}

impl<A: FromSegment, B: FromSegment> FromSegments for (A, B) {
    const LEN: usize = 2;

    fn from_segments<'p>(mut params: impl Iterator<Item = &'p str>) -> Result<Self, Error> {
        Ok((next(&mut params)?, next(&mut params)?))
    }
}

impl<A: FromSegment, B: FromSegment, C: FromSegment> FromSegments for (A, B, C) {
    const LEN: usize = 3;

    fn from_segments<'p>(mut params: impl Iterator<Item = &'p str>) -> Result<Self, Error> {
        Ok((next(&mut params)?, next(&mut params)?, next(&mut params)?))
    }
}

impl<S: Send + Sync, T: FromSegments> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::invalid("the path holds bytes that are no UTF-8"))?;
        // A host may have nested the router under a path with parameters of its own: ours are last.
        let own = params.iter().map(|(_, value)| value);
        let surplus = params.iter().count().saturating_sub(T::LEN);
        Ok(Self(T::from_segments(own.skip(surplus))?))
    }
}

/// Refuses paths with encoded separators, control characters, broken escapes or dot segments.
///
/// # Errors
/// `Invalid`.
pub(crate) fn check_raw_path(path: &str) -> Result<(), Error> {
    let clean = !path.contains('%') && !path.contains("/.");
    if clean || (escapes_are_plain(path) && !has_dot_segment(path)) {
        return Ok(());
    }
    Err(Error::new(
        cms_core::ErrorKind::Invalid,
        "invalid_path",
        "the path holds a dot segment or an encoded `/`, `\\`, `%` or control character; write names plainly",
    ))
}

fn escapes_are_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) else { return false };
        let byte = high * 16 + low;
        byte >= 0x20 && byte != 0x7f && !matches!(u8::try_from(byte), Ok(b'/' | b'\\' | b'%'))
    })
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_pass() {
        for good in ["/", "/api/v1/projects", "/users/a%40b.example", "/a/b.c/d..e", "/policies/-/versions/x"]
        {
            assert!(check_raw_path(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn hidden_separators_and_traversals_are_refused() {
        for bad in [
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%0a",
            "/a%252e",
            "/a%",
            "/a%2",
            "/a%zz",
            "/%c0%ae%c0%ae%2f",
        ] {
            assert!(check_raw_path(bad).is_err(), "{bad}");
        }
    }
}
