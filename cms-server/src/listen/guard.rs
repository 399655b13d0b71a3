// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connection that does not wait for ever: for the rest of a request's head, or for anything at
//! all. One timer for a connection's whole life, so that a request costs none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::head::HeadScan;

/// How a client of HTTP/2 begins.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// How long a connection is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the rest of a head whose first byte has come.
    pub(super) head: Duration,
    /// For anything at all, while nothing is being served.
    pub(super) idle: Duration,
}

/// What the connection's reader and its service tell each other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    serving: AtomicU32,
    is_ambiguous: AtomicBool,
    head: Mutex<Head>,
}

#[derive(Debug, Default)]
struct Head {
    since: Option<Instant>,
    scan: HeadScan,
    is_http2: bool,
}

impl Watch {
    /// A head is complete and its request begins; it ends when the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        let mut head = self.head.lock();
        self.is_ambiguous.store(head.scan.is_ambiguous(), Ordering::Relaxed);
        head.since = None;
        head.scan = HeadScan::default();
        Serving(self.clone())
    }

    /// The request that began last has one more part that is not over yet.
    pub(super) fn join(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        Serving(self.clone())
    }

    /// Whether the head of the request that began last can be read in two ways.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous.load(Ordering::Relaxed)
    }

    fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed) > 0
    }

    fn arrived(&self, bytes: &[u8], now: Instant, is_first: bool) {
        let mut head = self.head.lock();
        head.is_http2 |= is_first && bytes.starts_with(HTTP2_PREFACE);
        if !head.is_http2 && !self.is_serving() {
            head.since.get_or_insert(now);
            head.scan.feed(bytes);
        }
    }

    fn head_since(&self) -> Option<Instant> {
        self.head.lock().since
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Serving(Arc<Watch>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection with limited patience.
#[derive(Debug)]
pub(super) struct Guarded<I> {
    io: I,
    watch: Arc<Watch>,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    active: Instant,
    is_first: bool,
}

impl<I> Guarded<I> {
    /// Begins to watch a connection.
    pub(super) fn new(io: I, watch: Arc<Watch>, patience: Patience) -> Self {
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(now + patience.head));
        Self { io, watch, patience, timer, active: now, is_first: true }
    }

    /// When patience ends, as things stand.
    fn deadline(&self) -> Instant {
        if self.watch.is_serving() {
            return Instant::now() + self.patience.idle;
        }
        match self.watch.head_since() {
            Some(since) => since + self.patience.head,
            None if self.is_first => self.active + self.patience.head,
            None => self.active + self.patience.idle,
        }
    }

    /// Fails once patience has ended; else sees to it that the task is woken when it may have.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let deadline = self.deadline();
            if deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client sent nothing for too long",
                ));
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending => self.poll_patience(cx).map(Err),
            Poll::Ready(Ok(())) => {
                let now = Instant::now();
                let arrived = buf.filled().get(before..).unwrap_or_default();
                self.watch.arrived(arrived, now, self.is_first);
                self.active = now;
                self.is_first = false;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, data);
        self.wrote(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, data);
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<I> Guarded<I> {
    /// A client that does not take its answer is not waited for either.
    fn wrote(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Pending => self.poll_patience(cx).map(Err),
            Poll::Ready(written) => {
                self.active = Instant::now();
                Poll::Ready(written)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    async fn given_up_after(first: &[u8], serve: bool) -> Duration {
        let (mut client, server) = duplex(1024);
        let watch = Arc::new(Watch::default());
        let mut guarded = Guarded::new(server, watch.clone(), PATIENCE);
        let started = Instant::now();
        let mut buffer = [0; 256];
        if !first.is_empty() {
            client.write_all(first).await.unwrap();
            let _ = guarded.read(&mut buffer).await.unwrap();
        }
        if serve {
            drop(watch.begin());
        }
        let error = guarded.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn heads_must_come_in_time_and_idle_connections_may_stay_longer() {
        assert_eq!(given_up_after(b"", false).await.as_secs(), 10);
        assert_eq!(given_up_after(b"GET / HT", false).await.as_secs(), 10);
        assert_eq!(given_up_after(b"GET / HTTP/1.1\r\n\r\n", true).await.as_secs(), 75);
        assert_eq!(given_up_after(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false).await.as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_cut_while_a_request_is_served() {
        let (_client, server) = duplex(64);
        let watch = Arc::new(Watch::default());
        let mut guarded = Guarded::new(server, watch.clone(), PATIENCE);
        let _serving = watch.begin();
        let mut buffer = [0; 8];
        let read = tokio::time::timeout(Duration::from_secs(3600), guarded.read(&mut buffer)).await;
        assert!(read.is_err(), "the read was cut: {read:?}");
    }
}
