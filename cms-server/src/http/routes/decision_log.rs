// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of decisions: listed, exported in OPA's format, replayed on another release.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use cms_core::api::decision_log::{DecisionQuery, DecisionReplay, LoggedDecision, ReplayDecisions};
use cms_core::api::page::Page;
use cms_core::ids::ProjectId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Segments};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of the log of decisions.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(list)))
        .routes(v1(routes!(read)))
        .routes(v1(routes!(export)))
        .routes(v1(routes!(replay)))
}

/// Where to look for a decision.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EnvironmentQuery {
    /// The environment, where the project has several.
    environment: Option<String>,
}

/// Lists logged decisions, newest first.
#[utoipa::path(get, path = "/projects/{project}/decisions", tag = "decisions", params(DecisionQuery),
    responses((status = 200, description = "A page of decisions", body = Page<LoggedDecision>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(query): Params<DecisionQuery>,
) -> Answer<Json<Page<LoggedDecision>>> {
    Ok(Json(app.cms().decisions().logged(&ctx, &project, &query).await?))
}

/// Reads a logged decision.
#[utoipa::path(get, path = "/projects/{project}/decisions/{id}", tag = "decisions", params(EnvironmentQuery),
    responses((status = 200, description = "The decision", body = LoggedDecision)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
    Params(query): Params<EnvironmentQuery>,
) -> Answer<Json<LoggedDecision>> {
    let environment = query.environment.as_deref();
    Ok(Json(app.cms().decisions().logged_one(&ctx, &project, environment, &id).await?))
}

/// Exports logged decisions as JSON lines in the format of OPA's decision log, newest first.
#[utoipa::path(get, path = "/projects/{project}/decisions/-/export", tag = "decisions", params(DecisionQuery),
    responses((status = 200, description = "One decision a line", body = String,
        content_type = "application/x-ndjson")))]
async fn export(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(query): Params<DecisionQuery>,
) -> Answer<impl IntoResponse> {
    let lines = app.cms().decisions().export_logged(&ctx, &project, query).await?;
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)))
}

/// Decides logged decisions anew by another release, and tells which come to something else.
#[utoipa::path(post, path = "/projects/{project}/decisions/-/replay", tag = "decisions", request_body = ReplayDecisions,
    responses((status = 200, description = "What would have been decided", body = DecisionReplay)))]
async fn replay(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Json(ask): Json<ReplayDecisions>,
) -> Answer<Json<DecisionReplay>> {
    Ok(Json(app.cms().decisions().replay(&ctx, &project, &ask).await?))
}
