// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From hyper's request to the router: notes the peer, and refuses heads that two readers could
//! understand differently.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Request, Response, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::Service;

use super::guard::{Serving, Watch};
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

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let serving = self.watch.begin();
        if self.watch.is_ambiguous() || !has_one_host(&request) {
            let answer = refused(request.uri().path());
            return Box::pin(async move {
                drop(serving);
                Ok(answer)
            });
        }
        let read = self.watch.join();
        let mut request = request.map(|body| Watched { body, _read: read });
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let answering = self.router.clone().call(request);
        Box::pin(async move {
            let answer = answering.await;
            drop(serving);
            answer
        })
    }
}

/// A request's body. As long as somebody has it, what comes is its rest and not yet the next head,
/// even if the answer has gone out already.
#[derive(Debug)]
struct Watched {
    body: Incoming,
    _read: Serving,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
