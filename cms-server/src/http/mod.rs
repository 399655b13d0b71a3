// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP surface as a mountable router: it translates a request, calls a service of `Cms` and
//! translates the answer back. It holds no rule of its own.

mod address;
mod caller;
mod extract;
mod middleware;
mod opa_alone;
mod opa_error;
mod options;
mod problem;
mod reply;
mod routes;
mod state;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::Redirect;
use axum::routing::get;
use cms_core::Cms;

pub(crate) use caller::credential;
pub use opa_alone::opa_alone;
pub use options::Options;
pub use problem::{ProblemDetails, ProblemPlace, TYPE_PREFIX};

use middleware::front::FrontLayer;
use problem::{Form, Problem};
use state::AppState;

/// Builds the router. It can be nested under any prefix of a host's router with any state.
pub fn router<S>(cms: Cms, options: Options) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    assemble(cms, options, |router| router)
}

/// Builds the router for a server of its own: every path is answered, the root leads to the page that
/// shows the API.
pub fn standalone(cms: Cms, options: Options) -> Router {
    let docs = options.docs;
    assemble(cms, options, |router| {
        let description = || async { Redirect::temporary("api/v1/openapi.json") };
        let page = || async { Redirect::temporary("api/v1/docs/") };
        let router = router.fallback(routes::missing::missing).route("/openapi.json", get(description));
        if docs { router.route("/", get(page)).route("/docs", get(page)) } else { router }
    })
}

/// Builds the simple front door for configs alone: `GET` and `PUT /{path}`, `/health` and `/metrics`. It can
/// be nested under any prefix.
pub fn config_router<S>(cms: Cms, options: Options) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let (_, described) = routes::table(&options).split();
    finish(routes::front_door(), AppState::new(cms, options, described))
}

/// The answer to a request that was refused outside of the router, under a request id of its own.
pub(crate) fn refusal(error: cms_core::Error, request_id: &str, path: &str) -> Response<Body> {
    let problem = Problem::from(error);
    problem.log(request_id);
    problem.render(Form::Problem, request_id, path)
}

/// The answer to a head that two readers could understand differently, given before the router.
pub(crate) fn malformed_head(path: &str) -> Response<Body> {
    let detail = "the head of the request is malformed or ambiguous; send it anew on another connection";
    let request_id = middleware::request_id::RequestIds::new().of(&HeaderMap::new());
    let problem = Problem::http(StatusCode::BAD_REQUEST, "malformed_head", detail);
    let mut response = problem.render(Form::of(path), &request_id, path);
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(middleware::request_id::X_REQUEST_ID, id);
    }
    response
}

/// The description of the API, as `GET /api/v1/openapi.json` answers it.
pub fn openapi(options: &Options) -> utoipa::openapi::OpenApi {
    routes::description(&routes::table(options).split().1)
}

fn assemble<S>(
    cms: Cms,
    options: Options,
    extend: impl FnOnce(Router<AppState>) -> Router<AppState>,
) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let (table, described) = routes::table(&options).split();
    let state = AppState::new(cms, options, described);
    finish(extend(table), state)
}

/// Puts the front around the routes.
fn finish<S>(table: Router<AppState>, state: AppState) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    table.method_not_allowed_fallback(method_not_allowed).with_state(state.clone()).layer(FrontLayer(state))
}

async fn method_not_allowed() -> Problem {
    let detail = "this path does not answer that method; the header `allow` lists those it does";
    Problem::http(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod description_tests;
#[cfg(test)]
mod tests;
