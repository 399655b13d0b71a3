// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the server works, and whether it can serve. Nobody need be known to ask.

use axum::extract::State;
use axum::http::StatusCode;
use cms_core::Health;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::extract::Json;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of health.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(health))).routes(v1(routes!(live))).routes(v1(routes!(ready)))
}

/// The state of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthReport {
    /// `ok`, `sealed`, `degraded` (the store does not answer), `impaired` (the values of secrets
    /// cannot be had now, and all else can) or `stopping`.
    status: &'static str,
    /// Whether the installation is sealed.
    sealed: bool,
    /// The kind of seal.
    seal: &'static str,
    /// Why the seal cannot be asked, where that is what the server waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    seal_detail: Option<String>,
    /// The backends.
    backends: Vec<BackendHealth>,
}

/// The state of a backend.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackendHealth {
    /// Its name.
    name: &'static str,
    /// `ok` or `unavailable`.
    state: &'static str,
    /// The revision that the store stands at.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// How many revisions of the store this process is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
    /// What is wrong, or should be mended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// That the process works.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// Always `ok`.
    status: &'static str,
}

/// Tells the state of the seal and of each backend.
#[utoipa::path(get, path = "/health", tag = "system", security(()),
    responses((status = 200, description = "The state", body = HealthReport)))]
async fn health(State(app): State<AppState>) -> Json<HealthReport> {
    Json(report(&app).await)
}

/// Tells that the process works.
#[utoipa::path(get, path = "/health/live", tag = "system", security(()),
    responses((status = 200, description = "It works", body = Liveness)))]
async fn live() -> Json<Liveness> {
    Json(Liveness { status: "ok" })
}

/// Tells whether the server can serve.
#[utoipa::path(get, path = "/health/ready", tag = "system", security(()),
    responses((status = 200, description = "It can", body = HealthReport),
        (status = 503, description = "It cannot now", body = HealthReport)))]
async fn ready(State(app): State<AppState>) -> (StatusCode, Json<HealthReport>) {
    let report = report(&app).await;
    // Where the values of secrets cannot be had, everything else can: no reason to take a server out of service.
    let serves = ["ok", "impaired"].contains(&report.status);
    let status = if serves { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn report(app: &AppState) -> HealthReport {
    let health = app.cms().health().await;
    let mut backends = vec![BackendHealth {
        name: health.store,
        state: if health.store_error.is_none() { "ok" } else { "unavailable" },
        revision: Some(health.revision),
        lag: Some(health.revision.saturating_sub(health.seen_revision)),
        detail: health.store_error.clone().or(health.store_warning.clone()),
    }];
    if let Some(shared) = app.limiter().shared() {
        let detail = shared.trouble().await;
        let state = if detail.is_none() { "ok" } else { "unavailable" };
        backends.push(BackendHealth { name: shared.name(), state, revision: None, lag: None, detail });
    }
    if let Some((name, health)) = health.material.clone() {
        let state = if health.is_ok() { "ok" } else { "unavailable" };
        backends.push(BackendHealth { name, state, revision: None, lag: None, detail: health.err() });
    }
    HealthReport {
        status: status(&health, app.options().closing.is_cancelled()),
        sealed: health.sealed,
        seal: health.seal,
        seal_detail: health.seal_error,
        backends,
    }
}

fn status(health: &Health, stopping: bool) -> &'static str {
    match (stopping, health.sealed, &health.store_error) {
        (true, _, _) => "stopping",
        (_, _, Some(_)) => "degraded",
        (_, true, _) => "sealed",
        (false, false, None) if matches!(health.material, Some((_, Err(_)))) => "impaired",
        (false, false, None) => "ok",
    }
}
