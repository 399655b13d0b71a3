// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit trail: asked, verified, exported.

use axum::extract::State;
use cms_core::api::audit::{AuditQuery, AuditVerification, Record};
use cms_core::api::page::Page;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params};
use crate::http::problem::Answer;
use crate::http::routes::queries::NoQuery;
use crate::http::state::AppState;

/// The routes of the audit trail.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

/// Lists records, newest first.
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
async fn verify(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Params(NoQuery {}): Params<NoQuery>,
) -> Answer<Json<AuditVerification>> {
    Ok(Json(app.cms().audit().verify(&ctx, &|_| {}).await?))
}
