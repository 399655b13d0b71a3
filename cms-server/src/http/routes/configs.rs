// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Configs as services read them, and rendered templates. The documents themselves are in `documents`.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use cms_core::api::configs::{RenderedTemplate, ResolvedConfig, SecretsMode};
use cms_core::configs::ReadConfig;
use cms_core::ids::{Name, ProjectId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Segments};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of configs.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(resolve))).routes(v1(routes!(render)))
}

/// For whom a config is resolved, and how.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResolveQuery {
    /// The environment; the key's or the project's only one if not given.
    environment: Option<String>,
    /// Labels as `name=value`, joined by commas, the lowest layer first.
    labels: Option<String>,
    /// The instance.
    instance: Option<String>,
    /// Whether to tell which layer each value comes from.
    provenance: Option<bool>,
    /// Whether references to secrets are resolved where the caller may read them (`resolve`), or stay as
    /// they are (`keep`).
    #[param(inline)]
    secrets: Option<SecretsMode>,
}

/// Resolves a config from the active release: layers merged, templates rendered, references resolved.
#[utoipa::path(get, path = "/projects/{project}/configs/-/resolve/{*name}", tag = "configs", params(ResolveQuery),
    responses((status = 200, description = "The effective config", body = ResolvedConfig)))]
async fn resolve(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): Segments<(ProjectId, Name)>,
    Params(query): Params<ResolveQuery>,
) -> Answer<impl IntoResponse> {
    let ResolveQuery { environment, labels, instance, provenance, secrets } = query;
    let read = ReadConfig { environment, labels, instance };
    let (provenance, secrets) = (provenance.unwrap_or(false), secrets.unwrap_or_default());
    let resolved = app.cms().configs().resolve(&ctx, &project, &name, &read, provenance, secrets).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(resolved)))
}

/// In which environment a template is rendered.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RenderQuery {
    /// The environment; the key's or the project's only one if not given.
    environment: Option<String>,
}

/// Renders a template of the active release.
#[utoipa::path(get, path = "/projects/{project}/templates/-/render/{*name}", tag = "configs", params(RenderQuery),
    responses((status = 200, description = "The output", body = RenderedTemplate)))]
async fn render(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): Segments<(ProjectId, Name)>,
    Params(query): Params<RenderQuery>,
) -> Answer<Json<RenderedTemplate>> {
    Ok(Json(app.cms().configs().render(&ctx, &project, &name, query.environment.as_deref()).await?))
}
