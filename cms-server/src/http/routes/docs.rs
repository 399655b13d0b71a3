// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description of the API, and a page to browse it that loads nothing from elsewhere.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cms_core::Error;
use flate2::read::GzDecoder;
use utoipa::openapi::Server;
use utoipa_swagger_ui::Config;

use crate::http::problem::Answer;
use crate::http::reply::{json, takes_gzip};
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
    served("text/html; charset=utf-8", PAGE)
}

async fn file(Path(file): Path<String>, headers: HeaderMap) -> Answer<Response> {
    match file.as_str() {
        "index.html" => page().await,
        "start.js" => served("text/javascript; charset=utf-8", START),
        file => asset(file, takes_gzip(&headers)),
    }
}

/// A file of the library, which is kept packed.
fn asset(path: &str, takes_gzip: bool) -> Answer<Response> {
    let found = utoipa_swagger_ui::serve(path, Arc::new(Config::from("../openapi.json")))
        .map_err(|error| Error::internal(error.to_string()))?;
    let Some(file) = found else { return Err(Error::not_found("this path").into()) };
    if !file.gzpipped {
        return served(&file.content_type, file.bytes.into_owned());
    }
    let mut response = if takes_gzip {
        let mut response = served(&file.content_type, file.bytes.into_owned())?;
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        let mut unpacked = Vec::new();
        GzDecoder::new(file.bytes.as_ref()).read_to_end(&mut unpacked).map_err(Error::internal)?;
        served(&file.content_type, unpacked)?
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_file_is_unpacked_for_who_does_not_take_it_packed() {
        let headers = |takes_gzip| match asset("swagger-ui.css", takes_gzip) {
            Ok(response) => response.headers().clone(),
            Err(_) => panic!("the page has a style"),
        };
        assert_eq!(headers(true)[CONTENT_ENCODING], "gzip");
        assert!(!headers(false).contains_key(CONTENT_ENCODING));
        assert_eq!(headers(false)[VARY], "accept-encoding");
        assert_eq!(headers(true)[CONTENT_TYPE], "text/css");
    }
}
