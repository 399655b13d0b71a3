// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Projects: onboarding, settings, offboarding.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::projects::{CreateProject, OffboardedProject, OnboardedProject, PatchProject, Project};
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Preconditions, Segments};
use crate::http::problem::Answer;
use crate::http::reply::tagged;
use crate::http::routes::describe::{IfMatch, IfNoneMatch};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of projects themselves.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(create, list))).routes(v1(routes!(read, change, remove)))
}

/// Onboards a project: environments, default policies, members, a key and a release, all or nothing.
#[utoipa::path(post, path = "/projects", tag = "projects", request_body = CreateProject,
    responses((status = 201, description = "The project, and its key, shown this once", body = OnboardedProject)))]
async fn create(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Json(create): Json<CreateProject>,
) -> Answer<impl IntoResponse> {
    let made = app.cms().projects().create(&ctx, create).await?;
    Ok((StatusCode::CREATED, tagged(made.project.version, made)))
}

/// Lists the projects that the caller may know of.
#[utoipa::path(get, path = "/projects", tag = "projects", params(PageQuery),
    responses((status = 200, description = "A page of projects", body = Page<Project>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Project>>> {
    Ok(Json(app.cms().projects().list(&ctx, &page).await?))
}

/// Reads a project.
#[utoipa::path(get, path = "/projects/{project}", tag = "projects", params(IfNoneMatch),
    responses((status = 200, description = "The project", body = Project)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
) -> Answer<impl IntoResponse> {
    let project = app.cms().projects().get(&ctx, &project).await?;
    Ok(tagged(project.version, project))
}

/// Changes a project's settings.
#[utoipa::path(patch, path = "/projects/{project}", tag = "projects", params(IfMatch), request_body = PatchProject,
    responses((status = 200, description = "The project", body = Project)))]
async fn change(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    expected: Preconditions,
    Json(patch): Json<PatchProject>,
) -> Answer<impl IntoResponse> {
    let project = app.cms().projects().patch(&ctx, &project, patch, expected.expected()?).await?;
    Ok(tagged(project.version, project))
}

/// Offboards a project: keys are revoked, its data key is destroyed, its audit trail stays.
#[utoipa::path(delete, path = "/projects/{project}", tag = "projects", params(IfMatch),
    responses((status = 200, description = "What was revoked and destroyed", body = OffboardedProject)))]
async fn remove(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    expected: Preconditions,
) -> Answer<Json<OffboardedProject>> {
    Ok(Json(app.cms().projects().delete(&ctx, &project, expected.expected()?).await?))
}
