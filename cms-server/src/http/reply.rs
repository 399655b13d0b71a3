// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers in JSON, with the status and the tag that belong to them.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cms_core::Error;
use serde::Serialize;

use super::extract::{ETag, Json};
use super::problem::Problem;

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut text = Vec::with_capacity(512);
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => json(text),
            Err(error) => Problem::from(Error::internal(error)).into_response(),
        }
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
