// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guards the routes of a service of one's own with a policy rule: who asks is known by an API key
//! of CMS, whether they may is decided in process.
//!
//! Run it with `cargo run -p cms-examples --example guard_routes`.

use std::io::Write;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use cms_core::Expected;
use cms_core::api::documents::{Kind, PutDocument};
use cms_core::api::projects::CreateProject;
use cms_core::auth::Principal;
use cms_core::crypto::DevSeal;
use cms_core::ids::{Name, ProjectId};
use cms_core::store::MemoryStore;
use cms_core::{Cms, RequestContext};
use cms_server::guard::{Guard, Permit};
use tower::ServiceExt;

const POLICY: &str = "package shop.http

default allow := false

# Everybody with a key may read; nobody may do more.
allow if input.method == \"GET\"
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (cms, _root) = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal)).initialize().await?;
    let admin = RequestContext::new(Principal::root());
    let project = ProjectId::parse("shop")?;
    let new = CreateProject { id: project.to_string(), name: "Shop".into(), ..CreateProject::default() };
    let onboarded = cms.projects().create(&admin, new).await?;
    let key = onboarded.keys.first().map(|created| created.key.clone()).unwrap_or_default();
    let policy = PutDocument { content: POLICY.into(), ..PutDocument::default() };
    let name = Name::parse("shop/http")?;
    cms.documents().put(&admin, &project, Kind::Policy, &name, policy, Expected::Any).await?;

    let app: axum::Router = axum::Router::new().route("/orders", get(orders).post(orders)).layer(Guard::new(
        cms.clone(),
        project,
        "shop/http/allow",
    )?);

    for (method, key) in [("GET", Some(key.as_str())), ("POST", Some(key.as_str())), ("GET", None)] {
        let mut request = Request::builder().method(method).uri("/orders");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let answer = app.clone().oneshot(request.body(Body::empty())?).await?;
        say(&format!("{method} with key: {} → {}", key.is_some(), answer.status()));
    }
    cms.shutdown().await;
    Ok(())
}

async fn orders(Extension(permit): Extension<Permit>) -> String {
    format!("served to {} by decision {}", permit.principal, permit.decision_id)
}

fn say(line: &str) {
    // A reader that has left is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}
