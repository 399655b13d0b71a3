// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's engine behind hyper: the data part of OPA's REST API, as fast as an HTTP server around that
//! engine can be. Arguments: the library, the address, the policy's file, the data's file.

use std::convert::Infallible;
use std::ffi::CString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cms_benches::Result;
use cms_benches::harness::opa_ffi::Opa;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, address, policy, data] = arguments.as_slice() else {
        return Err("usage: opa-http LIBRARY ADDRESS POLICY DATA".into());
    };
    let opa = Opa::load(Path::new(library))?;
    opa.add_data("", &std::fs::read_to_string(data)?)?;
    opa.add_policy("bench.rego", &std::fs::read_to_string(policy)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(serve(Arc::new(opa), address.parse()?)))
}

async fn serve(opa: Arc<Opa>, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let opa = Arc::clone(&opa);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| answer(Arc::clone(&opa), request));
            // A broken connection ends itself; there is nobody to tell.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Vec<Expressions<'a>>,
}

#[derive(Deserialize)]
struct Expressions<'a> {
    #[serde(borrow)]
    expressions: Vec<Expression<'a>>,
}

#[derive(Deserialize)]
struct Expression<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

async fn answer(opa: Arc<Opa>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().trim_start_matches("/v1/data/").replace('/', ".");
    let decided = match request.into_body().collect().await {
        Ok(body) => decide(&opa, &path, &body.to_bytes()),
        Err(error) => Err(error.into()),
    };
    let (status, text) = match decided {
        Ok(text) => (200, text),
        Err(error) => (500, error.to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn decide(opa: &Opa, path: &str, body: &[u8]) -> Result<String> {
    let question: Question<'_> = serde_json::from_slice(body)?;
    let envelope = opa.evaluate(&CString::new(path)?, &CString::new(question.input.get())?)?;
    let envelope: Envelope<'_> = serde_json::from_slice(&envelope)?;
    let value = envelope.result.first().and_then(|result| result.expressions.first());
    Ok(value.map_or_else(|| "{}".to_owned(), |value| format!("{{\"result\":{}}}", value.value.get())))
}
