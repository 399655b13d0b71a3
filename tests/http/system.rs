// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Health, metrics, the description and its page.

use cms_server::Options;
use cms_tests::{served, served_with};
use serde_json::json;

#[test]
fn health_is_there_for_everybody_and_tells_no_secret() {
    served(async |it| {
        let health = it.nobody().get("health").await.is(200);
        assert_eq!((&health["status"], &health["sealed"]), (&json!("ok"), &json!(false)));
        assert_eq!(health["backends"][0]["state"], "ok");
        it.nobody().get("health/live").await.is(200);
        it.nobody().get("health/ready").await.is(200);
    });
}

#[test]
fn a_sealed_installation_is_alive_but_not_ready_and_answers_423() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/secrets/x", json!({"data": {"v": 1}})).await.is(201);
        for role in ["platform-admin", "auditor"] {
            it.user(role, Some(role)).await.post("system/seal", json!(null)).await.problem(403, "denied");
        }
        it.member("eve", "p", "project-admin").await.post("system/seal", json!(null)).await.is(403);
        it.root().post("system/seal", json!(null)).await.is(204);
        it.nobody().get("health/live").await.is(200);
        it.nobody().get("health/ready").await.is(503);
        assert_eq!(it.nobody().get("health").await.is(200)["status"], "sealed");
        it.root().post("projects/p/secrets/-/reveal/x", json!(null)).await.problem(423, "sealed");
        it.nobody()
            .post("auth/login", json!({"username": "eve", "password": "whatever it is"}))
            .await
            .problem(423, "sealed");
        it.nobody().post("system/unseal", json!(null)).await.is(204);
        it.root().post("projects/p/secrets/-/reveal/x", json!(null)).await.is(200);
    });
}

#[test]
fn a_rotated_data_key_leaves_no_value_behind() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/secrets/x", json!({"data": {"v": "kept"}})).await.is(201);
        it.user("dora", None).await;
        for (project, at_least) in [("p", 2), ("platform", 3)] {
            let before = it.root().get(&format!("projects/{project}/data-key")).await.is(200);
            assert_eq!((&before["version"], &before["generations"][0]["held"]), (&json!(1), &json!(true)));
            let rotated = it.root().post(&format!("projects/{project}/data-key/rotate"), json!(null)).await;
            let rotated = rotated.is(200);
            assert!(rotated["resealed"].as_u64().unwrap() >= at_least, "{rotated}");
            assert_eq!(rotated["retired"], json!(true));
            let after = it.root().get(&format!("projects/{project}/data-key")).await.is(200);
            assert_eq!(after["generations"].as_array().unwrap().len(), 1, "{after}");
            assert_eq!((&after["version"], &after["generations"][0]["version"]), (&json!(2), &json!(2)));
        }
        let revealed = it.root().post("projects/p/secrets/-/reveal/x", json!(null)).await.is(200);
        assert_eq!(revealed["data"]["v"], "kept");
        it.member("eve", "p", "project-admin").await.get("projects/p/data-key").await.problem(403, "denied");
    });
}

#[test]
fn metrics_count_requests_by_route_and_name_no_tenant() {
    served(async |it| {
        it.project("some-tenant").await;
        it.root().get("projects/some-tenant").await.is(200);
        let metrics = it.nobody().get("/metrics").await;
        assert_eq!(metrics.status, 200);
        let text = metrics.text();
        assert!(text.contains("/api/v1/projects/{project}"), "{text}");
        assert!(!text.contains("some-tenant"), "{text}");
        assert!(text.lines().count() < 5_000);
    });
}

