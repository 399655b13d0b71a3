// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One rule for many inputs, each under a key of the caller's: the batch API of OPA's enterprise
//! edition, which OPA's clients use.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use cms_core::api::decisions::{BatchItem, DecideBatch};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ask::{Ask, Shape};
use crate::http::extract::AnyJsonText;
use crate::http::problem::Answer;
use crate::http::state::AppState;

/// Many inputs.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct BatchQuestion<'a> {
    /// The inputs by key, at most 1,000.
    #[serde(borrow)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    inputs: BTreeMap<String, &'a RawValue>,
}

/// The answers of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    /// The answer to each input, under its key.
    responses: BTreeMap<String, BatchResponse>,
    /// How long it took, in nanoseconds, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    metrics: Option<serde_json::Value>,
}

/// One answer of a batch: a result, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResponse {
    /// `200`, or `500` for an evaluation that failed.
    http_status_code: &'static str,
    /// The id of the decision.
    decision_id: String,
    /// What the document came to; not there when it is undefined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
    /// A stable word, where the evaluation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Why the evaluation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Which release answered, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    provenance: Option<serde_json::Value>,
}

/// Reads a document for many inputs, all of one release.
#[utoipa::path(post, path = "/opa/{project}/{environment}/v1/batch/data/{*path}", tag = "opa", operation_id = "batch",
    params(Shape), request_body = BatchQuestion<'static>,
    responses((status = 200, description = "Every input has an answer", body = BatchAnswer),
        (status = 207, description = "Some evaluations failed", body = BatchAnswer),
        (status = 500, description = "Every evaluation failed", body = BatchAnswer)))]
pub(super) async fn decide(
    State(app): State<AppState>,
    ask: Ask,
    AnyJsonText(body): AnyJsonText,
) -> Answer<Response> {
    let question: BatchQuestion<'_> = body.parse_object()?;
    let started = Instant::now();
    let batch = DecideBatch {
        path: ask.path.as_str().into(),
        inputs: question.inputs.values().copied().collect(),
        environment: Some(ask.environment.as_str().into()),
    };
    let decided = app.cms().decisions().decide_batch(&ask.ctx, &ask.project, &batch).await?;
    let answers =
        decided.results.into_iter().map(|item| BatchResponse::new(item, ask.provenance(&decided.release)));
    let responses: BTreeMap<String, BatchResponse> = question.inputs.into_keys().zip(answers).collect();
    let status = status(&responses);
    let mut response = ask.reply(BatchAnswer { responses, metrics: ask.metrics(started) })?;
    *response.status_mut() = status;
    Ok(response)
}

impl BatchResponse {
    fn new(item: BatchItem, provenance: Option<serde_json::Value>) -> Self {
        let failed = item.error.is_some();
        Self {
            http_status_code: if failed { "500" } else { "200" },
            decision_id: item.decision_id,
            result: (!item.undefined).then_some(item.result),
            code: failed.then_some("internal_error"),
            message: item.error,
            provenance,
        }
    }
}

/// One status for all answers: what they have in common, or that they differ.
fn status(responses: &BTreeMap<String, BatchResponse>) -> StatusCode {
    let failed = responses.values().filter(|response| response.code.is_some()).count();
    match failed {
        0 => StatusCode::OK,
        all if all == responses.len() => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::MULTI_STATUS,
    }
}
