// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every route has in common, seen from outside of the router.

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

/// A new installation in memory.
async fn cms() -> Cms {
    let store = std::sync::Arc::new(cms_core::store::MemoryStore::new());
    let seal = std::sync::Arc::new(cms_core::crypto::DevSeal);
    Cms::builder(store, seal).initialize().await.unwrap().0
}

/// The front around routes made for the test.
async fn around(routes: Router<AppState>, options: Options) -> Router {
    let (_, described) = routes::table(&options).split();
    let state = AppState::new(cms().await, options, described);
    routes.method_not_allowed_fallback(method_not_allowed).with_state(state.clone()).layer(FrontLayer(state))
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

async fn ask(router: &Router, request: Request<Body>) -> (Response<()>, serde_json::Value) {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes: Bytes = body.collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null);
    (Response::from_parts(parts, ()), value)
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_the_security_headers() {
    let router = router::<()>(cms().await, Options::default());
    let asked =
        request("GET", "/api/v1/nothing").header("x-request-id", "mine-1").body(Body::empty()).unwrap();
    let (response, body) = ask(&router, asked).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    assert_eq!(
        (body["request_id"].as_str(), body["instance"].as_str()),
        (Some("mine-1"), Some("/api/v1/nothing"))
    );
    assert_eq!(body["type"], "urn:cms:problem:not_found");
}

#[tokio::test]
async fn another_method_is_answered_with_those_allowed() {
    let router = around(Router::new().route("/x", get(|| async { "x" })), Options::default()).await;
    for method in ["TRACE", "POST", "BREW"] {
        let (response, body) = ask(&router, request(method, "/x").body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()["allow"], "GET,HEAD");
        assert_eq!(body["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_without_its_text() {
    async fn panics() -> &'static str {
        panic!("the secret is hunter2")
    }
    let router = around(Router::new().route("/x", get(panics)), Options::default()).await;
    let (response, body) = ask(&router, request("GET", "/x").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["code"], "internal");
    assert!(!body.to_string().contains("hunter2"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_given_up_and_a_full_server_says_so() {
    async fn sleeps() -> &'static str {
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        "late"
    }
    let options = Options { in_flight: 1, ..Options::default() };
    let router = around(Router::new().route("/x", get(sleeps)), options).await;
    let slow = request("GET", "/x").body(Body::empty()).unwrap();
    let other = request("GET", "/x").body(Body::empty()).unwrap();
    let ((first, first_body), (second, second_body)) = tokio::join!(ask(&router, slow), ask(&router, other));
    assert_eq!((first.status().as_u16(), first_body["code"].as_str()), (503, Some("timed_out")));
    assert_eq!((second.status().as_u16(), second_body["code"].as_str()), (503, Some("overloaded")));
    assert!(second.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn oversized_requests_are_refused_before_anything_is_read() {
    let router = router::<()>(cms().await, Options::default());
    let long = format!("/api/v1/{}", "a".repeat(9000));
    let (response, _) = ask(&router, request("GET", &long).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::URI_TOO_LONG);
    let fat = request("GET", "/api/v1/x").header("x-fat", "a".repeat(40_000)).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, fat).await.0.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let huge =
        request("POST", "/api/v1/x").header("content-length", "1099511627776").body(Body::empty()).unwrap();
    assert_eq!(ask(&router, huge).await.0.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let (response, body) = ask(&router, request("GET", "/api/v1/a%2fb").body(Body::empty()).unwrap()).await;
    assert_eq!((response.status().as_u16(), body["code"].as_str()), (400, Some("invalid_path")));
}

#[tokio::test]
async fn the_router_nests_under_a_prefix_of_a_host_with_a_state() {
    #[derive(Clone)]
    struct HostState;
    let host: Router = Router::new()
        .route("/", get(|| async { "host" }))
        .nest("/cms", router::<HostState>(cms().await, Options::default()))
        .with_state(HostState);
    let (response, body) =
        ask(&host, request("GET", "/cms/api/v1/nothing").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(body["code"], "not_found");
    assert_eq!(body["instance"], "/cms/api/v1/nothing");
}

#[tokio::test]
async fn the_front_door_for_configs_works_under_any_prefix() {
    use cms_core::api::keys::CreateKey;
    use cms_core::api::projects::CreateProject;
    use cms_core::ids::ProjectId;

    let cms = cms().await;
    let root = cms_core::RequestContext::new(cms_core::auth::Principal::root());
    let new = CreateProject { id: "shop".into(), name: "shop".into(), ..CreateProject::default() };
    cms.projects().create(&root, new).await.unwrap();
    let wanted: CreateKey =
        serde_json::from_str(r#"{"name": "k", "scopes": ["config:read", "config:write"]}"#).unwrap();
    let key = cms.auth().keys().create(&root, &ProjectId::parse("shop").unwrap(), wanted).await.unwrap().key;
    let host = Router::new()
        .nest("/a/b", config_router(cms, Options::default()))
        .route("/", get(|| async { "host" }));
    let sent = |method: &str, path: &str, body: &'static str| {
        let asked = request(method, path).header("x-api-key", key.as_str());
        asked.header("content-type", "application/json").body(Body::from(body)).unwrap()
    };
    let (made, _) = ask(&host, sent("PUT", "/a/b/my/app", r#"{"url": "{{ env }}"}"#)).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let (read, body) = ask(&host, sent("GET", "/a/b/my/app?environment=default", "")).await;
    assert_eq!((read.status(), body["url"].as_str()), (StatusCode::OK, Some("default")));
    let known = request("GET", "/a/b/my/app").header("x-api-key", key.as_str());
    let known = known.header("if-none-match", &read.headers()["etag"]).body(Body::empty()).unwrap();
    assert_eq!(ask(&host, known).await.0.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(ask(&host, sent("GET", "/a/b/health", "")).await.1["status"], "healthy");
    // The rest of CMS is not there, and the host's own routes are.
    assert_eq!(ask(&host, sent("GET", "/api/v1/projects", "")).await.0.status(), StatusCode::NOT_FOUND);
    let (refused, body) = ask(&host, sent("PUT", "/a/b/my/app", r#"{"url": "{{ absent }}"}"#)).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["instance"], "/a/b/my/app");
}