#[test]
fn the_description_names_every_part_of_the_contract() {
    served(async |it| {
        let api = it.nobody().get("openapi.json").await.is(200);
        assert!(api["openapi"].as_str().unwrap().starts_with("3."));
        let paths = api["paths"].as_object().unwrap();
        for path in [
            "/api/v1/auth/login",
            "/api/v1/auth/refresh",
            "/api/v1/auth/logout",
            "/api/v1/auth/me",
            "/api/v1/auth/jwks",
            "/api/v1/auth/verify",
            "/api/v1/users",
            "/api/v1/users/{user}",
            "/api/v1/users/{user}/password",
            "/api/v1/projects",
            "/api/v1/projects/{project}",
            "/api/v1/projects/{project}/members",
            "/api/v1/projects/{project}/members/{user}",
            "/api/v1/projects/{project}/keys",
            "/api/v1/projects/{project}/keys/{id}",
            "/api/v1/projects/{project}/keys/{id}/rotate",
            "/api/v1/projects/{project}/{kind}",
            "/api/v1/projects/{project}/{kind}/{name}",
            "/api/v1/projects/{project}/{kind}/-/versions/{name}",
            "/api/v1/projects/{project}/{kind}/-/diff/{name}",
            "/api/v1/projects/{project}/{kind}/-/rollback/{name}",
            "/api/v1/projects/{project}/policies/-/validate",
            "/api/v1/projects/{project}/policies/-/test",
            "/api/v1/projects/{project}/releases",
            "/api/v1/projects/{project}/releases/{id}",
            "/api/v1/projects/{project}/releases/-/diff",
            "/api/v1/projects/{project}/environments",
            "/api/v1/projects/{project}/environments/{environment}",
            "/api/v1/projects/{project}/environments/{environment}/activate",
            "/api/v1/projects/{project}/environments/{environment}/rollback",
            "/api/v1/projects/{project}/environments/{environment}/history",
            "/api/v1/projects/{project}/environments/{environment}/bundle.tar.gz",
            "/api/v1/projects/{project}/events",
            "/api/v1/projects/{project}/decisions",
            "/api/v1/projects/{project}/decisions/-/batch",
            "/opa/{project}/{environment}/v1/data/{path}",
            "/opa/{project}/{environment}/health",
            "/api/v1/projects/{project}/secrets",
            "/api/v1/projects/{project}/secrets/{path}",
            "/api/v1/projects/{project}/secrets/-/reveal/{path}",
            "/api/v1/projects/{project}/secrets/-/versions/{path}",
            "/api/v1/projects/{project}/secrets/-/undelete/{path}",
            "/api/v1/projects/{project}/secrets/-/destroy/{path}",
            "/api/v1/projects/{project}/secrets/-/rotate/{path}",
            "/api/v1/audit",
            "/api/v1/audit/-/verify",
            "/api/v1/audit/-/export",
            "/api/v1/health",
            "/api/v1/health/live",
            "/api/v1/health/ready",
            "/metrics",
        ] {
            assert!(paths.contains_key(path), "{path} is not described");
        }
    });
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    served(async |it| {
        let page = it.nobody().get("docs/").await;
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        let text = page.text();
        for mark in ["src=\"", "href=\""] {
            for (at, _) in text.match_indices(mark) {
                let target = text[at + mark.len()..].split('"').next().unwrap();
                assert!(!target.contains("//"), "{target}");
                if !target.starts_with('#') {
                    let asset = it.nobody().get(&format!("docs/{}", target.trim_start_matches("./"))).await;
                    assert_eq!(asset.status, 200, "{target}");
                }
            }
        }
        let start = it.nobody().get("docs/start.js").await.text();
        assert!(start.contains("../openapi.json") && !start.contains("://"), "{start}");
        assert_eq!(it.nobody().get("docs").await.status, 308);
    });
}

#[test]
fn every_answer_carries_its_request_id_and_the_security_headers() {
    served(async |it| {
        let given = it.nobody().with("x-request-id", "my-id.7").get("health").await;
        assert_eq!(given.header("x-request-id"), "my-id.7");
        for odd in ["a b", "<script>", &"x".repeat(200), ""] {
            let made = it.nobody().with("x-request-id", odd).get("health").await;
            assert!(!made.header("x-request-id").is_empty() && made.header("x-request-id") != odd, "{odd}");
        }
        for path in ["health", "nowhere", "projects", "/"] {
            let reply = it.nobody().get(path).await;
            assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
            assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
            assert!(!reply.header("x-request-id").is_empty(), "{path}");
            assert!(
                reply.headers.get("server").is_none() && reply.headers.get("x-powered-by").is_none(),
                "{path}"
            );
        }
    });
}

#[test]
fn parts_of_the_surface_can_be_left_out() {
    let mut options = Options::default();
    (options.opa, options.docs) = (false, false);
    served_with(options, async |it| {
        it.project("p").await;
        it.root().get("/opa/p/default/v1/data").await.is(404);
        assert_eq!(it.nobody().get("docs/").await.status, 404);
        it.nobody().get("openapi.json").await.is(200);
    });
}

