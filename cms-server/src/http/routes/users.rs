// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Local users.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::users::{CreateUser, PatchUser, SetPassword, User};
use cms_core::ids::UserId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Preconditions, Segments};
use crate::http::problem::Answer;
use crate::http::reply::tagged;
use crate::http::routes::describe::{IfMatch, IfNoneMatch};
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes under `/users`.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(create, list)))
        .routes(v1(routes!(read, change, remove)))
        .routes(v1(routes!(set_password)))
}

/// Adds a user.
#[utoipa::path(post, path = "/users", tag = "users", request_body = CreateUser,
    responses((status = 201, description = "The user", body = User)))]
async fn create(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Json(create): Json<CreateUser>,
) -> Answer<impl IntoResponse> {
    let user = app.cms().auth().users().create(&ctx, create).await?;
    Ok((StatusCode::CREATED, tagged(user.version, user)))
}

/// Lists users.
#[utoipa::path(get, path = "/users", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of users", body = Page<User>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<User>>> {
    Ok(Json(app.cms().auth().users().list(&ctx, &page).await?))
}

/// Reads a user.
#[utoipa::path(get, path = "/users/{user}", tag = "users", params(IfNoneMatch),
    responses((status = 200, description = "The user", body = User)))]
async fn read(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((user,)): Segments<(UserId,)>,
) -> Answer<impl IntoResponse> {
    let user = app.cms().auth().users().get(&ctx, &user).await?;
    Ok(tagged(user.version, user))
}

/// Changes a user.
#[utoipa::path(patch, path = "/users/{user}", tag = "users", params(IfMatch), request_body = PatchUser,
    responses((status = 200, description = "The user", body = User)))]
async fn change(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((user,)): Segments<(UserId,)>,
    expected: Preconditions,
    Json(patch): Json<PatchUser>,
) -> Answer<impl IntoResponse> {
    let user = app.cms().auth().users().patch(&ctx, &user, patch, expected.expected()?).await?;
    Ok(tagged(user.version, user))
}

/// Removes a user, with all sessions and memberships.
#[utoipa::path(delete, path = "/users/{user}", tag = "users", params(IfMatch),
    responses((status = 204, description = "The user is removed")))]
async fn remove(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((user,)): Segments<(UserId,)>,
    expected: Preconditions,
) -> Answer<StatusCode> {
    app.cms().auth().users().delete(&ctx, &user, expected.expected()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a password. Every session of the user ends.
#[utoipa::path(put, path = "/users/{user}/password", tag = "users", params(IfMatch), request_body = SetPassword,
    responses((status = 204, description = "The password is set")))]
async fn set_password(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((user,)): Segments<(UserId,)>,
    expected: Preconditions,
    Json(set): Json<SetPassword>,
) -> Answer<StatusCode> {
    app.cms().auth().users().set_password(&ctx, &user, set, expected.expected()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
