// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Webhooks of a project, and what was sent to them. A secret leaves in one answer only.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cms_core::api::PageQuery;
use cms_core::api::page::Page;
use cms_core::api::webhooks::{CreateWebhook, CreatedWebhook, Delivery, Webhook};
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, Params, Segments};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of webhooks.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(v1(routes!(create, list)))
        .routes(v1(routes!(remove)))
        .routes(v1(routes!(deliveries)))
        .routes(v1(routes!(resend)))
}

/// Adds a webhook. Messages are signed in the form of Standard Webhooks.
#[utoipa::path(post, path = "/projects/{project}/webhooks", tag = "webhooks", request_body = CreateWebhook,
    responses((status = 201, description = "The webhook with its secret, shown this once", body = CreatedWebhook)))]
async fn create(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Json(create): Json<CreateWebhook>,
) -> Answer<impl IntoResponse> {
    Ok((StatusCode::CREATED, Json(app.cms().webhooks().create(&ctx, &project, create).await?)))
}

/// Lists webhooks, without their secrets.
#[utoipa::path(get, path = "/projects/{project}/webhooks", tag = "webhooks", params(PageQuery),
    responses((status = 200, description = "A page of webhooks", body = Page<Webhook>)))]
async fn list(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Webhook>>> {
    Ok(Json(app.cms().webhooks().list(&ctx, &project, &page).await?))
}

/// Removes a webhook with everything that waits for it.
#[utoipa::path(delete, path = "/projects/{project}/webhooks/{id}", tag = "webhooks",
    responses((status = 204, description = "The webhook is gone")))]
async fn remove(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
) -> Answer<StatusCode> {
    app.cms().webhooks().delete(&ctx, &project, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what was sent to a webhook, waits for it or was given up, newest first.
#[utoipa::path(get, path = "/projects/{project}/webhooks/{id}/deliveries", tag = "webhooks", params(PageQuery),
    responses((status = 200, description = "A page of deliveries", body = Page<Delivery>)))]
async fn deliveries(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id)): Segments<(ProjectId, String)>,
    Params(page): Params<PageQuery>,
) -> Answer<Json<Page<Delivery>>> {
    Ok(Json(app.cms().webhooks().deliveries(&ctx, &project, &id, &page).await?))
}

/// Sends something to a webhook again.
#[utoipa::path(post, path = "/projects/{project}/webhooks/{id}/deliveries/{event}/resend", tag = "webhooks",
    responses((status = 200, description = "The delivery", body = Delivery)))]
async fn resend(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project, id, event)): Segments<(ProjectId, String, String)>,
) -> Answer<Json<Delivery>> {
    Ok(Json(app.cms().webhooks().resend(&ctx, &project, &id, &event).await?))
}
