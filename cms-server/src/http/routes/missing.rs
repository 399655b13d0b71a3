// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What answers paths that nothing else does: a problem, and no fallback that a host's router would
//! have to share.

use axum::routing::any;

use super::super::problem::Problem;
use super::table::Table;

/// Everything below the API's prefix that no other route answers.
pub(crate) fn router() -> Table {
    Table::new()
        .route("/api/v1/{*path}", any(missing))
        .route("/api/v1", any(missing))
        .route("/api/v1/", any(missing))
}

/// Answers 404.
pub(crate) async fn missing() -> Problem {
    cms_core::Error::not_found("this path").into()
}
