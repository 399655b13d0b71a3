// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Change requests: opened, approved by others, applied.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cms_core::api::page::Page;
use cms_core::api::requests::{
    ApplyRequest, ApproveRequest, ChangeRequest, CreateRequest, EditRequest, RejectRequest, RequestQuery,
};
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, LargeJsonText, OptionalJson, Params, Preconditions, Segments};
use crate::http::problem::Answer;
use crate::http::reply::tagged;
use crate::http::routes::describe::IfMatch;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

type At = Segments<(ProjectId, String)>;

/// The routes of change requests.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(create, list)))
        .routes(v1(routes!(read, edit)))
        .routes(v1(routes!(approve)))
        .routes(v1(routes!(reject)))
        .routes(v1(routes!(withdraw)))
        .routes(v1(routes!(apply)))
}

/// Opens a change request, after its changes have passed every check.
#[utoipa::path(post, path = "/projects/{project}/requests", tag = "requests", request_body = CreateRequest,
    responses((status = 201, description = "The request", body = ChangeRequest)))]
async fn create(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    body: LargeJsonText,
) -> Answer<impl IntoResponse> {
    let request = app.cms().requests().create(&ctx, &project, body.parse_object()?).await?;
    Ok((StatusCode::CREATED, tagged(request.version, request)))
}

/// Lists change requests, newest first, without differences.
#[utoipa::path(get, path = "/projects/{project}/requests", tag = "requests", params(RequestQuery),
    responses((status = 200, description = "A page of requests", body = Page<ChangeRequest>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(query): Params<RequestQuery>,
) -> Answer<Json<Page<ChangeRequest>>> {
    Ok(Json(app.cms().requests().list(&ctx, &project, &query).await?))
}

/// Reads a change request with its difference.
#[utoipa::path(get, path = "/projects/{project}/requests/{id}", tag = "requests",
    responses((status = 200, description = "The request", body = ChangeRequest)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): At,
) -> Answer<impl IntoResponse> {
    // Where it stands depends on more than on the request, so no tag tells whether that is still so.
    Ok(Json(app.cms().requests().get(&ctx, &project, &id).await?))
}

/// Edits an open change request, as one of its authors. Its approvals are void then.
#[utoipa::path(patch, path = "/projects/{project}/requests/{id}", tag = "requests", params(IfMatch),
    request_body = EditRequest, responses((status = 200, description = "The request", body = ChangeRequest)))]
async fn edit(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): At,
    expected: Preconditions,
    body: LargeJsonText,
) -> Answer<impl IntoResponse> {
    let (edit, expected) = (body.parse_object()?, expected.expected()?);
    let request = app.cms().requests().edit(&ctx, &project, &id, edit, expected).await?;
    Ok(tagged(request.version, request))
}

/// Approves the content of a change request that `hash` names.
#[utoipa::path(post, path = "/projects/{project}/requests/{id}/approve", tag = "requests",
    request_body = ApproveRequest,
    responses((status = 200, description = "The request", body = ChangeRequest)))]
async fn approve(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): At,
    Json(approve): Json<ApproveRequest>,
) -> Answer<Json<ChangeRequest>> {
    Ok(Json(app.cms().requests().approve(&ctx, &project, &id, approve).await?))
}

/// Refuses a change request for good.
#[utoipa::path(post, path = "/projects/{project}/requests/{id}/reject", tag = "requests",
    request_body = RejectRequest,
    responses((status = 200, description = "The request", body = ChangeRequest)))]
async fn reject(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): At,
    Json(reject): Json<RejectRequest>,
) -> Answer<Json<ChangeRequest>> {
    Ok(Json(app.cms().requests().reject(&ctx, &project, &id, reject).await?))
}

/// Takes a change request back, as one of its authors.
#[utoipa::path(post, path = "/projects/{project}/requests/{id}/withdraw", tag = "requests",
    responses((status = 200, description = "The request", body = ChangeRequest)))]
async fn withdraw(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): At,
) -> Answer<Json<ChangeRequest>> {
    Ok(Json(app.cms().requests().withdraw(&ctx, &project, &id).await?))
}

/// Applies a change request that is approved; in an emergency, with a reason, one that is not.
#[utoipa::path(post, path = "/projects/{project}/requests/{id}/apply", tag = "requests",
    request_body = Option<ApplyRequest>,
    responses((status = 200, description = "The request", body = ChangeRequest)))]
async fn apply(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): At,
    OptionalJson(apply): OptionalJson<ApplyRequest>,
) -> Answer<Json<ChangeRequest>> {
    Ok(Json(app.cms().requests().apply(&ctx, &project, &id, apply).await?))
}
