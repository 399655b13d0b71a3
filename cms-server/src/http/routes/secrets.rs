// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets. Values leave in one answer only: that of a reveal.

use axum::extract::State;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::secrets::{
    ChangedVersions, ChooseVersions, DestroyVersions, MaskedSecret, PutSecret, RevealSecret, RevealedSecret,
    RotateSecret, Secret, SecretVersion,
};
use cms_core::ids::{Name, ProjectId};

use crate::http::caller::Caller;
use crate::http::extract::{Json, OptionalJson, Params, Preconditions, Segments};
use crate::http::problem::Answer;
use crate::http::reply::{made, tagged};
use crate::http::routes::describe::{IfMatch, IfNoneMatch};
use crate::http::routes::queries::{ListQuery, VersionQuery};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

type At = Segments<(ProjectId, Name)>;

/// The routes of secrets.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(list)))
        .routes(v1(routes!(put, read, delete)))
        .routes(v1(routes!(reveal)))
        .routes(v1(routes!(versions)))
        .routes(v1(routes!(undelete)))
        .routes(v1(routes!(destroy)))
        .routes(v1(routes!(rotate)))
}

/// Lists secrets: names and versions, never values.
#[utoipa::path(get, path = "/projects/{project}/secrets", tag = "secrets", params(ListQuery),
    responses((status = 200, description = "A page of secrets", body = Page<Secret>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(query): Params<ListQuery>,
) -> Answer<Json<Page<Secret>>> {
    let page = query.page();
    Ok(Json(app.cms().secrets().list(&ctx, &project, query.prefix.as_deref(), &page).await?))
}

/// Writes a new version of a secret.
#[utoipa::path(put, path = "/projects/{project}/secrets/{*path}", tag = "secrets", params(IfMatch), request_body = PutSecret,
    responses((status = 200, description = "The new version, without its value", body = Secret),
        (status = 201, description = "The new secret, without its value", body = Secret)))]
async fn put(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    expected: Preconditions,
    Json(put): Json<PutSecret>,
) -> Answer<impl IntoResponse> {
    let written = app.cms().secrets().put(&ctx, &project, &path, put, expected.expected()?).await?;
    Ok((made(written.created), tagged(written.secret.version, written.secret)))
}

/// Reads a secret with its values masked.
#[utoipa::path(get, path = "/projects/{project}/secrets/{*path}", tag = "secrets", params(VersionQuery, IfNoneMatch),
    responses((status = 200, description = "The secret, masked", body = MaskedSecret)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    Params(query): Params<VersionQuery>,
) -> Answer<impl IntoResponse> {
    let secret = app.cms().secrets().masked(&ctx, &project, &path, query.version).await?;
    Ok(tagged(secret.secret.version, secret))
}

/// Deletes the present version; it can be brought back.
#[utoipa::path(delete, path = "/projects/{project}/secrets/{*path}", tag = "secrets", params(IfMatch),
    responses((status = 200, description = "The deleted version", body = ChangedVersions)))]
async fn delete(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    expected: Preconditions,
    OptionalJson(choose): OptionalJson<ChooseVersions>,
) -> Answer<Json<ChangedVersions>> {
    let expected = expected.expected()?;
    Ok(Json(app.cms().secrets().delete(&ctx, &project, &path, choose.versions, expected).await?))
}

/// Reveals a secret. The access is on the audit trail before the answer leaves.
#[utoipa::path(post, path = "/projects/{project}/secrets/-/reveal/{*path}", tag = "secrets", request_body = Option<RevealSecret>,
    responses((status = 200, description = "The secret with its values", body = RevealedSecret)))]
async fn reveal(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    OptionalJson(reveal): OptionalJson<RevealSecret>,
) -> Answer<Json<RevealedSecret>> {
    Ok(Json(app.cms().secrets().reveal(&ctx, &project, &path, reveal).await?))
}

/// Lists the versions of a secret.
#[utoipa::path(get, path = "/projects/{project}/secrets/-/versions/{*path}", tag = "secrets", params(PageQuery),
    responses((status = 200, description = "A page of versions, newest first", body = Page<SecretVersion>)))]
async fn versions(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<SecretVersion>>> {
    Ok(Json(app.cms().secrets().versions(&ctx, &project, &path, &page).await?))
}

/// Brings deleted versions back.
#[utoipa::path(post, path = "/projects/{project}/secrets/-/undelete/{*path}", tag = "secrets", params(IfMatch),
    request_body = Option<ChooseVersions>,
    responses((status = 200, description = "The versions that are back", body = ChangedVersions)))]
async fn undelete(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    expected: Preconditions,
    OptionalJson(choose): OptionalJson<ChooseVersions>,
) -> Answer<Json<ChangedVersions>> {
    let expected = expected.expected()?;
    Ok(Json(app.cms().secrets().undelete(&ctx, &project, &path, choose.versions, expected).await?))
}

/// Destroys versions for good.
#[utoipa::path(post, path = "/projects/{project}/secrets/-/destroy/{*path}", tag = "secrets", params(IfMatch),
    request_body = DestroyVersions,
    responses((status = 200, description = "The versions whose values are gone", body = ChangedVersions)))]
async fn destroy(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    expected: Preconditions,
    Json(destroy): Json<DestroyVersions>,
) -> Answer<Json<ChangedVersions>> {
    let expected = expected.expected()?;
    Ok(Json(app.cms().secrets().destroy(&ctx, &project, &path, destroy.versions, expected).await?))
}

/// Makes a new version with a generated value.
#[utoipa::path(post, path = "/projects/{project}/secrets/-/rotate/{*path}", tag = "secrets", params(IfMatch),
    request_body = Option<RotateSecret>,
    responses((status = 200, description = "The new version, without its value", body = Secret)))]
async fn rotate(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, path)): At,
    expected: Preconditions,
    OptionalJson(rotate): OptionalJson<RotateSecret>,
) -> Answer<impl IntoResponse> {
    let written = app.cms().secrets().rotate(&ctx, &project, &path, rotate, expected.expected()?).await?;
    Ok(tagged(written.secret.version, written.secret))
}
