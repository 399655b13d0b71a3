// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's REST API on an environment's active release, in OPA's own shapes
//! (<https://www.openpolicyagent.org/docs/rest-api>): 200 without `result` for what is undefined,
//! unknown parameters ignored, a body with `GET` ignored. Errors take OPA's form in the front layer.

mod ask;
mod batch;
mod data;
mod policies;
mod query;
mod standing;
mod write;

use axum::routing::{MethodRouter, any, get, post};

use crate::http::routes::missing::missing;
use crate::http::routes::table::{Table, routes};
use crate::http::state::AppState;

/// The routes of OPA's API.
pub(crate) fn router() -> Table {
    Table::new()
        .routes(routes!(data::read, data::decide, write::put_data, write::patch_data, write::delete_data))
        .routes(routes!(data::v0))
        .routes(routes!(data::main))
        .routes(routes!(batch::decide))
        .routes(routes!(policies::list))
        .routes(routes!(policies::read, write::put_policy, write::delete_policy))
        .routes(routes!(query::read, query::ask))
        .routes(routes!(query::compile))
        .routes(routes!(standing::status))
        .routes(routes!(standing::config))
        .routes(routes!(standing::health))
        // The same handlers, for the document at the root and with the slash that clients append.
        .route("/opa/{project}/{environment}/v1/data", whole())
        .route("/opa/{project}/{environment}/v1/data/", whole())
        .route("/opa/{project}/{environment}/v1/policies/", get(policies::list))
        .route("/opa/{project}/{environment}/v1/compile/{*path}", post(query::compile))
        .route("/opa", any(missing))
        .route("/opa/{project}", any(missing))
        .route("/opa/{project}/{environment}", any(missing))
        .route("/opa/{project}/{environment}/{*path}", any(missing))
}

/// All data. It is emptied by `PUT`, not by `DELETE`, as in OPA.
fn whole() -> MethodRouter<AppState> {
    get(data::read).post(data::decide).put(write::put_data).patch(write::patch_data)
}
