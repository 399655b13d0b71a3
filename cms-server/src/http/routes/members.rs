// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The members of a project.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::projects::{Member, PutMember};
use cms_core::ids::{ProjectId, UserId};

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Preconditions, Segments};
use crate::http::problem::Answer;
use crate::http::reply::made;
use crate::http::routes::describe::IfMatch;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of members.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(list))).routes(v1(routes!(put, remove)))
}

/// Lists the members.
#[utoipa::path(get, path = "/projects/{project}/members", tag = "members", params(PageQuery),
    responses((status = 200, description = "A page of members", body = Page<Member>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Member>>> {
    Ok(Json(app.cms().members().list(&ctx, &project, &page).await?))
}

/// Gives a user a role in the project.
#[utoipa::path(put, path = "/projects/{project}/members/{user}", tag = "members", params(IfMatch), request_body = PutMember,
    responses((status = 200, description = "The member", body = Member), (status = 201, description = "The new member", body = Member)))]
async fn put(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, user)): Segments<(ProjectId, UserId)>,
    expected: Preconditions,
    Json(put): Json<PutMember>,
) -> Answer<impl IntoResponse> {
    let expected = expected.expected()?;
    let (member, created) = app.cms().members().put(&ctx, &project, &user, put, expected).await?;
    Ok((made(created), Json(member)))
}

/// Takes a user's role in the project away.
#[utoipa::path(delete, path = "/projects/{project}/members/{user}", tag = "members", params(IfMatch),
    responses((status = 204, description = "The user is no member any more")))]
async fn remove(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, user)): Segments<(ProjectId, UserId)>,
    expected: Preconditions,
) -> Answer<StatusCode> {
    app.cms().members().delete(&ctx, &project, &user, expected.expected()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
