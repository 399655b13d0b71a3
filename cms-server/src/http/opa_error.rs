// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Errors in OPA's form: its codes, its statuses, its list of places
//! (<https://www.openpolicyagent.org/docs/rest-api#errors>).

use axum::http::StatusCode;
use cms_core::Error;
use cms_core::error::Place;
use serde::Serialize;
use utoipa::ToSchema;

/// The code of OPA's older API for a document that has no value.
pub(crate) const UNDEFINED_DOCUMENT: &str = "undefined_document";
/// The words for a policy that does not compile.
const COMPILING: &str = "error(s) occurred while compiling module(s)";
/// The words for a policy that fails.
const EVALUATING: &str = "error(s) occurred while evaluating query";

/// An error in OPA's form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpaError {
    /// A stable word of OPA's.
    code: &'static str,
    /// What happened.
    message: String,
    /// What is wrong with the policies or the query, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<OpaFault>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpaFault {
    /// Such as `rego_parse_error` or `eval_conflict_error`.
    code: String,
    /// What is wrong.
    message: String,
    /// Where, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<OpaLocation>,
}

/// A place in a policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpaLocation {
    /// The id of the policy.
    file: String,
    /// The line, from 1.
    row: u32,
    /// The column, from 1.
    col: u32,
}

impl OpaError {
    /// The error as OPA would tell it, and under which status.
    pub(crate) fn of(error: &Error, status: StatusCode) -> (StatusCode, Self) {
        if let Some(code) = evaluation(error.code()) {
            let fault =
                OpaFault { code: code.to_owned(), message: error.message().to_owned(), location: None };
            let told = Self { code: "internal_error", message: EVALUATING.to_owned(), errors: vec![fault] };
            return (StatusCode::INTERNAL_SERVER_ERROR, told);
        }
        let code = match (error.code(), status.as_u16()) {
            (UNDEFINED_DOCUMENT, _) => UNDEFINED_DOCUMENT,
            (_, 401 | 403) => "unauthorized",
            (_, 404) => "resource_not_found",
            (_, 409) => "resource_conflict",
            (_, 400..=499) => "invalid_parameter",
            _ => "internal_error",
        };
        let errors: Vec<OpaFault> = error.places().iter().filter_map(OpaFault::of).collect();
        let message = if error.code() == "invalid_policy" { COMPILING } else { error.message() };
        let told = Self { code, message: message.to_owned(), errors };
        // OPA knows no 422: what it understands and refuses is a bad request.
        let status =
            if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
        (status, told)
    }
}

impl OpaFault {
    /// A place of a policy; those of a request's body have no code.
    fn of(place: &Place) -> Option<Self> {
        let code = place.code?;
        let location = place.line.map(|row| OpaLocation {
            file: place.path.clone().unwrap_or_default(),
            row,
            col: place.column.unwrap_or(1),
        });
        Some(Self { code: code.to_owned(), message: place.message.clone(), location })
    }
}

/// OPA's word for an evaluation that failed; none for other errors.
fn evaluation(code: &str) -> Option<&str> {
    match code {
        "policy_time_limit" | "policy_instruction_limit" => Some("eval_cancel_error"),
        "eval_conflict_error" | "eval_builtin_error" => Some(code),
        "policy_memory_limit" | "policy_output_limit" | "policy_number_limit" | "policy_engine_failure" => {
            Some("eval_internal_error")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cms_core::ErrorKind;

    use super::*;

    fn told(error: &Error, status: u16) -> (u16, serde_json::Value) {
        let (status, told) = OpaError::of(error, StatusCode::from_u16(status).unwrap());
        (status.as_u16(), serde_json::to_value(told).unwrap())
    }

    #[test]
    fn errors_have_opa_s_codes() {
        for (error, status, code) in [
            (Error::unauthenticated(), 401, "unauthorized"),
            (Error::denied("no"), 403, "unauthorized"),
            (Error::not_found("it"), 404, "resource_not_found"),
            (Error::new(ErrorKind::NotFound, UNDEFINED_DOCUMENT, "it"), 404, "undefined_document"),
            (Error::conflict("it", "it"), 409, "resource_conflict"),
            (Error::too_large("it"), 413, "invalid_parameter"),
            (Error::internal("it"), 500, "internal_error"),
        ] {
            let (answered, body) = told(&error, status);
            assert_eq!((answered, &body["code"]), (status, &code.into()), "{body}");
            assert!(body.get("errors").is_none(), "{body}");
        }
    }

    #[test]
    fn policies_that_do_not_compile_are_bad_requests_with_places() {
        let place = Place {
            path: Some("rag".into()),
            line: Some(3),
            column: Some(7),
            message: "unexpected `}`".into(),
            code: Some("rego_parse_error"),
        };
        let error = Error::unprocessable("invalid_policy", "it does not compile").with_places(vec![place]);
        let fault = serde_json::json!({"code": "rego_parse_error", "message": "unexpected `}`",
            "location": {"file": "rag", "row": 3, "col": 7}});
        let expected =
            serde_json::json!({"code": "invalid_parameter", "message": COMPILING, "errors": [fault]});
        assert_eq!(told(&error, 422), (400, expected));
    }

    #[test]
    fn evaluations_that_fail_are_opa_s_internal_errors() {
        for (ours, theirs) in
            [("policy_time_limit", "eval_cancel_error"), ("eval_conflict_error", "eval_conflict_error")]
        {
            let (status, body) = told(&Error::unprocessable(ours, "it failed"), 422);
            assert_eq!((status, &body["code"]), (500, &"internal_error".into()));
            assert_eq!(body["errors"], serde_json::json!([{"code": theirs, "message": "it failed"}]));
        }
    }
}
