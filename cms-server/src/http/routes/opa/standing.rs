// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the surface stands: its health, its configuration, and the state of its one bundle, the active
//! release.

use axum::extract::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::ask::{Ask, is_on, parameters};
use crate::http::caller::Stranger;
use crate::http::extract::Segments;
use crate::http::opa_alone::Alone;
use crate::http::problem::Answer;
use crate::http::reply;
use crate::http::state::AppState;
use cms_core::ids::{EnvironmentId, ProjectId};

/// An answer that tells how things stand.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StandingAnswer {
    /// What is to be told.
    #[schema(value_type = serde_json::Value)]
    result: Value,
}

/// What a health check asks for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters that the handler reads")]
pub(super) struct HealthQuery {
    /// Whether the bundle, the active release, must be there.
    bundles: Option<bool>,
    /// Whether all plugins must work.
    plugins: Option<bool>,
    /// A plugin that need not work.
    #[param(rename = "exclude-plugin")]
    exclude_plugin: Option<String>,
}

/// Tells which release is active and since when, as the state of OPA's plugins.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/status", tag = "opa", operation_id = "status",
    responses((status = 200, description = "The state", body = StandingAnswer)))]
pub(super) async fn status(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    let standing = app.cms().decisions().standing(&ask.ctx, &ask.project, &ask.environment).await?;
    let name = ask.environment.as_str();
    let state = if standing.release.is_some() { "OK" } else { "NOT_READY" };
    ask.reply(StandingAnswer {
        result: json!({
            "labels": ask.labels(),
            "bundles": {name: {
                "name": name,
                "active_revision": standing.release,
                "last_successful_activation": standing.activated_at,
                "last_successful_download": standing.activated_at,
            }},
            "plugins": {"bundle": {"state": state}},
        }),
    })
}

/// Tells the configuration, as far as an OPA has one; there is no secret in it.
#[utoipa::path(get, path = "/opa/{project}/{environment}/v1/config", tag = "opa", operation_id = "config",
    responses((status = 200, description = "The configuration", body = StandingAnswer)))]
pub(super) async fn config(State(app): State<AppState>, ask: Ask) -> Answer<Response> {
    app.cms().decisions().standing(&ask.ctx, &ask.project, &ask.environment).await?;
    ask.reply(StandingAnswer {
        result: json!({
            "labels": ask.labels(),
            "default_decision": "/system/main",
            "bundles": {ask.environment.as_str(): {}},
        }),
    })
}

/// Tells that the surface answers. Whether the environment has an active release is told on a listener
/// of its own only: elsewhere, whether a project exists is not everybody's to know.
#[utoipa::path(get, path = "/opa/{project}/{environment}/health", tag = "opa", operation_id = "health", security(()), params(HealthQuery),
    responses((status = 200, description = "It does", body = serde_json::Value),
        (status = 500, description = "It does not: the store, the seal, or the bundle that was asked for",
            body = serde_json::Value)))]
pub(super) async fn health(
    State(app): State<AppState>,
    _asked: Stranger,
    Segments((project, environment)): Segments<(ProjectId, EnvironmentId)>,
    alone: Option<Extension<Alone>>,
    uri: Uri,
) -> Response {
    let health = app.cms().health().await;
    if health.store_error.is_some() || health.sealed {
        return unhealthy("not ready: the store does not answer, or the installation is sealed");
    }
    let needs_bundle = alone.is_some() && needs_bundle(uri.query().unwrap_or_default());
    if needs_bundle && !app.cms().decisions().is_ready(&project, &environment).await {
        return unhealthy("one or more bundles are not activated");
    }
    reply::json("{}")
}

/// Whether a health check asks for the bundle: by itself, or as one of the plugins.
fn needs_bundle(query: &str) -> bool {
    let (mut bundles, mut plugins, mut excluded) = (false, false, false);
    for (name, value) in parameters(query) {
        match name {
            "bundles" | "bundle" => bundles = is_on(value),
            "plugins" => plugins = is_on(value),
            "exclude-plugin" => excluded |= value == "bundle",
            _ => {}
        }
    }
    bundles || (plugins && !excluded)
}

fn unhealthy(error: &str) -> Response {
    let mut response = reply::json(json!({ "error": error }).to_string());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

impl Ask {
    /// What tells this OPA from others.
    fn labels(&self) -> Value {
        json!({
            "id": format!("{}/{}", self.project, self.environment),
            "version": env!("CARGO_PKG_VERSION"),
            "project": self.project.as_str(),
            "environment": self.environment.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_ask_for_the_bundle_in_opa_s_ways() {
        for asks in ["bundles", "bundles=true", "bundle=true", "plugins", "plugins&exclude-plugin=status"] {
            assert!(needs_bundle(asks), "{asks}");
        }
        for does_not in ["", "bundles=false", "plugins&exclude-plugin=bundle", "other"] {
            assert!(!needs_bundle(does_not), "{does_not}");
        }
    }
}
