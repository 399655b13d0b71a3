// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From hyper's request to the router: notes the peer, and refuses heads that two readers could
//! understand differently.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tower::Service;

use super::guard::Watch;
use crate::http::malformed_head;

/// Serves one connection's requests.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) router: Router,
    pub(super) peer: SocketAddr,
    pub(super) watch: Arc<Watch>,
}

impl hyper::service::Service<Request<Incoming>> for Wire {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let serving = self.watch.begin();
        if self.watch.is_ambiguous() || !has_one_host(&request) {
            let answer = refused(request.uri().path());
            return Box::pin(async move {
                drop(serving);
                Ok(answer)
            });
        }
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let answering = self.router.clone().call(request);
        Box::pin(async move {
            let answer = answering.await;
            drop(serving);
            answer
        })
    }
}

/// HTTP/1.1 demands exactly one `Host`; more than one is never right.
fn has_one_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().take(2).count();
    hosts == 1 || (hosts == 0 && request.version() != Version::HTTP_11)
}

/// Answers 400 and closes, before the router: whatever follows on this connection is not trusted.
fn refused(path: &str) -> Response<Body> {
    let mut response = malformed_head(path);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
