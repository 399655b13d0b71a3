// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Metrics for Prometheus, at the root: for this machine, for the token that the settings name, and for
//! whoever may see the state of the system; for everybody only if the settings say so.

use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use cms_core::Error;

use crate::http::caller::{Caller, credential, info};
use crate::http::problem::{Answer, Problem};
use crate::http::routes::table::{Table, routes};
use crate::http::state::AppState;

/// The route of metrics.
pub(crate) fn router() -> Table {
    Table::new().routes(routes!(metrics))
}

/// Somebody who may see the metrics.
pub(crate) struct Watcher;

impl FromRequestParts<AppState> for Watcher {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let options = state.options();
        let presented = credential(&parts.headers).unwrap_or_default();
        let is_scraper = options.metrics_token.as_ref().is_some_and(|token| token.is(presented));
        if !options.public_metrics && !is_scraper && !info(parts).origin.is_local {
            let Caller(ctx) = Caller::from_request_parts(parts, state).await?;
            state.cms().allow_system_read(&ctx).await?;
        }
        Ok(Self)
    }
}

/// Writes the metrics in the text form of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(app): State<AppState>, _allowed: Watcher) -> Answer<impl IntoResponse> {
    let health = app.cms().health().await;
    let text = app.metrics().encode(&health, app.waiting().count()).map_err(Error::internal)?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}
