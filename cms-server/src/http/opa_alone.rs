// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's surface of one environment at the root of a listener of its own, for clients that take only a
//! host and a port.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use cms_core::ids::{EnvironmentId, ProjectId};
use tower::ServiceExt;

/// Marks requests that came over the listener of their one environment: that it exists is no secret
/// there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alone;

/// Puts the surface of one environment at the root. What comes in is served by `whole`, the router of
/// the server, so that authentication, limits, audit and metrics are the same.
pub fn opa_alone(whole: Router, project: &ProjectId, environment: &EnvironmentId) -> Router {
    let prefix: Arc<str> = format!("/opa/{project}/{environment}").into();
    Router::new().fallback(async move |mut request: Request| {
        if let Some(uri) = moved(request.uri(), &prefix) {
            *request.uri_mut() = uri;
        }
        request.extensions_mut().insert(Alone);
        whole.oneshot(request).await
    })
}

/// The same request below the surface's prefix. Metrics are the server's.
fn moved(uri: &Uri, prefix: &str) -> Option<Uri> {
    if uri.path() == "/metrics" {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    let rest = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{prefix}{rest}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_below_the_prefix_and_nothing_leads_out() {
        let to = |uri: &str| moved(&uri.parse().unwrap(), "/opa/p/e").map(|uri| uri.to_string());
        assert_eq!(to("/v1/data/a?pretty").as_deref(), Some("/opa/p/e/v1/data/a?pretty"));
        assert_eq!(to("/").as_deref(), Some("/opa/p/e/"));
        assert_eq!(to("http://opa.example/health").as_deref(), Some("http://opa.example/opa/p/e/health"));
        assert_eq!(to("/../../api/v1/projects").as_deref(), Some("/opa/p/e/../../api/v1/projects"));
        assert_eq!(to("*").as_deref(), Some("/opa/p/e*"));
        assert_eq!(to("/metrics"), None);
    }
}
