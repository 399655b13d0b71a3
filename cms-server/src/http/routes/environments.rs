// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Environments: which release is active, and its bundle for OPA.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::releases::{
    Activate, Activation, BundleKeys, Environment, PutEnvironment, RollbackEnvironment, RotateBundleKey,
};
use cms_core::api::requests::{Promote, Promotion};
use cms_core::ids::{EnvironmentId, ProjectId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::Caller;
use crate::http::extract::{ETag, Json, OptionalJson, Params, Preconditions, Segments};
use crate::http::middleware::front::waits;
use crate::http::problem::Answer;
use crate::http::reply::{made, tagged};
use crate::http::routes::describe::{IfMatch, IfNoneMatch, Prefer};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// What OPA is told when it asked for a long poll.
const BUNDLES: &str = "application/vnd.openpolicyagent.bundles";

type At = Segments<(ProjectId, EnvironmentId)>;

/// The routes of environments.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(list)))
        .routes(v1(routes!(put, read)))
        .routes(v1(routes!(activate)))
        .routes(v1(routes!(promote)))
        .routes(v1(routes!(rollback)))
        .routes(v1(routes!(history)))
        .routes(v1(routes!(bundle)))
        .routes(v1(routes!(bundle_keys)))
        .routes(v1(routes!(rotate_bundle_key)))
}

/// Lists the environments of a project.
#[utoipa::path(get, path = "/projects/{project}/environments", tag = "environments", params(PageQuery),
    responses((status = 200, description = "A page of environments", body = Page<Environment>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Environment>>> {
    Ok(Json(app.cms().releases().environments(&ctx, &project, &page).await?))
}

/// Reads an environment.
#[utoipa::path(get, path = "/projects/{project}/environments/{environment}", tag = "environments", params(IfNoneMatch),
    responses((status = 200, description = "The environment", body = Environment)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
) -> Answer<impl IntoResponse> {
    let environment = app.cms().releases().environment(&ctx, &project, &name).await?;
    Ok(tagged(environment.version, environment))
}

/// Adds an environment or changes its settings.
#[utoipa::path(put, path = "/projects/{project}/environments/{environment}", tag = "environments",
    params(IfMatch), request_body = Option<PutEnvironment>,
    responses((status = 200, description = "The environment", body = Environment),
        (status = 201, description = "The new environment", body = Environment)))]
async fn put(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
    expected: Preconditions,
    OptionalJson(put): OptionalJson<PutEnvironment>,
) -> Answer<impl IntoResponse> {
    let (releases, expected) = (app.cms().releases(), expected.expected()?);
    let (environment, created) = releases.put_environment(&ctx, &project, &name, put, expected).await?;
    Ok((made(created), tagged(environment.version, environment)))
}

/// Activates a release.
#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/activate", tag = "environments",
    request_body = Activate, responses((status = 200, description = "The activation", body = Activation)))]
async fn activate(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
    Json(activate): Json<Activate>,
) -> Answer<Json<Activation>> {
    Ok(Json(app.cms().releases().activate(&ctx, &project, &name, activate).await?))
}

/// Promotes what is active in another environment; with `dry_run` it says what that would do. Where the
/// target asks for approvals, a change request is opened.
#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/promote", tag = "environments",
    request_body = Promote, responses((status = 200, description = "The promotion", body = Promotion)))]
async fn promote(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
    Json(promote): Json<Promote>,
) -> Answer<Json<Promotion>> {
    Ok(Json(app.cms().requests().promote(&ctx, &project, &name, promote).await?))
}

/// Goes back to the release that was active before, or to a named one.
#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/rollback", tag = "environments",
    request_body = Option<RollbackEnvironment>,
    responses((status = 200, description = "The activation", body = Activation)))]
async fn rollback(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
    OptionalJson(back): OptionalJson<RollbackEnvironment>,
) -> Answer<Json<Activation>> {
    Ok(Json(app.cms().releases().rollback(&ctx, &project, &name, back).await?))
}

/// Lists what was active, newest first.
#[utoipa::path(get, path = "/projects/{project}/environments/{environment}/history", tag = "environments", params(PageQuery),
    responses((status = 200, description = "A page of activations", body = Page<Activation>)))]
async fn history(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Activation>>> {
    Ok(Json(app.cms().releases().history(&ctx, &project, &name, &page).await?))
}

/// How a bundle is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BundleQuery {
    /// Whether it is signed; true if not given. An OPA that is given no key refuses a signed bundle.
    signed: Option<bool>,
}

/// Exports the active release as an OPA bundle, signed by the project's key. With `If-None-Match` and
/// `Prefer: wait=N` it waits for another release.
#[utoipa::path(get, path = "/projects/{project}/environments/{environment}/bundle.tar.gz", tag = "environments",
    params(BundleQuery, Prefer),
    responses((status = 200, description = "The bundle", body = Vec<u8>, content_type = "application/gzip")))]
async fn bundle(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, name)): At,
    Params(query): Params<BundleQuery>,
    known: Preconditions,
    headers: HeaderMap,
) -> Answer<Response> {
    let long_poll = waits(&headers);
    let wait = Duration::from_secs(long_poll.unwrap_or(0)).min(app.options().wait_time);
    let ask = |wait| {
        let signed = query.signed.unwrap_or(true);
        app.cms().releases().bundle(&ctx, &project, &name, known.one_tag(), wait, signed)
    };
    let found = match app.options().closing.run_until_cancelled(ask(wait)).await {
        Some(found) => found?,
        // The server is about to stop: the caller asks the next one at once.
        None => ask(Duration::ZERO).await?,
    };
    let media_type = if long_poll.is_some() { BUNDLES } else { "application/gzip" };
    let common = ([(CACHE_CONTROL, "private, no-cache"), (CONTENT_TYPE, media_type)], ETag::text(&found.tag));
    Ok(match found.archive {
        Some(archive) => (common, archive).into_response(),
        None => (StatusCode::NOT_MODIFIED, common).into_response(),
    })
}

/// Shows the public keys that verify the signatures of bundles, as JWK and as PEM; the first signs now.
#[utoipa::path(get, path = "/projects/{project}/bundle-keys", tag = "environments",
    responses((status = 200, description = "The keys", body = BundleKeys)))]
async fn bundle_keys(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
) -> Answer<Json<BundleKeys>> {
    Ok(Json(app.cms().releases().bundle_keys(&ctx, &project).await?))
}

/// Gives the project a new key to sign bundles with, at once or after a notice.
#[utoipa::path(post, path = "/projects/{project}/bundle-keys/rotate", tag = "environments",
    request_body = Option<RotateBundleKey>,
    responses((status = 200, description = "The keys", body = BundleKeys)))]
async fn rotate_bundle_key(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    OptionalJson(rotate): OptionalJson<RotateBundleKey>,
) -> Answer<Json<BundleKeys>> {
    Ok(Json(app.cms().releases().rotate_bundle_key(&ctx, &project, rotate).await?))
}
