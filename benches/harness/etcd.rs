// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client of etcd with the two calls that are measured: put, and watch. gRPC is HTTP/2 with framed
//! messages, and these messages have two or three fields, so they are written here by hand: a client
//! library would cost more than what it talks to.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::Result;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A connection, shared by as many callers as like.
#[derive(Debug, Clone)]
pub struct Etcd {
    sender: SendRequest<Body>,
    address: SocketAddr,
}

/// A watch: what has come and is not read yet.
#[derive(Debug)]
pub struct Watch {
    answer: Incoming,
    buffer: Vec<u8>,
}

impl Etcd {
    /// Connects.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    /// Puts a value, durably.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<()> {
        let message = [field(1, key.as_bytes()), field(2, value)].concat();
        let body = Full::new(framed(&message)).boxed_unsync();
        let answer = self.call("/etcdserverpb.KV/Put", body).await?.into_body().collect().await?;
        let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status"));
        match status.map(|status| status.as_bytes()) {
            Some(b"0") => Ok(()),
            other => Err(format!("etcd refuses to put: {other:?}").into()),
        }
    }

    /// Watches a key; returns once the watch is in place.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn watch(&self, key: &str) -> Result<Watch> {
        let create = field(1, &field(1, key.as_bytes()));
        let first = futures_util::stream::iter([Ok(Frame::data(framed(&create)))]);
        // The request must stay open for as long as the watch is wanted.
        let open = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        let answer =
            self.call("/etcdserverpb.Watch/Watch", BodyExt::boxed_unsync(StreamBody::new(open))).await?;
        let mut watch = Watch { answer: answer.into_body(), buffer: Vec::new() };
        watch.message().await?;
        Ok(watch)
    }

    async fn call(&self, path: &str, body: Body) -> Result<Response<Incoming>> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)?;
        let mut sender = self.sender.clone();
        sender.ready().await?;
        Ok(sender.send_request(request).await?)
    }
}

impl Watch {
    /// Waits for the next message.
    ///
    /// # Errors
    /// When the watch has ended.
    pub async fn message(&mut self) -> Result<()> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<5>() {
                let [_, size @ ..] = *head;
                let whole = 5 + usize::try_from(u32::from_be_bytes(size))?;
                if self.buffer.len() >= whole {
                    self.buffer.drain(..whole);
                    return Ok(());
                }
            }
            let frame = self.answer.frame().await.ok_or("the watch has ended")??;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}

/// A field of bytes: its number with the wire type 2, its length, itself.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// A message of gRPC: not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}
