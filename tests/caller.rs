// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client of the HTTP interface that knows nothing of the code behind it.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Somebody who calls the server: an address, and the headers that every request carries.
#[derive(Debug, Clone)]
pub struct Caller {
    http: reqwest::Client,
    url: String,
    headers: Vec<(String, String)>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// What was asked, for messages.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Caller {
    /// A caller without a credential.
    pub fn new(url: &str) -> Self {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| {
            // Another test of this process may have been faster.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        });
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .tls_backend_preconfigured(no_tls())
            .build()
            .unwrap();
        Self { http, url: url.to_owned(), headers: Vec::new() }
    }

    /// The same caller with one more header.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name.to_owned(), value.to_owned()));
        caller
    }

    /// The same address, asked with this access token, API key or root credential only.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let nobody = Self { headers: Vec::new(), ..self.clone() };
        nobody.with("authorization", &format!("Bearer {token}"))
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where a path leads: one with a leading `/` as it stands, any other under the API's prefix.
    pub fn locate(&self, path: &str) -> String {
        match path.strip_prefix('/') {
            Some(rest) => format!("{}/{rest}", self.url),
            None => format!("{}/api/v1/{path}", self.url),
        }
    }

    /// Begins a request, for what the short forms below cannot say.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, self.locate(path));
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// Sends a body of any type.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let request = self.request(method, path).header("content-type", media_type).body(body);
        reply(request, format!("{method} {path}")).await
    }

    /// Sends JSON, or nothing for `Value::Null`.
    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        if body.is_null() {
            return reply(self.request(method, path), format!("{method} {path}")).await;
        }
        self.send(method, path, "application/json", body.to_string()).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &Value::Null).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, &body).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.call("PUT", path, &body).await
    }

    /// `PUT` of a text.
    pub async fn put_text(&self, path: &str, text: &str) -> Reply {
        self.send("PUT", path, "text/plain", text.to_owned()).await
    }

    /// `PATCH` with JSON.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, &body).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, &Value::Null).await
    }

    /// Every item of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{separator}limit=200{cursor}")).await.is(200);
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

/// Sends a request and reads its answer.
///
/// # Panics
/// If there is none.
pub async fn reply(request: reqwest::RequestBuilder, asked: String) -> Reply {
    let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap_or_else(|error| panic!("{asked}: {error:?}")).to_vec();
    Reply { asked, status, headers, body }
}

impl Reply {
    /// The body as JSON, which it must be if the status is the expected one; `Null` if it is empty.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that this is a problem with this status and code; answers its body.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        let problem = self.teaches();
        assert_eq!(problem["code"], code, "{}: {problem}", self.asked);
        problem
    }

    /// Checks that a failure is in the form that clients rely on and says what happened.
    #[track_caller]
    pub fn teaches(&self) -> Value {
        let asked = &self.asked;
        assert_eq!(self.header("content-type"), "application/problem+json", "{asked}: {}", self.text());
        let problem = self.json();
        for field in ["type", "title", "detail", "instance", "request_id", "code"] {
            let text = problem[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{asked}: no `{field}` in {problem}");
        }
        assert_eq!(problem["status"], self.status, "{asked}: {problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{asked}: {problem}");
        assert_eq!(problem["type"], format!("urn:cms:problem:{}", problem["code"].as_str().unwrap()));
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            !detail.ends_with('.') && !detail.contains("src/") && !detail.contains("panicked"),
            "{asked}: {detail}"
        );
        problem
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}: no JSON: {}", self.asked, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Tests speak plain HTTP to this machine; looking for the system's certificates would cost each client
/// its start.
fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
