// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description of the API, and a page to browse it that loads nothing from elsewhere.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cms_core::Error;
use utoipa::openapi::Server;
use utoipa_swagger_ui::Config;

use crate::http::problem::{Answer, Problem};
use crate::http::reply::json;
use crate::http::routes::{
    self,
    table::{Described, Table},
};
use crate::http::state::AppState;

/// The page sets styles on its elements; everything else comes from the server itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The page. Its scripts are files, so that the policy need not allow any in the page itself.
const PAGE: &str = include_str!("docs.html");
/// What starts the page.
const START: &str = include_str!("docs.js");

/// The description that is served, written when it is first asked for.
#[derive(Debug)]
pub(crate) struct Description {
    described: Vec<Described>,
    text: OnceLock<Bytes>,
}

impl Description {
    /// The description of these routes.
    pub(crate) fn new(described: Vec<Described>) -> Self {
        Self { described, text: OnceLock::new() }
    }

    /// The text for a router under a prefix.
    fn under(&self, prefix: &str) -> Bytes {
        if prefix.is_empty() {
            return self.text.get_or_init(|| self.written(None)).clone();
        }
        self.written(Some(vec![Server::new(prefix)]))
    }

    fn written(&self, servers: Option<Vec<Server>>) -> Bytes {
        let mut api = routes::description(&self.described);
        api.servers = servers;
        api.to_json().unwrap_or_default().into()
    }
}

/// The routes of the description and its page.
pub(crate) fn router(with_page: bool) -> Table {
    let router = Table::new().route("/api/v1/openapi.json", get(description));
    if !with_page {
        return router;
    }
    router
        .route("/api/v1/docs", get(to_page))
        .route("/api/v1/docs/", get(page))
        .route("/api/v1/docs/{*file}", get(file))
}

/// Answers the OpenAPI description, for the prefix that the host has put the router under.
async fn description(State(app): State<AppState>, OriginalUri(uri): OriginalUri) -> Response {
    let prefix = uri.path().strip_suffix("/api/v1/openapi.json").unwrap_or_default();
    json(app.description().under(prefix))
}

async fn to_page() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, "docs/")]).into_response()
}

async fn page() -> Answer<Response> {
    asset("index.html")
}

async fn file(Path(file): Path<String>) -> Answer<Response> {
    asset(&file)
}

fn asset(path: &str) -> Answer<Response> {
    match path {
        "index.html" => served("text/html; charset=utf-8", PAGE),
        "start.js" => served("text/javascript; charset=utf-8", START),
        path => match utoipa_swagger_ui::serve(path, Arc::new(Config::from("../openapi.json"))) {
            Ok(Some(file)) => served(&file.content_type, file.bytes.into_owned()),
            Ok(None) => Err(Error::not_found("this path").into()),
            Err(error) => Err(Problem::from(Error::internal(error.to_string()))),
        },
    }
}

fn served(media_type: &str, body: impl Into<Body>) -> Answer<Response> {
    let media_type = HeaderValue::from_str(media_type).map_err(Error::internal)?;
    let headers: [(HeaderName, HeaderValue); 3] = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, body.into()).into_response())
}
