// SPDX-License-Identifier: Apache-2.0 OR MIT
//! API keys of a project. Their text leaves in two answers only: when they are made and rotated.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::keys::{CreateKey, CreatedKey, Key, RotateKey};
use cms_core::api::page::Page;
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, OptionalJson, Params, Preconditions, Segments};
use crate::http::problem::Answer;
use crate::http::reply::tagged;
use crate::http::routes::describe::{IfMatch, IfNoneMatch};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of API keys.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(create, list)))
        .routes(v1(routes!(read, revoke)))
        .routes(v1(routes!(rotate)))
}

/// Makes an API key.
#[utoipa::path(post, path = "/projects/{project}/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, description = "The key, shown this once", body = CreatedKey)))]
async fn create(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Json(create): Json<CreateKey>,
) -> Answer<impl IntoResponse> {
    let key = app.cms().auth().keys().create(&ctx, &project, create).await?;
    Ok((StatusCode::CREATED, tagged(key.about.version, key)))
}

/// Lists the API keys, masked.
#[utoipa::path(get, path = "/projects/{project}/keys", tag = "keys", params(PageQuery),
    responses((status = 200, description = "A page of keys", body = Page<Key>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Key>>> {
    Ok(Json(app.cms().auth().keys().list(&ctx, &project, &page).await?))
}

/// Reads an API key, masked.
#[utoipa::path(get, path = "/projects/{project}/keys/{id}", tag = "keys", params(IfNoneMatch),
    responses((status = 200, description = "The key without its text", body = Key)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
) -> Answer<impl IntoResponse> {
    let key = app.cms().auth().keys().get(&ctx, &project, &id).await?;
    Ok(tagged(key.version, key))
}

/// Revokes an API key, in force everywhere within a second.
#[utoipa::path(delete, path = "/projects/{project}/keys/{id}", tag = "keys", params(IfMatch),
    responses((status = 204, description = "The key is revoked")))]
async fn revoke(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
    expected: Preconditions,
) -> Answer<StatusCode> {
    app.cms().auth().keys().revoke(&ctx, &project, &id, expected.expected()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives an API key a new text under the same id.
#[utoipa::path(post, path = "/projects/{project}/keys/{id}/rotate", tag = "keys", params(IfMatch),
    request_body = Option<RotateKey>,
    responses((status = 200, description = "The key with its new text, shown this once", body = CreatedKey)))]
async fn rotate(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
    expected: Preconditions,
    OptionalJson(rotate): OptionalJson<RotateKey>,
) -> Answer<impl IntoResponse> {
    let key = app.cms().auth().keys().rotate(&ctx, &project, &id, rotate, expected.expected()?).await?;
    Ok(tagged(key.about.version, key))
}
