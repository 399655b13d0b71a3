// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data part of OPA's REST API on an environment's active release, in OPA's own shapes
//! (<https://www.openpolicyagent.org/docs/rest-api>): 200 without `result` for what is undefined,
//! unknown parameters ignored, a body with `GET` ignored. Errors take OPA's form in the front layer.

use std::time::Instant;

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use cms_core::decisions::{Evaluated, query_path};
use cms_core::ids::{EnvironmentId, ProjectId};
use cms_core::{Error, ErrorKind, RequestContext};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::caller::{Caller, Stranger};
use crate::http::extract::{AnyJsonText, Json};
use crate::http::problem::{Answer, Problem, UNDEFINED_DOCUMENT};
use crate::http::reply::json;
use crate::http::routes::missing::missing;
use crate::http::state::AppState;

/// The routes of OPA's API.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(data_get, data_post))
        .routes(routes!(data_v0))
        .routes(routes!(health))
        .route("/opa/{project}/{environment}/v1/data", get(data_get).post(data_post))
        .route("/opa/{project}/{environment}/v1/data/", get(data_get).post(data_post))
        .route("/opa", any(missing))
        .route("/opa/{project}", any(missing))
        .route("/opa/{project}/{environment}", any(missing))
        .route("/opa/{project}/{environment}/{*path}", any(missing))
}

/// Which document is asked for, and the caller.
pub(crate) struct Ask {
    ctx: RequestContext,
    project: ProjectId,
    environment: EnvironmentId,
    path: String,
    options: Options,
}

/// The parameters of OPA that change the answer here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Options {
    pretty: bool,
    provenance: bool,
    metrics: bool,
    input: Option<String>,
}

/// An answer of OPA's data API.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataAnswer {
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
    /// That a body had no `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<OpaWarning>,
}

/// A hint that the request was probably meant differently.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpaWarning {
    /// Always `api_usage_warning`.
    code: &'static str,
    /// What is probably wrong.
    message: &'static str,
}

/// The body of a question.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct DataQuestion<'a> {
    /// The input document.
    #[serde(borrow, default)]
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<&'a RawValue>,
}

impl FromRequestParts<AppState> for Ask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let Caller(ctx) = Caller::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::invalid("the path holds bytes that are no UTF-8"))?;
        let named =
            |name: &str| params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        let options = Options::parse(parts.uri.query().unwrap_or_default());
        Ok(Self {
            ctx,
            project: ProjectId::parse(named("project"))?,
            environment: EnvironmentId::parse(named("environment"))?,
            // As OPA does, empty parts count for nothing.
            path: named("path").split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
            options,
        })
    }
}

/// Reads a document, with `?input=` as the input.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa",
    params(("input" = Option<String>, Query, description = "The input document as JSON"),
        ("pretty" = Option<bool>, Query, description = "Whether the answer is indented"),
        ("provenance" = Option<bool>, Query, description = "Whether the answer names its release"),
        ("metrics" = Option<bool>, Query, description = "Whether the answer tells how long it took")),
    responses((status = 200, description = "The document", body = DataAnswer)))]
async fn data_get(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    let input = ask.options.input.clone();
    ask.answer(&app, input.as_deref(), None).await
}

/// Reads a document for the input in the body.
#[utoipa::path(post, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa", request_body = Option<DataQuestion<'static>>,
    params(("pretty" = Option<bool>, Query, description = "Whether the answer is indented"),
        ("provenance" = Option<bool>, Query, description = "Whether the answer names its release"),
        ("metrics" = Option<bool>, Query, description = "Whether the answer tells how long it took")),
    responses((status = 200, description = "The document", body = DataAnswer)))]
async fn data_post(
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
#[utoipa::path(post, path = "/opa/{project}/{environment}/v0/data/{*path}", tag = "opa", request_body = Option<serde_json::Value>,
    responses((status = 200, description = "The document", body = serde_json::Value)))]
async fn data_v0(State(app): State<AppState>, ask: Ask, AnyJsonText(body): AnyJsonText) -> Answer<Response> {
    let input = if body.is_blank() { None } else { Some(body.parse::<&RawValue>()?) };
    match ask.evaluate(&app, input.map(RawValue::get)).await?.result {
        Some(result) => Ok(json(result.get().to_owned())),
        None => Err(undefined(&ask.path).into()),
    }
}

