// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mounts CMS in an axum service that has routes and state of its own.
//!
//! Run it with `cargo run -p cms-examples --example embed_in_axum`, then open
//! `http://127.0.0.1:3000/cms/docs`. It ends with Ctrl-C.

use std::io::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use cms_core::Cms;
use cms_core::crypto::DevSeal;
use cms_core::store::MemoryStore;

#[derive(Clone)]
struct Service {
    greeting: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (cms, root) = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal)).initialize().await?;
    let app = axum::Router::new()
        .route("/", get(|State(service): State<Service>| async move { service.greeting }))
        // Any prefix, any state: CMS brings its own.
        .nest("/cms", cms_server::router(cms.clone(), cms_server::Options::default()))
        .with_state(Service { greeting: "hello" });

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    say(&format!("http://{}/cms/docs with the root token {}", listener.local_addr()?, root.expose()));
    let peers = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, peers)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    cms.shutdown().await;
    Ok(())
}

fn say(line: &str) {
    // A reader that has left is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}
