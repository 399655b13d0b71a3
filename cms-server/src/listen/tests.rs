// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The listener on a real socket: framing, limits, TLS, draining.

use std::path::Path;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(tls: Option<Tls>) -> Running {
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/echo", post(|body: String| async { body }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "done"
            }),
        );
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, 100).await.unwrap();
    let address = listener.address().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(listener.serve(router, stop.clone()));
    Running { address, stop, task }
}

/// Everything that the server answers to these bytes until it closes, or for a moment.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_all(&mut stream).await
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(700), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, lead)| answer.get(at + lead.len()..at + lead.len() + 3))
        .collect()
}

#[tokio::test]
async fn plain_requests_are_answered_and_connections_kept() {
    let server = start(None).await;
    let twice =
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let answer = exchange(server.address, twice).await;
    assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
    assert!(answer.ends_with("abc"));
}

#[tokio::test]
async fn ambiguous_framing_gets_one_refusal_and_the_end() {
    let server = start(None).await;
    let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nabcde",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let answer = exchange(server.address, format!("{head}{next}").as_bytes()).await;
        assert_eq!(statuses(&answer), ["400"], "{head:?} was answered by {answer:?}");
    }
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let server = start(None).await;
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(10_000));
    assert_eq!(statuses(&exchange(server.address, many.as_bytes()).await), ["431"]);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(1024 * 1024));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close before everything is written.
    let _ = stream.write_all(large.as_bytes()).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_stopped_server_finishes_what_it_serves() {
    let server = start(None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop.cancel();
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with("done"), "{answer}");
    tokio::time::timeout(Duration::from_secs(2), server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

fn certificate(dir: &Path) -> (Tls, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (Tls::load(&cert, &key).unwrap(), made.cert.der().to_vec())
}

#[tokio::test]
async fn tls_is_spoken_and_plain_http_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (tls, der) = certificate(dir.path());
    let server = start(Some(tls)).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(der.into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");

    let plain = exchange(server.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("https://"), "{plain}");
}
