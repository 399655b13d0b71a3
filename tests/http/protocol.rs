// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What holds on every route: the form of errors, methods, idempotency.

use std::time::Duration;

use cms_tests::{raw, served};
use serde_json::json;
use tokio::io::AsyncWriteExt;

#[test]
fn problems_have_their_form_everywhere() {
    served(async |it| {
        it.nobody().get("projects").await.problem(401, "unauthenticated");
        it.root().get("projects/nowhere").await.problem(404, "not_found");
        it.root().get("nowhere/at/all").await.problem(404, "not_found");
        it.root().get("/outside").await.problem(404, "not_found");
        let problem =
            it.root().with("x-request-id", "r-1").get("projects/nowhere").await.problem(404, "not_found");
        assert_eq!(
            (&problem["instance"], &problem["request_id"]),
            (&json!("/api/v1/projects/nowhere"), &json!("r-1"))
        );
        let wrong = it.root().call("PATCH", "auth/me", &json!({})).await;
        wrong.problem(405, "method_not_allowed");
        assert!(wrong.header("allow").contains("GET"), "{:?}", wrong.headers);
        assert_eq!(it.root().call("TRACE", "auth/me", &json!(null)).await.status, 405);
    });
}

#[test]
fn a_repeated_post_gets_the_first_answer() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root().with("idempotency-key", "key-1");
        let body = json!({"name": "k", "scopes": ["decide"]});
        let first = root.post("projects/p/keys", body.clone()).await.is(201);
        let again = root.post("projects/p/keys", body.clone()).await.is(201);
        assert_eq!(first, again, "also what is shown once");
        assert_eq!(
            it.root().all("projects/p/keys").await.len(),
            2,
            "one of onboarding, one of the two posts"
        );
        let other = root.post("projects/p/keys", json!({"name": "other", "scopes": ["decide"]})).await;
        assert_eq!(other.status, 422, "{}", other.text());
        other.teaches();
        // Somebody else's key of the same name is another key.
        let eve = it.member("eve", "p", "project-admin").await.with("idempotency-key", "key-1");
        assert_ne!(eve.post("projects/p/keys", body.clone()).await.is(201)["id"], first["id"]);
        it.root().with("idempotency-key", &"x".repeat(300)).post("projects/p/keys", body).await.is(400);
    });
}

#[test]
fn posts_at_the_same_time_with_one_key_act_once() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root().with("idempotency-key", "race");
        let posts: Vec<_> = (0..16)
            .map(|_| {
                let root = root.clone();
                tokio::spawn(async move {
                    root.post("projects/p/keys", json!({"name": "k", "scopes": ["decide"]})).await
                })
            })
            .collect();
        let mut ids = Vec::new();
        for post in posts {
            let reply = post.await.unwrap();
            if reply.status == 201 {
                ids.push(reply.json()["id"].to_string());
            } else {
                assert_eq!(reply.status, 409, "{}", reply.text());
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(it.root().all("projects/p/keys").await.len(), 2);
    });
}

#[test]
fn unknown_query_parameters_are_named_by_every_operation() {
    served(async |it| {
        let api = it.nobody().get("openapi.json").await.is(200);
        let mut asked = 0;
        for (template, item) in api["paths"].as_object().unwrap() {
            if template.starts_with("/opa/") {
                continue;
            }
            let path = template.replace("{kind}", "data").replace(['{', '}'], "");
            for method in
                ["get", "put", "post", "patch", "delete"].iter().filter(|name| item.get(*name).is_some())
            {
                let reply =
                    it.root().call(&method.to_uppercase(), &format!("{path}?surprise=1"), &json!(null)).await;
                let problem = reply.problem(400, "invalid_query");
                assert!(problem["detail"].as_str().unwrap().contains("`surprise`"), "{problem}");
                asked += 1;
            }
        }
        assert!(asked > 60, "{asked}");
        it.nobody().get("projects?surprise=1").await.problem(401, "unauthenticated");
        it.empty_project("p").await;
        it.root().get("/opa/p/default/v1/data/x?surprise=1").await.is(200);
    });
}

/// Clients send a head and its body in two parts, and keep their connections. A refusal that does not
/// wait for the body must neither close the connection nor take the body for the next request.
#[test]
fn a_connection_outlives_a_refusal_that_came_before_the_body() {
    served(async |it| {
        let body = "{\n\"a\": 1\n}\n\nHost: x\n\n";
        let length = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
        for (target, status) in [
            ("/nowhere", 404),
            ("/api/v1/auth/me", 405),
            ("/api/v1/projects", 401),
            ("/api/v1/projects/a%2fb", 400),
        ] {
            let mut stream = raw::connect(it.nobody().url()).await;
            stream.write_all(raw::request("POST", target, &headers, "").as_bytes()).await.unwrap();
            let refused = raw::listen(&mut stream, Duration::from_millis(300)).await;
            assert_eq!((refused.status(), refused.closed), (status, false), "{target}");
            let next = raw::request("GET", "/api/v1/health/live", &[], "");
            stream.write_all(body.as_bytes()).await.unwrap();
            stream.write_all(next.as_bytes()).await.unwrap();
            let heard = raw::listen(&mut stream, Duration::from_millis(300)).await;
            assert_eq!((heard.status(), heard.closed), (200, false), "{target}: {}", heard.text);
        }
        // Who asked before sending may never send: what comes next could be either.
        let asking = [headers[0], headers[1], ("Expect", "100-continue")];
        let asked = raw::request("POST", "/nowhere", &asking, "");
        let heard = raw::exchange(it.nobody().url(), asked.as_bytes()).await;
        assert_eq!((heard.status(), heard.closed), (404, true), "{}", heard.text);
    });
}
