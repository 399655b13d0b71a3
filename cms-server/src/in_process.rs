// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The router as a function, for whoever serves HTTP in the same process by other means than a socket of ours:
//! Python mounts it as an ASGI application.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use futures_util::{Stream, StreamExt};
use hyper::{Request, Response};
use tower::ServiceExt;

/// The parts of a body, one after the other; it ends early where the exchange breaks off.
pub type Parts = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A router that is called. Cloning shares it.
#[derive(Debug, Clone)]
pub struct InProcess(Router);

impl InProcess {
    /// Calls this router.
    pub fn new(router: Router) -> Self {
        Self(router)
    }

    /// Answers a request. `peer` is who sent it, as far as it is known; without it, limits and address lists of
    /// keys see no address.
    pub async fn call<B>(&self, request: Request<B>, peer: Option<SocketAddr>) -> Response<Parts>
    where
        B: Stream<Item = Bytes> + Send + 'static,
    {
        let mut request = request.map(|parts| Body::from_stream(parts.map(Ok::<_, Infallible>)));
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let Ok(response) = self.0.clone().oneshot(request).await;
        response.map(|body| {
            let parts = body.into_data_stream().take_while(|part| std::future::ready(part.is_ok()));
            Box::pin(parts.filter_map(|part| std::future::ready(part.ok()))) as Parts
        })
    }
}
