// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests with every right there is: whatever path, headers and body say, the server does not fail,
//! and it answers errors in their one form.
//!
//! An input reads like a request: `METHOD /path?query`, lines of headers, an empty line, the body.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Method, Request, StatusCode, Uri};

use crate::installation::{self, Answer, Installation};

pub(crate) fn target(data: &[u8]) {
    let (head, body) = split(data, b"\n\n");
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let Some((method, path)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    // To wait for something is right, but takes its time.
    if path.contains("wait") || head.to_ascii_lowercase().contains("prefer") || path.contains("/login") {
        return;
    }
    installation::with(|installation| {
        let path = path.replace("{key}", &installation.key);
        let Some(request) = request(installation, method, &path, lines, body) else { return };
        let answer = installation.ask(request);
        // What a request may end in besides success and refusal: not implemented for this kind, or full.
        let failed = answer.status.is_server_error() && answer.status != StatusCode::SERVICE_UNAVAILABLE;
        assert!(!failed, "{method} {path}: {}", shown(&answer));
        if answer.status.is_client_error() && path.starts_with("/api/v1/") && method != "HEAD" {
            assert_problem(&answer);
        }
    });
}

fn request<'a>(
    installation: &Installation,
    method: &str,
    path: &str,
    headers: impl Iterator<Item = &'a str>,
    body: &[u8],
) -> Option<Request<Body>> {
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).ok()?)
        .uri(path.parse::<Uri>().ok().filter(|uri| uri.path().starts_with('/'))?)
        .body(Body::from(body.to_vec()))
        .ok()?;
    let kept = request.headers_mut();
    kept.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let root = HeaderValue::from_str(&format!("Bearer {}", installation.root)).ok()?;
    kept.insert("authorization", root);
    for (name, value) in headers.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        kept.insert(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(request)
}

fn assert_problem(answer: &Answer) {
    let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    assert_eq!(kind, Some(b"application/problem+json".as_slice()), "{}", shown(answer));
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
    for field in ["type", "title", "status", "code", "request_id"] {
        assert!(problem.get(field).is_some(), "no `{field}`: {problem}");
    }
}

fn split<'a>(data: &'a [u8], by: &[u8]) -> (&'a [u8], &'a [u8]) {
    match data.windows(by.len()).position(|window| window == by) {
        Some(at) => (&data[..at], &data[at + by.len()..]),
        None => (data, b""),
    }
}

fn shown(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}
