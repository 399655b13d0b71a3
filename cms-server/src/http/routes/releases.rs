// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases.

use axum::extract::State;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::releases::{CreateRelease, Release, ReleaseDiff};
use cms_core::ids::ProjectId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::{ETag, Json, OptionalJson, Params, Segments};
use crate::http::problem::Answer;
use crate::http::reply::made;
use crate::http::routes::describe::IfNoneMatch;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of releases.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(create, list))).routes(v1(routes!(read))).routes(v1(routes!(diff)))
}

/// Which releases to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Between {
    /// The older release.
    from: String,
    /// The newer release.
    to: String,
}

/// Makes a release of the current documents. The same documents are the same release.
#[utoipa::path(post, path = "/projects/{project}/releases", tag = "releases", request_body = Option<CreateRelease>,
    responses((status = 200, description = "The release, which existed", body = Release),
        (status = 201, description = "The new release", body = Release)))]
async fn create(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    OptionalJson(create): OptionalJson<CreateRelease>,
) -> Answer<impl IntoResponse> {
    let (release, created) = app.cms().releases().create(&ctx, &project, create).await?;
    Ok((made(created), ETag::text(&release.id), Json(release)))
}

/// Lists releases.
#[utoipa::path(get, path = "/projects/{project}/releases", tag = "releases", params(PageQuery),
    responses((status = 200, description = "A page of releases", body = Page<Release>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Release>>> {
    Ok(Json(app.cms().releases().list(&ctx, &project, &page).await?))
}

/// Reads a release with its documents.
#[utoipa::path(get, path = "/projects/{project}/releases/{id}", tag = "releases", params(IfNoneMatch),
    responses((status = 200, description = "The release", body = Release)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
) -> Answer<impl IntoResponse> {
    let release = app.cms().releases().get(&ctx, &project, &id).await?;
    Ok((ETag::text(&release.id), Json(release)))
}

/// Compares two releases.
#[utoipa::path(get, path = "/projects/{project}/releases/-/diff", tag = "releases", params(Between),
    responses((status = 200, description = "What differs", body = ReleaseDiff)))]
async fn diff(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(between): Params<Between>,
) -> Answer<Json<ReleaseDiff>> {
    Ok(Json(app.cms().releases().diff(&ctx, &project, &between.from, &between.to).await?))
}
