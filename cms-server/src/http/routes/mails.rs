// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails to people of a project: what was sent, waits or was given up.

use axum::extract::State;
use cms_core::api::PageQuery;
use cms_core::api::mails::MailDelivery;
use cms_core::api::page::Page;
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Segments};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of mails.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(list))).routes(v1(routes!(resend)))
}

/// Lists what was sent to people of a project, waits or was given up, newest first.
#[utoipa::path(get, path = "/projects/{project}/mails", tag = "mails", params(PageQuery),
    responses((status = 200, description = "A page of mails", body = Page<MailDelivery>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<MailDelivery>>> {
    Ok(Json(app.cms().mails().list(&ctx, &project, &page).await?))
}

/// Sends a mail again.
#[utoipa::path(post, path = "/projects/{project}/mails/{id}/resend", tag = "mails",
    responses((status = 200, description = "The mail", body = MailDelivery)))]
async fn resend(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
) -> Answer<Json<MailDelivery>> {
    Ok(Json(app.cms().mails().resend(&ctx, &project, &id).await?))
}
