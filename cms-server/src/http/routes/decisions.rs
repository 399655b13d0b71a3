// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions: the busiest route. The body goes to the engine as it came.

use axum::extract::State;
use cms_core::api::decisions::{Decide, DecideBatch, Decision, DecisionBatch};
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, JsonText, LargeJsonText, Segments};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of decisions.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(decide))).routes(v1(routes!(decide_batch)))
}

/// Asks one rule one question.
#[utoipa::path(post, path = "/projects/{project}/decisions", tag = "decisions", request_body = Decide<'static>,
    responses((status = 200, description = "The decision", body = Decision)))]
async fn decide(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    body: JsonText,
) -> Answer<Json<Decision>> {
    let ask: Decide<'_> = body.parse_object()?;
    Ok(Json(app.cms().decisions().decide(&ctx, &project, &ask).await?))
}

/// Asks one rule many questions, all of one release.
#[utoipa::path(post, path = "/projects/{project}/decisions/-/batch", tag = "decisions", request_body = DecideBatch<'static>,
    responses((status = 200, description = "The decisions, in order", body = DecisionBatch)))]
async fn decide_batch(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    body: LargeJsonText,
) -> Answer<Json<DecisionBatch>> {
    let ask: DecideBatch<'_> = body.parse_object()?;
    Ok(Json(app.cms().decisions().decide_batch(&ctx, &project, &ask).await?))
}
