// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `Idempotency-Key`: a request that changes something may be sent again, and gets its first answer.
//! It runs to its end even if the client goes away, so that what was done and what is kept agree.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use cms_core::Error;
use cms_core::idempotency::{Begun, Fingerprint, Once, StoredAnswer};
use http_body_util::BodyExt;
use tower::Service;

use super::front::RequestInfo;
use crate::http::caller::authenticate;
use crate::http::extract::collect;
use crate::http::problem::Problem;
use crate::http::state::AppState;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The headers that belong to an answer itself.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// Whether a route keeps first answers: it changes something, and its caller is known. What only
/// reads is simply done again; a reveal must be, so that every access is on the trail. So is a rotation
/// of keys, which takes several commits and may be done twice.
pub(crate) fn takes_key(method: &Method, route: &str) -> bool {
    const READS: [&str; 7] =
        ["/data-key/", "/decisions", "/-/reveal/", "/-/validate", "/-/test", "/auth/", "/system/"];
    method == Method::POST && !route.starts_with("/opa") && !READS.iter().any(|part| route.contains(part))
}

/// Whether a request asks for its first answer.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(IDEMPOTENCY_KEY)
}

/// Runs a request once for its key.
pub(crate) async fn once(state: AppState, info: RequestInfo, route: Route, request: Request) -> Response {
    match begin(&state, &info, request).await {
        Err(problem) => problem.into_response(),
        Ok(Turn::Unknown(request)) => run(route, request).await,
        Ok(Turn::Again(answer)) => replay(answer),
        Ok(Turn::First(once, mut request)) => {
            request.extensions_mut().insert(RequestInfo { once: Some(once.clone()), ..info });
            let task = tokio::spawn(async move {
                let response = run(route, request).await;
                keep(&state, &once, response).await
            });
            task.await
                .unwrap_or_else(|_| Problem::from(Error::internal("a handler panicked")).into_response())
        }
    }
}

enum Turn {
    First(Arc<Once>, Request),
    Again(StoredAnswer),
    /// The caller is nobody: the handler will say so.
    Unknown(Request),
}

async fn begin(state: &AppState, info: &RequestInfo, request: Request) -> Result<Turn, Problem> {
    let Ok(principal) = authenticate(state, request.headers(), info).await else {
        return Ok(Turn::Unknown(request));
    };
    let (parts, body) = request.into_parts();
    let options = state.options();
    let bytes = collect(body, options.large_body_bytes, options.body_idle).await?;
    let key = parts.headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let fingerprint = Fingerprint::of(&[parts.method.as_str().as_bytes(), path.as_bytes(), &bytes]);
    let begun = state.cms().idempotency().begin(&info.context(principal), key, &fingerprint).await?;
    Ok(match begun {
        Begun::Again(answer) => Turn::Again(answer),
        Begun::First(once) => Turn::First(once, Request::from_parts(parts, Body::from(bytes))),
    })
}

async fn run(mut route: Route, request: Request) -> Response {
    match route.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Keeps what was done; forgets what was not. The answer leaves either way.
async fn keep(state: &AppState, once: &Once, response: Response) -> Response {
    let idempotency = state.cms().idempotency();
    if !response.status().is_success() {
        if let Err(error) = idempotency.abandon(once).await {
            tracing::warn!(%error, "an idempotency key is not released");
        }
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if let Some(answer) =
        StoredAnswer::new(parts.status.as_u16(), kept_headers(&parts.headers), bytes.clone())
        && let Err(error) = idempotency.finish(once, answer).await
    {
        tracing::warn!(%error, "the answer under an idempotency key is not kept");
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = KEPT.iter().filter_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    kept.collect()
}

fn replay(answer: StoredAnswer) -> Response {
    let body: Bytes = answer.body;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_keep_their_answers() {
        for route in [
            "/api/v1/projects",
            "/api/v1/projects/{project}/keys",
            "/api/v1/projects/{project}/secrets/-/rotate/{*path}",
        ] {
            assert!(takes_key(&Method::POST, route), "{route}");
            assert!(!takes_key(&Method::PUT, route), "{route}");
        }
        for route in [
            "/api/v1/auth/login",
            "/api/v1/projects/{project}/decisions",
            "/api/v1/projects/{project}/secrets/-/reveal/{*path}",
            "/opa/{project}/{environment}/v1/data/{*path}",
        ] {
            assert!(!takes_key(&Method::POST, route), "{route}");
        }
    }
}
