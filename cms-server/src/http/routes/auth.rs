// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logging in and out, tokens, and who the caller is.

use axum::extract::State;
use axum::http::StatusCode;
use cms_core::api::auth::{Jwks, Login, Me, Refresh, TokenPair};

use crate::http::caller::{Caller, Stranger};
use crate::http::extract::Json;
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes under `/auth`.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(login)))
        .routes(v1(routes!(refresh)))
        .routes(v1(routes!(logout)))
        .routes(v1(routes!(me)))
        .routes(v1(routes!(jwks)))
}

/// Logs a user in.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = Login, security(()),
    responses((status = 200, description = "The tokens of a new session", body = TokenPair)))]
async fn login(
    State(app): State<AppState>,
    Stranger(ctx): Stranger,
    Json(login): Json<Login>,
) -> Answer<Json<TokenPair>> {
    Ok(Json(app.cms().auth().sessions().login(&ctx, login).await?))
}

/// Exchanges a refresh token for the next pair of tokens. Each works once.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = Refresh, security(()),
    responses((status = 200, description = "The next tokens of the session", body = TokenPair)))]
async fn refresh(
    State(app): State<AppState>,
    Stranger(ctx): Stranger,
    Json(refresh): Json<Refresh>,
) -> Answer<Json<TokenPair>> {
    Ok(Json(app.cms().auth().sessions().refresh(&ctx, refresh).await?))
}

/// Ends the session of the access token.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 204, description = "The session has ended")))]
async fn logout(State(app): State<AppState>, Caller(ctx): Caller) -> Answer<StatusCode> {
    app.cms().auth().sessions().logout(&ctx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells who the caller is.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses((status = 200, description = "The caller", body = Me)))]
async fn me(State(app): State<AppState>, Caller(ctx): Caller) -> Answer<Json<Me>> {
    Ok(Json(app.cms().auth().me(&ctx).await?))
}

/// Lists the public keys that verify access tokens.
#[utoipa::path(get, path = "/auth/jwks", tag = "auth", security(()),
    responses((status = 200, description = "The keys", body = Jwks)))]
async fn jwks(State(app): State<AppState>, _asked: Stranger) -> Answer<Json<Jwks>> {
    Ok(Json(app.cms().auth().jwks().await?))
}
