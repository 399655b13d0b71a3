// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP surface as a mountable router: it translates a request, calls a service of `Cms` and
//! translates the answer back. It holds no rule of its own.

mod address;
mod extract;
mod middleware;
mod options;
mod problem;
mod routes;
mod state;

use axum::Router;
use axum::http::StatusCode;

pub use options::Options;
pub use problem::{ProblemDetails, ProblemPlace, TYPE_PREFIX};

use middleware::front::FrontLayer;
use problem::Problem;
use state::AppState;

/// Builds the router. It can be nested under any prefix of a host's router with any state.
pub fn router<S>(options: Options) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let state = AppState::new(options);
    routes::table()
        .split_for_parts()
        .0
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state.clone())
        .layer(FrontLayer(state))
}

async fn method_not_allowed() -> Problem {
    let detail = "this path does not answer that method; the header `allow` lists those it does";
    Problem::http(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod tests;
