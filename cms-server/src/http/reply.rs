// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers in JSON, with the status and the tag that belong to them.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
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
