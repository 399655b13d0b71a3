// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writing data and policies, as OPA's clients do: changes of documents, live at once, each with its
//! record.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cms_core::documents::DataEdit;
use cms_core::{Error, ErrorKind, Expected};
use serde_json::Value;

use super::ask::{Ask, Shape};
use crate::http::extract::{Preconditions, RawBody};
use crate::http::problem::Answer;
use crate::http::reply;
use crate::http::routes::describe::IfMatch;
use crate::http::state::AppState;

/// Writes the data at a path, whatever was there.
#[utoipa::path(put, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa", operation_id = "data_put", params(IfMatch),
    request_body = serde_json::Value,
    responses((status = 204, description = "It is there now"), (status = 304, description = "Something was there already")))]
pub(super) async fn put_data(
    State(app): State<AppState>,
    ask: Ask,
    known: Preconditions,
    body: RawBody,
) -> Answer<Response> {
    let value: Value = serde_json::from_slice(&body.bytes)
        .map_err(|error| Error::invalid(format!("the body is no JSON: {error}")))?;
    let edit = match known.expected()? {
        Expected::Absent => DataEdit::Add(value),
        _ => DataEdit::Put(value),
    };
    match ask.edit(&app, &edit).await {
        Err(error) if error.kind() == ErrorKind::Stale => Ok(StatusCode::NOT_MODIFIED.into_response()),
        edited => Ok(edited?.into_response()),
    }
}

/// Changes the data at a path by a JSON patch of `add`, `remove` and `replace`.
#[utoipa::path(patch, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa", operation_id = "data_patch",
    request_body(content = serde_json::Value, content_type = "application/json-patch+json"),
    responses((status = 204, description = "It is changed")))]
pub(super) async fn patch_data(State(app): State<AppState>, ask: Ask, body: RawBody) -> Answer<StatusCode> {
    Ok(ask.edit(&app, &DataEdit::patch(&body.bytes)?).await?)
}

/// Removes the data at a path.
#[utoipa::path(delete, path = "/opa/{project}/{environment}/v1/data/{*path}", tag = "opa", operation_id = "data_delete",
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete_data(State(app): State<AppState>, ask: Ask) -> Answer<StatusCode> {
    Ok(ask.edit(&app, &DataEdit::Remove).await?)
}

/// Writes a policy. It must compile together with the others, and the project's tests must hold.
#[utoipa::path(put, path = "/opa/{project}/{environment}/v1/policies/{*path}", tag = "opa", operation_id = "policy_put", params(Shape),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, description = "It is live", body = serde_json::Value)))]
pub(super) async fn put_policy(State(app): State<AppState>, ask: Ask, body: RawBody) -> Answer<Response> {
    let text = std::str::from_utf8(&body.bytes).map_err(|error| {
        Error::invalid(format!("the policy is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    ask.write_policy(&app, Some(text.to_owned())).await
}

/// Removes a policy. What stays must compile, and its tests must hold.
#[utoipa::path(delete, path = "/opa/{project}/{environment}/v1/policies/{*path}", tag = "opa", operation_id = "policy_delete", params(Shape),
    responses((status = 200, description = "It is gone", body = serde_json::Value)))]
pub(super) async fn delete_policy(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    ask.write_policy(&app, None).await
}

impl Ask {
    async fn edit(&self, app: &AppState, edit: &DataEdit) -> Result<StatusCode, Error> {
        let path: Vec<String> =
            self.path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let documents = app.cms().documents();
        documents.edit_data(&self.ctx, &self.project, &self.environment, &path, edit).await?;
        Ok(StatusCode::NO_CONTENT)
    }

    async fn write_policy(&self, app: &AppState, text: Option<String>) -> Answer<Response> {
        let (documents, name) = (app.cms().documents(), self.name()?);
        documents.put_live_policy(&self.ctx, &self.project, &self.environment, &name, text).await?;
        Ok(reply::json("{}"))
    }
}
