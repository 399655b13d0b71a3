// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the error of a service to an answer in the form of RFC 9457. The only place that knows
//! which kind of error is which status.
//!
//! Handlers answer a [`Problem`]; the front layer writes its body, because only it knows the
//! request id, the path and with it the [`Form`], and logs the cause, once.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use cms_core::error::Place;
use cms_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::opa_error::OpaError;

/// The result of a handler.
pub(crate) type Answer<T> = Result<T, Problem>;

/// What the stable `code` of a problem is prefixed with to make its `type`.
pub const TYPE_PREFIX: &str = "urn:cms:problem:";

/// After how many seconds to try again where a quota is full.
const QUOTA_RETRY_SECONDS: u64 = 60;

/// In whose form the errors of a surface are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 9457.
    Problem,
    /// OPA's: a code of its own and a message.
    Opa,
}

impl Form {
    /// The form of the surface that a path of this router leads to.
    pub(crate) fn of(path: &str) -> Self {
        let is_opa = path.strip_prefix("/opa").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_opa { Self::Opa } else { Self::Problem }
    }
}

/// Why a request was not served.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: Error,
}

impl Problem {
    /// A refusal that only HTTP knows, such as 405 or 431.
    pub(crate) fn http(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, error: Error::new(ErrorKind::Invalid, code, detail) }
    }

    /// The server has too much to do, or takes too long.
    pub(crate) fn busy(code: &'static str, detail: impl Into<String>) -> Self {
        Error::unavailable(code, detail).into()
    }

    /// The status of the answer.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The error behind it.
    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// Writes the answer: headers and body.
    pub(crate) fn render(&self, form: Form, request_id: &str, instance: &str) -> Response<Body> {
        let (status, body, media_type) = match form {
            Form::Problem => {
                let details = self.details(request_id, instance);
                (self.status, serde_json::to_vec(&details), "application/problem+json")
            }
            Form::Opa => {
                let (status, told) = OpaError::of(&self.error, self.status);
                (status, serde_json::to_vec(&told), "application/json")
            }
        };
        let mut response = Response::new(Body::from(body.unwrap_or_default()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.write_headers(headers);
        response
    }

    /// Writes the headers that tell the caller what to do next.
    fn write_headers(&self, headers: &mut HeaderMap) {
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cms\""));
        }
        if let Some(after) = self.error.retry_after() {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        } else if self.status == StatusCode::TOO_MANY_REQUESTS {
            // A quota has no time of its own; somebody may make room meanwhile.
            headers.insert(RETRY_AFTER, HeaderValue::from(QUOTA_RETRY_SECONDS));
        }
    }

    /// Writes the cause to the log, once: defects as errors, what a retry may cure as warnings.
    pub(crate) fn log(&self, request_id: &str) {
        let error: &(dyn std::error::Error + 'static) = &self.error;
        match self.status.as_u16() {
            503 => tracing::warn!(request_id, code = self.error.code(), error, "a request failed"),
            500.. => tracing::error!(request_id, code = self.error.code(), error, "a request failed"),
            _ => tracing::debug!(request_id, code = self.error.code(), "a request was refused"),
        }
    }

    fn details(&self, request_id: &str, instance: &str) -> ProblemDetails {
        let error = &self.error;
        ProblemDetails {
            kind: format!("{TYPE_PREFIX}{}", error.code()),
            title: title(self.status).to_owned(),
            status: self.status.as_u16(),
            detail: error.message().to_owned(),
            instance: instance.chars().take(512).collect(),
            request_id: request_id.to_owned(),
            code: error.code().to_owned(),
            hint: error.hint().map(str::to_owned),
            errors: error.places().iter().map(ProblemPlace::from).collect(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { status: status(error.kind()), error }
    }
}

impl IntoResponse for Problem {
    /// The status, with the problem beside it for the front layer to write.
    fn into_response(self) -> axum::response::Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The status of each kind. No catch-all arm: a new kind must be thought about here.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Stale => StatusCode::PRECONDITION_FAILED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Sealed => StatusCode::LOCKED,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unknown => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PRECONDITION_FAILED => "Stale version",
        StatusCode::LOCKED => "Sealed",
        StatusCode::GATEWAY_TIMEOUT => "Outcome unknown",
        StatusCode::UNPROCESSABLE_ENTITY => "Not valid",
        other => other.canonical_reason().unwrap_or("Problem"),
    }
}

/// Why a request was not served (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDetails {
    /// Identifies the kind of problem: `urn:cms:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:cms:problem:not_found")]
    pub kind: String,
    /// What kind of problem it is, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do next.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// The id under which the log and the audit trail know the request.
    pub request_id: String,
    /// A stable word for programs to compare.
    pub code: String,
    /// Advice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The places of the input that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemPlace>,
}

/// A place of the input, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemPlace {
    /// The field or document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
}

impl From<&Place> for ProblemPlace {
    fn from(place: &Place) -> Self {
        Self {
            path: place.path.clone(),
            line: place.line,
            column: place.column,
            message: place.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kind_has_its_status_and_its_headers() {
        let unauthenticated = Problem::from(Error::unauthenticated()).render(Form::Problem, "r1", "/api");
        assert_eq!(unauthenticated.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(unauthenticated.headers()[WWW_AUTHENTICATE], "Bearer realm=\"cms\"");
        assert_eq!(unauthenticated.headers()[CONTENT_TYPE], "application/problem+json");
        let busy = Error::unavailable("busy", "too much").with_retry_after(Duration::from_millis(1200));
        assert_eq!(Problem::from(busy).render(Form::Opa, "r1", "/").headers()[RETRY_AFTER], "2");
        let full = Problem::from(Error::new(ErrorKind::TooMany, "quota_exceeded", "full"));
        let full = full.render(Form::Problem, "r1", "/");
        assert_eq!((full.status().as_u16(), &full.headers()[RETRY_AFTER]), (429, &HeaderValue::from(60)));
    }

    #[test]
    fn opa_s_surface_has_a_form_of_its_own() {
        assert_eq!((Form::of("/opa/p/e/v1/data"), Form::of("/opa")), (Form::Opa, Form::Opa));
        assert_eq!((Form::of("/opaque"), Form::of("/api/v1/opa/x")), (Form::Problem, Form::Problem));
    }

    #[test]
    fn causes_stay_inside() {
        let problem = Problem::from(Error::internal("open /var/lib/cms/store.db failed"));
        let text = serde_json::to_string(&problem.details("r1", "/x")).unwrap();
        assert!(!text.contains("/var/lib"), "{text}");
        assert!(text.contains(r#""code":"internal""#) && text.contains(r#""request_id":"r1""#), "{text}");
    }

    #[test]
    fn places_are_listed() {
        let place =
            Place { line: Some(3), column: Some(7), message: "unexpected `}`".into(), ..Place::default() };
        let error = Error::unprocessable("rego_parse_error", "it does not parse").with_places(vec![place]);
        let details = Problem::from(error).details("r", "/");
        assert_eq!(details.status, 422);
        let value = serde_json::to_value(&details.errors).unwrap();
        assert_eq!(value, serde_json::json!([{"line": 3, "column": 7, "message": "unexpected `}`"}]));
    }
}
