// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealing, unsealing and the rotation of keys, while the server runs.

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use cms_core::RequestContext;
use cms_core::api::keyrings::{ProjectKeyState, RotatedProjectKey, RotatedRootKey};
use cms_core::auth::Principal;
use cms_core::ids::ProjectId;

use crate::http::caller::{Caller, info};
use crate::http::extract::{Json, Segments};
use crate::http::problem::{Answer, Problem};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of keys and the seal.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(seal)))
        .routes(v1(routes!(unseal)))
        .routes(v1(routes!(rotate_root)))
        .routes(v1(routes!(rotate_project)))
        .routes(v1(routes!(project_key)))
}

/// Somebody at this machine itself, who acts as the system does when it starts: while the installation
/// is sealed, no credential can be checked.
pub(crate) struct Operator(RequestContext);

impl FromRequestParts<AppState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let info = info(parts);
        if info.origin.is_local {
            return Ok(Self(info.context(Principal::system())));
        }
        Err(cms_core::Error::denied("unsealing is done from the machine itself; or start the server again")
            .into())
    }
}

/// Seals the installation in this process: every key is forgotten, and all that needs one answers 423.
#[utoipa::path(post, path = "/system/seal", tag = "system", responses((status = 204, description = "It is sealed")))]
async fn seal(State(app): State<AppState>, Caller(ctx): Caller) -> Answer<StatusCode> {
    app.cms().keyrings().seal_up(&ctx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Unseals the installation with the seal's own key. Answered to this machine only.
#[utoipa::path(post, path = "/system/unseal", tag = "system", security(()),
    responses((status = 204, description = "It is not sealed any more")))]
async fn unseal(State(app): State<AppState>, Operator(ctx): Operator) -> Answer<StatusCode> {
    app.cms().keyrings().unseal(&ctx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the installation a new root key, and wraps every keyring with it.
#[utoipa::path(post, path = "/system/root-key/rotate", tag = "system",
    responses((status = 200, description = "The new root key's version", body = RotatedRootKey)))]
async fn rotate_root(State(app): State<AppState>, Caller(ctx): Caller) -> Answer<Json<RotatedRootKey>> {
    Ok(Json(app.cms().keyrings().rotate_root(&ctx, &|_, _| {}).await?))
}

/// Gives a project a new data key, seals everything anew that older ones sealed, and drops those. What is
/// left if the answer does not come in time is done in the background.
#[utoipa::path(post, path = "/projects/{project}/data-key/rotate", tag = "system",
    responses((status = 200, description = "The new data key's version", body = RotatedProjectKey)))]
async fn rotate_project(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
) -> Answer<Json<RotatedProjectKey>> {
    Ok(Json(app.cms().keyrings().rotate_project(&ctx, &project, &|_| {}).await?))
}

/// Tells how many values each version of a project's data key has sealed.
#[utoipa::path(get, path = "/projects/{project}/data-key", tag = "system",
    responses((status = 200, description = "The data key's versions", body = ProjectKeyState)))]
async fn project_key(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
) -> Answer<Json<ProjectKeyState>> {
    Ok(Json(app.cms().keyrings().project_state(&ctx, &project).await?))
}
