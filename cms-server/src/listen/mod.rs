// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The listener: accepts connections within limits, speaks TLS where it is told to, serves HTTP/1
//! and HTTP/2 to the router, and drains when it is stopped.

mod guard;
mod head;
mod places;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::tls::Tls;
use guard::{Guarded, Patience, Watch};
use places::{Place, Places};
use wire::Wire;

/// How long the rest of a request's head may take, and a TLS handshake.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may lie idle.
const IDLE_TIME: Duration = Duration::from_secs(75);
/// How long requests may go on once the server is told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How large a head may be before the parser gives up; the router's own limit is lower.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How many headers the parser takes; the router's own limit is lower.
const MAX_HEADERS: usize = 128;
/// How many requests an HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// How many streams a client may reset before they are served, until the connection is cut.
const MAX_RESETS: usize = 20;

/// A bound socket, and how it is served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    connections: usize,
}

impl Listener {
    /// Binds the address. Port 0 takes a free one.
    ///
    /// # Errors
    /// Whatever the system answers.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>, connections: usize) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls, connections })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// Whatever the system answers.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves the router until `stop`, then lets requests finish for a while.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let places = Places::new(self.connections);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        while let Some(accepted) = stop.run_until_cancelled(self.socket.accept()).await {
            while connections.try_join_next().is_some() {}
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    refused(&error).await;
                    continue;
                }
            };
            // Past the limit the connection is closed at once: a cheap and clear answer.
            let Some(place) = places.take(peer.ip().to_canonical()) else { continue };
            let connection = Connection { router: router.clone(), peer, tls: self.tls.clone() };
            connections.spawn(connection.run(stream, graceful.watcher(), place));
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not finish within {} s and were cut", DRAIN_TIME.as_secs());
        }
        connections.shutdown().await;
    }
}

/// Accepting fails for want of file descriptors, or for one broken connection: neither ends a server.
async fn refused(error: &io::Error) {
    let of_one = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !of_one {
        tracing::warn!(%error, "a connection cannot be accepted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    tls: Option<Tls>,
}

impl Connection {
    async fn run(self, stream: TcpStream, watcher: Watcher, _place: Place) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
        match self.tls.clone() {
            None => self.speak(stream, watcher).await,
            Some(tls) => match tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream, watcher).await,
                Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "the TLS handshake failed"),
                Err(_elapsed) => tracing::debug!(peer = %self.peer, "the TLS handshake took too long"),
            },
        }
    }

    async fn speak<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: I, watcher: Watcher) {
        let watch = Arc::new(Watch::default());
        let patience = Patience { head: HEAD_TIME, idle: IDLE_TIME };
        let io = TokioIo::new(Guarded::new(stream, watch.clone(), patience));
        let wire = Wire { router: self.router, peer: self.peer, watch };
        let builder = builder();
        let connection = watcher.watch(builder.serve_connection(io, wire).into_owned());
        if let Err(error) = connection.await {
            tracing::debug!(peer = %self.peer, error = &*error, "a connection ended early");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

#[cfg(test)]
mod tests;
