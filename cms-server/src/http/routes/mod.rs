// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every route: the one list. A new resource is one file here and one line in [`table`].

mod missing;

use utoipa_axum::router::OpenApiRouter;

use super::state::AppState;

/// The route table, with its description.
pub(crate) fn table() -> OpenApiRouter<AppState> {
    let api = OpenApiRouter::new().merge(missing::router());
    OpenApiRouter::new().nest("/api/v1", api)
}
