// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers in JSON, with the status and the tag that belong to them.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cms_core::Error;
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

use super::extract::{ETag, Json};
use super::problem::Problem;

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut text = Wiped(Zeroizing::new(Vec::with_capacity(512)));
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => json(Bytes::from_owner(text.0)),
            Err(error) => Problem::from(Error::internal(error)).into_response(),
        }
    }
}

/// Whether an answer may be packed: `gzip` is named, and not with the weight 0.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// A text that is wiped when it has been sent: it may be a secret. Growing leaves no copy behind.
struct Wiped(Zeroizing<Vec<u8>>);

impl Wiped {
    fn grow(&mut self, length: usize) {
        let mut larger = Vec::with_capacity(length.max(self.0.capacity() * 2));
        larger.extend_from_slice(&self.0);
        self.0.zeroize();
        *self.0 = larger;
    }
}

impl io::Write for Wiped {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            self.grow(length);
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// All at once, as JSON is written in small pieces.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer that is JSON text already.
pub(crate) fn json(text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 201 for something new, else 200.
pub(crate) fn made(created: bool) -> StatusCode {
    if created { StatusCode::CREATED } else { StatusCode::OK }
}

/// JSON with the version as its tag.
pub(crate) fn tagged<T: Serialize>(version: u64, body: T) -> (ETag, Json<T>) {
    (ETag::version(version), Json(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_packed_for_who_says_so() {
        let says = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
            takes_gzip(&headers)
        };
        assert!(says("gzip") && says("br, GZIP;q=0.5") && !takes_gzip(&HeaderMap::new()));
        assert!(!says("gzip;q=0") && !says("br") && !says("identity"));
    }
}
