// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ad-hoc queries: any Rego body over the active release.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use cms_core::Error;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ask::{Ask, Shape};
use crate::http::extract::AnyJsonText;
use crate::http::problem::{Answer, Problem};
use crate::http::state::AppState;

/// A query with its input.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Query<'a> {
    /// The text of the query.
    query: String,
    /// The input document.
    #[serde(borrow, default)]
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<&'a RawValue>,
}

/// The answers to a query.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueryAnswer {
    /// For each answer, the values of the query's variables; not there when there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    result: Option<Box<RawValue>>,
    /// Which release answered, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    provenance: Option<serde_json::Value>,
    /// How long it took, in nanoseconds, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    metrics: Option<serde_json::Value>,
}

/// Answers the query in `?q=`.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/query", tag = "opa", operation_id = "query_get",
    params(("q" = String, Query, description = "The text of the query"), Shape),
    responses((status = 200, description = "The answers", body = QueryAnswer)))]
pub(super) async fn read(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    let query = ask.options.query.clone();
    let query = query.ok_or_else(|| Error::invalid("missing parameter 'q': give the text of the query"))?;
    ask.answer_query(&app, query, ask.options.input.clone()).await
}

/// Answers the query in the body.
#[utoipa::path(post, path = "/opa/{project}/{environment}/v1/query", tag = "opa", operation_id = "query_post", params(Shape),
    request_body = Query<'static>, responses((status = 200, description = "The answers", body = QueryAnswer)))]
pub(super) async fn ask(
    State(app): State<AppState>,
    ask: Ask,
    AnyJsonText(body): AnyJsonText,
) -> Answer<Response> {
    let query: Query<'_> = body.parse_object()?;
    ask.answer_query(&app, query.query, query.input.map(|input| input.get().to_owned())).await
}

/// Says that partial evaluation is not available.
#[utoipa::path(post, path = "/opa/{project}/{environment}/v1/compile", tag = "opa", operation_id = "compile",
    request_body = Option<serde_json::Value>,
    responses((status = 400, description = "Always", body = crate::http::opa_error::OpaError)))]
pub(super) async fn compile(State(app): State<AppState>, ask: Ask) -> Problem {
    let decisions = app.cms().decisions();
    match decisions.standing(&ask.ctx, &ask.project, &ask.environment).await {
        Err(error) => error.into(),
        Ok(_) => Error::invalid(NO_PARTIAL_EVALUATION).into(),
    }
}

const NO_PARTIAL_EVALUATION: &str = "partial evaluation is not available; ask for a decision with \
    `/v1/data`, or for many with `/v1/batch/data`";

impl Ask {
    async fn answer_query(&self, app: &AppState, query: String, input: Option<String>) -> Answer<Response> {
        let started = Instant::now();
        let decisions = app.cms().decisions();
        let answered = decisions.query(&self.ctx, &self.project, &self.environment, query, input).await?;
        let (provenance, metrics) = (self.provenance(&answered.release), self.metrics(started));
        self.reply(QueryAnswer { result: answered.answers, provenance, metrics })
    }
}
