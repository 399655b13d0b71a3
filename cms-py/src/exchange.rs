// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One request to the mounted HTTP surface, while it lasts: its body goes in part by part, its answer comes out part
//! by part. Nobody is asked for more than the other side has taken. `cms-py/python/cms_py/asgi.py` drives it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cms_core::Error;
use cms_server::InProcess;
use cms_server::in_process::Parts;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::{Mutex, mpsc};

use crate::errors::Failure;
use crate::running::{IntoObject, Outcome, run};

/// How many parts of a body wait for the router.
const WAITING_PARTS: usize = 4;

/// The body of a request on its way to the router.
type Incoming = std::pin::Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A request that is being answered.
#[pyclass(frozen, module = "cms_py._native")]
pub(crate) struct Exchange {
    /// Where the rest of the body goes; gone once it is complete.
    body: std::sync::Mutex<Option<mpsc::Sender<Bytes>>>,
    waiting: Arc<Mutex<State>>,
}

enum State {
    Asked(Box<(InProcess, Request<Incoming>, Option<SocketAddr>)>),
    Answered(Parts),
}

/// The head of a request, as ASGI has it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Head {
    method: String,
    target: String,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    peer: Option<(String, u16)>,
}

#[pymethods]
impl Exchange {
    /// Hands over a part of the request's body; without one, the body is complete. False: nobody reads it any more.
    #[pyo3(signature = (part=None))]
    fn feed(&self, py: Python<'_>, part: Option<Vec<u8>>) -> PyResult<Py<PyAny>> {
        let sender = self.body.lock().ok().and_then(|mut body| match part {
            Some(_) => body.clone(),
            None => body.take(),
        });
        run(py, false, async move {
            match (sender, part) {
                (Some(sender), Some(part)) => Ok(sender.send(part.into()).await.is_ok()),
                _ => Ok(false),
            }
        })
    }

    /// The status, the headers and what is there of the body, and whether more may come.
    fn answer(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let waiting = self.waiting.clone();
        run(py, false, async move { begin(&mut *waiting.lock().await).await })
    }

    /// What comes next of the answer's body, and whether more may come.
    fn more(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let waiting = self.waiting.clone();
        run(py, false, async move {
            let mut waiting = waiting.lock().await;
            let State::Answered(parts) = &mut *waiting else { return Ok(Body::default()) };
            let Some(first) = parts.next().await else { return Ok(Body::default()) };
            Ok(Body::ready(first, parts))
        })
    }
}

impl Exchange {
    /// Begins a request; with `body`, that is all of its body.
    ///
    /// # Errors
    /// `Invalid` for a head that no request can have.
    pub(crate) fn begin(http: InProcess, head: Head, body: Option<Vec<u8>>) -> Outcome<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_PARTS);
        let (sender, incoming): (_, Incoming) = match body {
            Some(body) if body.is_empty() => (None, Box::pin(stream::empty())),
            Some(body) => (None, Box::pin(stream::iter([Bytes::from(body)]))),
            None => (Some(sender), Box::pin(received(receiver))),
        };
        let peer = head.peer.as_ref().and_then(|(host, port)| {
            host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, *port))
        });
        let asked = State::Asked(Box::new((http, request(head, incoming)?, peer)));
        Ok(Self { body: std::sync::Mutex::new(sender), waiting: Arc::new(Mutex::new(asked)) })
    }
}

fn received(receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

fn request(head: Head, body: Incoming) -> Outcome<Request<Incoming>> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::from(Error::invalid(format!("the head of the request is malformed: {error}")))
    };
    let mut request = Request::builder().method(&*head.method).uri(head.target).body(body);
    let built = request.as_mut().map_err(|error| wrong(error))?;
    for (name, value) in head.headers {
        let name = HeaderName::from_bytes(&name).map_err(|error| wrong(&error))?;
        let value = HeaderValue::from_bytes(&value).map_err(|error| wrong(&error))?;
        built.headers_mut().append(name, value);
    }
    request.map_err(|error| wrong(&error))
}

async fn begin(state: &mut State) -> Outcome<Answered> {
    // Left behind while the router works: whoever asks twice is told that there is nothing more.
    let nothing = State::Answered(Box::pin(stream::empty()));
    let State::Asked(asked) = std::mem::replace(state, nothing) else { return Err(Failure::Closed) };
    let (http, request, peer) = *asked;
    let (head, mut parts) = http.call(request, peer).await.into_parts();
    let body = Body::ready(Bytes::new(), &mut parts);
    *state = State::Answered(parts);
    let headers = head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Answered { status: head.status, headers, body })
}

/// What is there of an answer's body.
#[derive(Default)]
struct Body {
    bytes: Bytes,
    is_more: bool,
}

impl Body {
    /// Takes the first part and whatever else is there without waiting for it.
    fn ready(first: Bytes, parts: &mut Parts) -> Self {
        let mut all = vec![first];
        let is_more = loop {
            match parts.next().now_or_never() {
                Some(Some(part)) => all.push(part),
                Some(None) => break false,
                None => break true,
            }
        };
        all.retain(|part| !part.is_empty());
        let bytes = match all.as_slice() {
            [only] => only.clone(),
            parts => parts
                .iter()
                .fold(BytesMut::new(), |mut all, part| {
                    all.extend_from_slice(part);
                    all
                })
                .freeze(),
        };
        Self { bytes, is_more }
    }
}

/// The beginning of an answer.
struct Answered {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl IntoObject for Answered {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let pair = |(name, value): &(HeaderName, HeaderValue)| {
            (PyBytes::new(py, name.as_str().as_bytes()), PyBytes::new(py, value.as_bytes()))
        };
        let headers: Vec<_> = self.headers.iter().map(pair).collect();
        let body = PyBytes::new(py, &self.body.bytes);
        Ok((self.status.as_u16(), headers, body, self.body.is_more).into_pyobject(py)?.into_any().unbind())
    }
}

impl IntoObject for Body {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok((PyBytes::new(py, &self.bytes), self.is_more).into_pyobject(py)?.into_any().unbind())
    }
}
