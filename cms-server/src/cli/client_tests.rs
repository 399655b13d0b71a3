// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client against small servers that behave well, badly, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::HeaderMap as Headers;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::*;
use crate::cli::context::Context;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn client(address: &str) -> Client {
    Client::new(address, None, Duration::from_secs(5)).unwrap()
}

async fn refusal(status: u16) -> Failure {
    let answer = move || async move {
        let problem = json!({"title": "No", "detail": "because", "code": "no", "errors": []});
        (StatusCode::from_u16(status).unwrap(), Json(problem))
    };
    let address = serve(Router::new().route("/api/v1/x", get(answer))).await;
    client(&address).call(Call::get(Route::api("x"))).await.unwrap_err()
}

#[tokio::test]
async fn refusals_become_exit_codes() {
    for (status, exit) in
        [(404, Exit::NotFound), (403, Exit::Denied), (412, Exit::Conflict), (423, Exit::Unavailable)]
    {
        let failure = refusal(status).await;
        assert_eq!(failure.exit, exit, "HTTP {status}");
        assert!(failure.to_string().contains("because"), "{failure}");
    }
}

#[tokio::test]
async fn the_prefix_query_and_headers_arrive() {
    let echo = |headers: Headers, uri: axum::http::Uri| async move {
        Json(json!({"uri": uri.to_string(), "match": headers["if-match"].to_str().unwrap(),
            "auth": headers["authorization"].to_str().unwrap()}))
    };
    let address = serve(Router::new().nest("/cms", Router::new().fallback(echo))).await;
    let call = Call::get(Route::api("x")).query("prefix", Some("a b&c")).query("cursor", None::<&str>);
    let client = client(&format!("{address}/cms/")).with_token(Some("t1".into()), None);
    let answer = client.call(call.if_match(Some(&"7".to_owned()))).await.unwrap();
    assert_eq!(
        answer.value,
        json!({"uri": "/api/v1/x?prefix=a+b%26c", "match": "\"7\"", "auth": "Bearer t1"})
    );
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_token_away() {
    let seen = Arc::new(AtomicUsize::new(0));
    let trap = Router::new().fallback(count).with_state(Arc::clone(&seen));
    let trap = serve(trap).await;
    let away = move || async move { axum::response::Redirect::temporary(&trap).into_response() };
    let address = serve(Router::new().route("/api/v1/x", get(away))).await;
    let failure = client(&address).with_token(Some("t1".into()), None).call(Call::get(Route::api("x"))).await;
    assert!(failure.unwrap_err().to_string().contains("redirects"));
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

async fn count(State(seen): State<Arc<AtomicUsize>>) {
    seen.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test]
async fn an_absent_server_is_unavailable_and_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = client(&address).call(Call::get(Route::api("x"))).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.to_string().contains(&address), "{failure}");
}

#[tokio::test]
async fn tls_to_a_plain_server_is_told_apart() {
    let address = serve(Router::new()).await.replacen("http", "https", 1);
    let failure = client(&address).call(Call::get(Route::api("x"))).await.unwrap_err();
    let words = failure.to_string();
    assert!(words.contains("plain HTTP") && words.contains("--addr http://"), "{words}");
}

#[tokio::test]
async fn plain_http_to_a_tls_server_and_an_unknown_authority_are_told_apart() {
    let (address, certificate) = serve_tls().await;
    let plain =
        client(&address.replacen("https", "http", 1)).call(Call::get(Route::api("x"))).await.unwrap_err();
    assert!(plain.to_string().contains("want TLS"), "{plain}");
    let stranger = client(&address).call(Call::get(Route::api("x"))).await.unwrap_err();
    assert!(stranger.to_string().contains("--ca-cert"), "{stranger}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let trusting = Client::new(&address, Some(file.path()), Duration::from_secs(5)).unwrap();
    let missing = trusting.call(Call::get(Route::api("x"))).await.unwrap_err();
    assert_eq!(missing.exit, Exit::NotFound, "the handshake worked: {missing}");
}

async fn serve_tls() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = hyper_util::service::TowerToHyperService::new(Router::<()>::new());
            let io = hyper_util::rt::TokioIo::new(stream);
            let _closed = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    });
    (address, made.cert.pem())
}

/// A server whose only valid access token changes with every renewal.
#[derive(Clone, Default)]
struct Sessions(Arc<AtomicUsize>);

impl Sessions {
    async fn serve(&self) -> String {
        let routes =
            Router::new().route("/api/v1/x", get(guarded)).route("/api/v1/auth/refresh", post(refresh));
        serve(routes.with_state(self.clone())).await
    }

    fn renewals(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn guarded(State(sessions): State<Sessions>, headers: Headers) -> StatusCode {
    let valid = format!("Bearer access-{}", sessions.renewals());
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if sessions.renewals() > 0 && given == Some(&valid) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

async fn refresh(
    State(sessions): State<Sessions>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let expected = format!("refresh-{}", sessions.renewals());
    if body["refresh_token"] != expected {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let next = sessions.0.fetch_add(1, Ordering::SeqCst) + 1;
    Ok(Json(json!({"access_token": format!("access-{next}"), "refresh_token": format!("refresh-{next}")})))
}

fn logged_in(directory: &tempfile::TempDir, address: &str, refresh: &str) -> ContextFile {
    let file = ContextFile::at(directory.path().join("contexts.toml"));
    let context = Context {
        addr: address.to_owned(),
        token: Some("access-0".into()),
        refresh_token: Some(refresh.to_owned()),
        ..Context::default()
    };
    file.change(|all| Ok(all.contexts.insert("c".into(), context))).unwrap();
    file
}

fn session(address: &str, file: &ContextFile) -> Client {
    let stored = Stored { file: file.clone(), context: "c".into() };
    client(address).with_token(Some("access-0".into()), Some(stored))
}

#[tokio::test]
async fn an_expired_access_token_is_renewed_and_the_new_pair_kept() {
    let sessions = Sessions::default();
    let address = sessions.serve().await;
    let directory = tempfile::tempdir().unwrap();
    let file = logged_in(&directory, &address, "refresh-0");
    session(&address, &file).call(Call::get(Route::api("x"))).await.unwrap();
    let kept = file.load().unwrap();
    assert_eq!(kept.named("c").unwrap().refresh_token.as_deref(), Some("refresh-1"));
    // Another command that still holds the old token takes the pair from the file.
    session(&address, &file).call(Call::get(Route::api("x"))).await.unwrap();
    assert_eq!(sessions.renewals(), 1);
}

#[tokio::test]
async fn an_ended_session_asks_for_a_login() {
    let address = Sessions::default().serve().await;
    let directory = tempfile::tempdir().unwrap();
    let file = logged_in(&directory, &address, "used-before");
    let failure = session(&address, &file).call(Call::get(Route::api("x"))).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Denied);
    assert!(failure.to_string().contains("cms login"), "{failure}");
    assert_eq!(
        file.load().unwrap().named("c").unwrap().token.as_deref(),
        Some("access-0"),
        "nothing was overwritten"
    );
}