fn undefined(path: &str) -> Error {
    Error::new(ErrorKind::NotFound, UNDEFINED_DOCUMENT, format!("the document `{path}` is undefined"))
}

/// Tells that the surface answers.
#[utoipa::path(get, path = "/opa/{project}/{environment}/health", tag = "opa", security(()),
    responses((status = 200, description = "It does", body = serde_json::Value),
        (status = 503, description = "It does not: the store or the seal", body = serde_json::Value)))]
async fn health(State(app): State<AppState>, _asked: Stranger) -> Response {
    let health = app.cms().health().await;
    if health.store_error.is_none() && !health.sealed {
        return json("{}");
    }
    let mut response =
        json(r#"{"error":"not ready: the store does not answer, or the installation is sealed"}"#);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

const NO_INPUT: OpaWarning =
    OpaWarning { code: "api_usage_warning", message: "'input' key missing from the request" };

impl Ask {
    async fn evaluate(&self, app: &AppState, input: Option<&str>) -> Result<Evaluated, Error> {
        let path = query_path(&self.path)?;
        let environment = Some(self.environment.as_str());
        app.cms().decisions().evaluate(&self.ctx, &self.project, environment, &path, input).await
    }

    async fn answer(
        &self,
        app: &AppState,
        input: Option<&str>,
        warning: Option<OpaWarning>,
    ) -> Answer<Response> {
        let started = Instant::now();
        let evaluated = self.evaluate(app, input).await?;
        let took = started.elapsed().as_nanos();
        let metrics = self
            .options
            .metrics
            .then(|| serde_json::json!({"timer_rego_query_eval_ns": took, "timer_server_handler_ns": took}));
        let provenance = self.options.provenance.then(|| self.provenance(&evaluated.release));
        let (result, decision_id) = (evaluated.result, evaluated.decision_id);
        let answer = DataAnswer { result, decision_id, provenance, metrics, warning };
        if self.options.pretty {
            return Ok(json(indented(&answer)?));
        }
        Ok(Json(answer).into_response())
    }

    /// Which program and release answered, in OPA's words.
    fn provenance(&self, release: &str) -> serde_json::Value {
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "build_commit": "",
            "build_timestamp": "",
            "build_hostname": "",
            "bundles": {self.environment.as_str(): {"revision": release}},
        })
    }
}

/// Indents as OPA does. The result is built as a tree, which only people's requests pay for.
fn indented(answer: &DataAnswer) -> Result<String, Error> {
    let tree = serde_json::to_value(answer).map_err(Error::internal)?;
    serde_json::to_string_pretty(&tree).map(|text| text + "\n").map_err(Error::internal)
}

impl Options {
    /// Reads the parameters that are known; OPA ignores others. A name alone means true.
    fn parse(query: &str) -> Self {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let on = matches!(value, "" | "1" | "t" | "T" | "true" | "TRUE" | "True");
            match name {
                "pretty" => options.pretty = on,
                "provenance" => options.provenance = on,
                "metrics" | "instrument" => options.metrics |= on,
                "input" => options.input = Some(decode(value)),
                _ => {}
            }
        }
        options
    }
}

/// Decodes a form value once. What is no escape stays as it is; the JSON parser has the last word.
fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|hex| data_encoding::HEXUPPER_PERMISSIVE.decode(hex).ok());
        match (first, escape) {
            (b'%', Some(byte)) => {
                bytes.extend(byte);
                rest = tail.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_opa_reads_them() {
        let options = Options::parse("pretty&input=%7B%22a%22:+1%7D&explain=full&provenance=false");
        assert!(options.pretty && !options.provenance);
        assert_eq!(options.input.as_deref(), Some("{\"a\": 1}"));
        assert!(!Options::parse("pretty=0").pretty);
        assert_eq!(decode("100%"), "100%");
    }

    #[test]
    fn an_undefined_document_has_no_result() {
        let answer = DataAnswer {
            result: None,
            decision_id: "d".into(),
            provenance: None,
            metrics: None,
            warning: None,
        };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"decision_id":"d"}"#);
    }
}
