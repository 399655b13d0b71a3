// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents for an input: `/v1/data`, its older form `/v0/data`, and the default decision at the root.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use cms_core::decisions::{Evaluated, query_path};
use cms_core::policies::engine::EvaluationOptions;
use cms_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ask::{Ask, Shape};
use crate::http::extract::{AnyJsonText, JsonText};
use crate::http::opa_error::UNDEFINED_DOCUMENT;
use crate::http::problem::Answer;
use crate::http::state::AppState;

/// The path of the decision that is asked for where none is named.
const MAIN: &str = "system/main";

/// An answer of OPA's data API.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DataAnswer {
    /// What the document came to; not there when it is undefined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
    /// The id of the decision.
    decision_id: String,
    /// Which release answered, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    provenance: Option<serde_json::Value>,
    /// How long it took, in nanoseconds, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    metrics: Option<serde_json::Value>,
    /// Why it came out so, when asked for: definitions that were tried, or with `pretty` lines of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    explanation: Option<serde_json::Value>,
    /// That a body had no `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<OpaWarning>,
}

/// A hint that the request was probably meant differently.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpaWarning {
    /// Always `api_usage_warning`.
    code: &'static str,
    /// What is probably wrong.
    message: &'static str,
}

/// The answer of a client that always asks for explanations does not depend on whether it may have them.
const NO_EXPLANATION: OpaWarning = OpaWarning {
    code: "explanation_not_allowed",
    message: "an explanation takes the right to read policies and data",
};

const NO_INPUT: OpaWarning =
    OpaWarning { code: "api_usage_warning", message: "'input' key missing from the request" };

/// The body of a question.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct DataQuestion<'a> {
    /// The input document.
    #[serde(borrow, default)]
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<&'a RawValue>,
}

/// Reads a document, with `?input=` as the input.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa", operation_id = "data_get",
    params(("input" = Option<String>, Query, description = "The input document as JSON"), Shape),
    responses((status = 200, description = "The document", body = DataAnswer)))]
pub(super) async fn read(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    let input = ask.options.input.clone();
    ask.answer(&app, input.as_deref(), None).await
}

/// Reads a document for the input in the body.
#[utoipa::path(post, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa", operation_id = "data_post",
    params(Shape), request_body = Option<DataQuestion<'static>>,
    responses((status = 200, description = "The document", body = DataAnswer)))]
pub(super) async fn decide(
    State(app): State<AppState>,
    ask: Ask,
    AnyJsonText(body): AnyJsonText,
) -> Answer<Response> {
    if body.is_blank() {
        return ask.answer(&app, None, None).await;
    }
    if body.is_null() {
        return ask.answer(&app, None, Some(NO_INPUT)).await;
    }
    let question: DataQuestion<'_> = body.parse_object()?;
    let warning = question.input.is_none().then_some(NO_INPUT);
    ask.answer(&app, question.input.map(RawValue::get), warning).await
}

/// Reads a document for the input that the body is; the answer is the document itself.
#[utoipa::path(post, path = "/opa/{project}/{environment}/v0/data/{*path}", tag = "opa", operation_id = "data_v0",
    request_body = Option<serde_json::Value>,
    responses((status = 200, description = "The document", body = serde_json::Value)))]
pub(super) async fn v0(
    State(app): State<AppState>,
    ask: Ask,
    AnyJsonText(body): AnyJsonText,
) -> Answer<Response> {
    ask.answer_bare(&app, &ask.path, &body).await
}

/// Reads the default decision, `data.system.main`, for the input that the body is.
#[utoipa::path(post, path = "/opa/{project}/{environment}/", tag = "opa", operation_id = "main",
    request_body = Option<serde_json::Value>,
    responses((status = 200, description = "The decision", body = serde_json::Value)))]
pub(super) async fn main(
    State(app): State<AppState>,
    ask: Ask,
    AnyJsonText(body): AnyJsonText,
) -> Answer<Response> {
    ask.answer_bare(&app, MAIN, &body).await
}

impl Ask {
    async fn evaluate(&self, app: &AppState, path: &str, input: Option<&str>) -> Result<Evaluated, Error> {
        let path = query_path(path)?;
        let environment = Some(self.environment.as_str());
        let options =
            if self.options.strict { EvaluationOptions::STRICT } else { EvaluationOptions::default() };
        let decisions = app.cms().decisions();
        decisions.evaluate_with(&self.ctx, &self.project, environment, &path, input, options).await
    }

    async fn answer(
        &self,
        app: &AppState,
        input: Option<&str>,
        warning: Option<OpaWarning>,
    ) -> Answer<Response> {
        let started = Instant::now();
        let evaluated = self.evaluate(app, &self.path, input).await?;
        let (explanation, warning) = match self.explanation(app, &evaluated, input).await {
            Err(error) if error.kind() == ErrorKind::Denied => (None, Some(NO_EXPLANATION)),
            told => (told?, warning),
        };
        let (metrics, provenance) = (self.metrics(started), self.provenance(&evaluated.release));
        let (result, decision_id) = (evaluated.result, evaluated.decision_id);
        self.reply(DataAnswer { result, decision_id, provenance, metrics, explanation, warning })
    }

    /// Why a decision came out as it did, if that was asked for. As in OPA, `pretty` makes it text.
    async fn explanation(
        &self,
        app: &AppState,
        evaluated: &Evaluated,
        input: Option<&str>,
    ) -> Result<Option<serde_json::Value>, Error> {
        if !self.options.explain {
            return Ok(None);
        }
        let path = query_path(&self.path)?;
        let decisions = app.cms().decisions();
        let told = decisions.explain(&self.ctx, &self.project, evaluated, &path, input).await?;
        let shown = if self.options.pretty {
            serde_json::to_value(told.text)
        } else {
            serde_json::to_value(told.tried)
        };
        shown.map(Some).map_err(Error::internal)
    }

    /// Answers in the older form: the body is the input, the answer the document.
    async fn answer_bare(&self, app: &AppState, path: &str, body: &JsonText) -> Answer<Response> {
        let input = if body.is_blank() { None } else { Some(body.parse::<&RawValue>()?) };
        let evaluated = self.evaluate(app, path, input.map(RawValue::get)).await?;
        let Some(result) = evaluated.result else {
            return Err(undefined(path, evaluated.hint.as_deref()).into());
        };
        self.reply(result)
    }
}

/// That a document has no value, or that there is no such document.
fn undefined(path: &str, nearest: Option<&str>) -> Error {
    let reference = format!("data.{}", path.replace('/', "."));
    let what = if nearest == Some(path) { "document undefined" } else { "document missing" };
    Error::new(ErrorKind::NotFound, UNDEFINED_DOCUMENT, format!("{what}: {reference}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_document_has_no_result() {
        let answer = DataAnswer {
            result: None,
            decision_id: "d".into(),
            provenance: None,
            metrics: None,
            explanation: None,
            warning: None,
        };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"decision_id":"d"}"#);
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_undefined() {
        assert_eq!(undefined("a/b", Some("a/b")).message(), "document undefined: data.a.b");
        assert_eq!(undefined("a/b", Some("a/c")).message(), "document missing: data.a.b");
    }
}
