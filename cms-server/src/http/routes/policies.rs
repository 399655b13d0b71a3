// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checking and testing policies without writing them.

use axum::extract::State;
use cms_core::api::documents::{PolicyTestReport, PolicyValidation, TestPolicies, ValidatePolicy};
use cms_core::ids::ProjectId;

use crate::http::caller::Caller;
use crate::http::extract::{Json, RawBody, Segments};
use crate::http::problem::Answer;
use crate::http::routes::table::{Table, routes, v1};
use crate::http::state::AppState;

/// The routes of policy checks.
pub(crate) fn router() -> Table {
    Table::new().routes(v1(routes!(validate))).routes(v1(routes!(test)))
}

/// Checks a policy without writing it.
#[utoipa::path(post, path = "/projects/{project}/policies/-/validate", tag = "documents", request_body = ValidatePolicy,
    responses((status = 200, description = "What was found", body = PolicyValidation)))]
async fn validate(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    body: RawBody,
) -> Answer<Json<PolicyValidation>> {
    Ok(Json(app.cms().documents().validate(&ctx, &project, body.json()?).await?))
}

/// Runs the project's Rego tests, with candidate documents in place.
#[utoipa::path(post, path = "/projects/{project}/policies/-/test", tag = "documents", request_body = Option<TestPolicies>,
    responses((status = 200, description = "Each test, and the coverage", body = PolicyTestReport)))]
async fn test(
    State(app): State<AppState>,
    Caller(ctx): Caller,
    Segments((project,)): Segments<(ProjectId,)>,
    body: RawBody,
) -> Answer<Json<PolicyTestReport>> {
    let test: TestPolicies = body.optional_json()?;
    Ok(Json(app.cms().documents().test(&ctx, &project, test).await?))
}
