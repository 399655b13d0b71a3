// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit trail: asked, verified, exported.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use cms_core::api::audit::{AuditQuery, AuditVerification, Record};
use cms_core::api::page::Page;
use cms_core::ids::ProjectId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of the audit trail.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(list))).routes(v1(routes!(verify))).routes(v1(routes!(export)))
}

/// What to export.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// Only this project's records; all without it.
    project: Option<String>,
}

/// Lists records, newest first; with `after`, those that follow on a record, as they were committed.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page of records", body = Page<Record>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Params(query): Params<AuditQuery>,
) -> Answer<Json<Page<Record>>> {
    Ok(Json(app.cms().audit().list(&ctx, &query).await?))
}

/// Hashes the whole trail again.
#[utoipa::path(get, path = "/audit/-/verify", tag = "audit",
    responses((status = 200, description = "Whether the trail is whole, or where it is broken", body = AuditVerification)))]
async fn verify(State(app): State<AppState>, Caller(ctx): Caller) -> Answer<Json<AuditVerification>> {
    Ok(Json(app.cms().audit().verify(&ctx, &|_| {}).await?))
}

/// Exports the trail as JSON lines with everything that offline verification needs.
#[utoipa::path(get, path = "/audit/-/export", tag = "audit", params(ExportQuery),
    responses((status = 200, description = "A header, the records, a signature; one a line", body = String,
        content_type = "application/x-ndjson")))]
async fn export(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Params(query): Params<ExportQuery>,
) -> Answer<impl IntoResponse> {
    let project = query.project.as_deref().map(ProjectId::parse).transpose()?;
    let lines = app.cms().audit().export(&ctx, project.as_ref()).await?;
    // An error in the middle cuts the connection: a file without its signature does not verify.
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)))
}
