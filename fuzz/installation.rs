// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole installation in memory, asked over HTTP without a socket: what the targets that look from
//! outside send their inputs to.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use cms_core::Cms;
use cms_core::crypto::DevSeal;
use cms_core::store::MemoryStore;
use cms_server::Options;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// After so many requests a new installation takes over: what inputs create must not pile up.
const REQUESTS: usize = 5_000;

/// An installation with a project, a user who is logged in, and a key.
pub(crate) struct Installation {
    runtime: Runtime,
    router: Router,
    asked: usize,
    /// The root credential.
    pub(crate) root: String,
    /// An access token of the user.
    pub(crate) token: String,
    /// An API key of the project.
    pub(crate) key: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

thread_local! {
    static INSTALLATION: RefCell<Option<Installation>> = const { RefCell::new(None) };
}

/// Works with this thread's installation.
pub(crate) fn with<T>(work: impl FnOnce(&mut Installation) -> T) -> T {
    INSTALLATION.with_borrow_mut(|slot| {
        let worn = slot.as_ref().is_some_and(|installation| installation.asked > REQUESTS);
        // Out of the slot while working, so that one which a panic left half-way is never used again.
        let mut installation = slot.take().filter(|_| !worn).unwrap_or_else(Installation::new);
        let made = work(&mut installation);
        *slot = Some(installation);
        made
    })
}

impl Installation {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (router, root) = runtime.block_on(async {
            let cms = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal));
            let (cms, root) = cms.initialize().await.expect("a new installation");
            (cms_server::http::standalone(cms, Options::default()), root.expose().clone())
        });
        let mut made =
            Self { runtime, router, asked: 0, root: root.clone(), token: String::new(), key: String::new() };
        let password = "correct horse battery staple";
        made.set_up("/api/v1/users", &json!({"username": "ada", "password": password, "role": "cms-admin"}));
        let login = made.set_up("/api/v1/auth/login", &json!({"username": "ada", "password": password}));
        made.set_up("/api/v1/projects", &json!({"id": "demo", "name": "Demo"}));
        let scopes = json!({"name": "fuzz", "scopes": ["decide", "policy:read"]});
        let key = made.set_up("/api/v1/projects/demo/keys", &scopes);
        made.token = text(&login, "access_token");
        made.key = text(&key, "key");
        made
    }

    fn set_up(&mut self, path: &str, body: &Value) -> Value {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.root))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = self.ask(request);
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Sends a request and reads the answer, but for one that does not end.
    pub(crate) fn ask(&mut self, request: Request<Body>) -> Answer {
        self.asked += 1;
        let router = self.router.clone();
        self.runtime.block_on(async {
            let asked = tokio::time::timeout(Duration::from_secs(90), router.oneshot(request)).await;
            let (parts, body) = asked.expect("an answer in time").expect("infallible").into_parts();
            let endless = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
            let body = if endless { Bytes::new() } else { body.collect().await.expect("a body").to_bytes() };
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).expect("a text field").to_owned()
}