#[test]
fn what_came_through_a_proxy_is_not_the_operator_s() {
    served(async |it| {
        it.root().post("system/seal", json!(null)).await.is(204);
        for (mark, value) in [
            ("forwarded", "for=127.0.0.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("via", "1.1 gateway"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
        ] {
            let behind = it.nobody().with(mark, value);
            behind.post("system/unseal", json!(null)).await.problem(403, "denied");
            assert!([401, 423].contains(&behind.get("/metrics").await.status), "{mark}");
        }
        it.nobody().post("system/unseal", json!(null)).await.is(204);
        assert_eq!(it.root().with("via", "1.1 gateway").get("/metrics").await.status, 200);
    });
}

#[test]
fn behind_a_trusted_proxy_the_client_must_be_local() {
    let mut options = Options::default();
    options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    served_with(options, async |it| {
        let from = |address: &str| it.nobody().with("x-forwarded-for", address);
        assert_eq!(it.nobody().get("/metrics").await.status, 401, "the proxy does not say for whom it asks");
        assert_eq!(from("192.0.2.7").get("/metrics").await.status, 401);
        assert_eq!(from("127.0.0.1, 192.0.2.7").get("/metrics").await.status, 401);
        assert_eq!(from("127.0.0.1").get("/metrics").await.status, 200);
        from("192.0.2.7").post("system/unseal", json!(null)).await.problem(403, "denied");
    });
}

#[test]
fn metrics_can_be_kept_for_a_token() {
    let mut options = Options::default();
    options.local_operator = false;
    options.metrics_token = Some(String::from("a-token-for-prometheus").into());
    served_with(options, async |it| {
        it.nobody().get("/metrics").await.problem(401, "unauthenticated");
        it.nobody().post("system/unseal", json!(null)).await.problem(403, "denied");
        let scraper = it.holder("a-token-for-prometheus");
        assert_eq!(scraper.get("/metrics").await.status, 200);
        scraper.get("projects").await.problem(401, "unauthenticated");
        it.holder("a-token-for-prometheu5").get("/metrics").await.problem(401, "unauthenticated");
        assert_eq!(it.root().get("/metrics").await.status, 200);
    });
}

#[test]
fn the_main_job_moves_its_metrics_and_names_nobody() {
    let mut options = Options::default();
    options.stranger_per_minute = std::num::NonZeroU32::new(20).unwrap();
    served_with(options, async |it| {
        let value = async |series: &str| {
            let text = it.nobody().get("/metrics").await.text();
            let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no `{series}` in {text}")).parse::<f64>().unwrap()
        };
        let moving = [
            "cms_decisions_total{outcome=\"false\"}",
            "cms_decisions_total{outcome=\"undefined\"}",
            "cms_evaluation_duration_seconds_count",
            "cms_evaluation_duration_seconds_sum",
            "cms_secret_reveals_total{outcome=\"success\"}",
            "cms_secret_reveals_total{outcome=\"failure\"}",
            "cms_logins_total{outcome=\"success\"}",
            "cms_logins_total{outcome=\"refused\"}",
            "cms_audit_records_total",
            "cms_audit_append_duration_seconds_count",
            "cms_store_transaction_duration_seconds_count{outcome=\"success\"}",
            "cms_cache_hits_total",
            "cms_cache_misses_total",
            "cms_store_leases_granted_total",
        ];
        let mut before = Vec::new();
        for series in moving {
            before.push(value(series).await);
        }
        it.project("tenant").await;
        it.user("wilhelmina", None).await;
        let wrong = json!({"username": "wilhelmina", "password": "not hers"});
        it.nobody().post("auth/login", wrong).await.is(401);
        it.root().put("projects/tenant/secrets/db", json!({"data": {"v": "hidden"}})).await.is(201);
        it.root().post("projects/tenant/secrets/-/reveal/db", json!(null)).await.is(200);
        it.root().post("projects/tenant/secrets/-/reveal/none", json!(null)).await.is(404);
        for path in ["rag/authz/allow", "no/such/rule"] {
            let ask = json!({"path": path, "input": {}});
            it.root().post("projects/tenant/decisions", ask).await.is(200);
        }
        let key = json!({"name": "k", "scopes": ["decide"]});
        it.root().with("idempotency-key", "ticket-77").post("projects/tenant/keys", key).await.is(201);
        for (series, before) in moving.iter().zip(before) {
            let after = value(series).await;
            assert!(after > before, "`{series}` stayed at {after}");
        }
        for _ in 0..30 {
            it.nobody().get("projects").await;
        }
        assert!(value("cms_http_refusals_total{code=\"rate_limited\"}").await >= 1.0);
        let text = it.nobody().get("/metrics").await.text();
        assert!(text.contains("cms_build_info{version=\""), "{text}");
        assert!(text.contains("\ncms_watches 0\n"), "{text}");
        for name in ["tenant", "wilhelmina", "rag/authz", "ticket-77"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    });
}
