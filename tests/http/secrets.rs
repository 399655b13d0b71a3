// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets.

use cms_tests::served;
use serde_json::{Value, json};

const LONG: &str = "sk-0123456789abcdef";

#[test]
fn a_secret_is_written_masked_and_revealed() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let body = json!({"data": {"key": LONG, "pin": "1234", "limits": {"a": [1, 2]}}, "metadata": {"owner": "ml"}, "message": "first"});
        let made = root.put("projects/p/secrets/llm/openai", body.clone()).await;
        assert_eq!(made.header("etag"), "\"1\"");
        assert!(!made.text().contains(LONG));
        let made = made.is(201);
        assert_eq!(
            (&made["path"], &made["version"], &made["author"]),
            (&json!("llm/openai"), &json!(1), &json!("root"))
        );
        let masked = root.get("projects/p/secrets/llm/openai").await;
        assert!(!masked.text().contains(LONG) && !masked.text().contains("1234"), "{}", masked.text());
        let masked = masked.is(200);
        assert_eq!(masked["data"], json!({"key": "sk-••••cdef", "pin": "••••", "limits": "••••"}));
        assert_eq!(masked["metadata"], json!({"owner": "ml"}));
        let revealed =
            root.post("projects/p/secrets/-/reveal/llm/openai", json!({"reason": "incident 7"})).await;
        assert_eq!(revealed.header("cache-control"), "no-store");
        assert_eq!(revealed.is(200), json!({"path": "llm/openai", "version": 1, "data": body["data"]}));
        let trail = it.trail("action=secret:reveal").await;
        assert_eq!(trail.len(), 1);
        assert_eq!(
            (&trail[0]["actor"], &trail[0]["resource"], &trail[0]["reason"], &trail[0]["request_id"]),
            (
                &json!("root"),
                &json!("projects/p/secret/llm/openai"),
                &json!("incident 7"),
                &json!(revealed.header("x-request-id"))
            )
        );
    });
}

#[test]
fn the_ends_of_a_string_show_from_sixteen_characters_on() {
    served(async |it| {
        it.empty_project("p").await;
        let data = json!({"a15": "abcdefghijklmno", "a16": "abcdefghijklmnop", "umlauts": "äöüßäöüßäöüßäöüß", "empty": "", "number": 1234567890123456789u64});
        it.root().put("projects/p/secrets/x", json!({"data": data})).await.is(201);
        let masked = it.root().get("projects/p/secrets/x").await.is(200)["data"].clone();
        assert_eq!(
            masked,
            json!({"a15": "••••", "a16": "abc••••mnop", "umlauts": "äöü••••äöüß", "empty": "••••", "number": "••••"})
        );
    });
}

#[test]
fn values_come_back_exactly_as_they_were_given() {
    served(async |it| {
        it.empty_project("p").await;
        let text = r#"{"data":{"big":123456789012345678901234567890,"float":1.10,"text":"a\u0000b\n","nested":{"b":1,"a":[null,true]}}}"#;
        it.root().send("PUT", "projects/p/secrets/x", "application/json", text).await.is(201);
        let revealed = it.root().post("projects/p/secrets/-/reveal/x", Value::Null).await.text();
        assert!(
            revealed.contains("123456789012345678901234567890") && revealed.contains("1.10"),
            "{revealed}"
        );
        assert!(revealed.contains(r#""nested":{"b":1,"a":[null,true]}"#), "{revealed}");
    });
}

#[test]
fn cas_and_if_match_guard_a_write() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let put = async |body: Value| root.put("projects/p/secrets/x", body).await;
        put(json!({"data": {"v": 1}, "cas": 3})).await.problem(409, "cas_mismatch");
        put(json!({"data": {"v": 1}, "cas": 0})).await.is(201);
        put(json!({"data": {"v": 2}, "cas": 0})).await.problem(409, "cas_mismatch");
        put(json!({"data": {"v": 2}, "cas": 1})).await.is(200);
        put(json!({"data": {"v": 3}, "cas": "2"})).await.is(400);
        root.with("if-match", "\"1\"")
            .put("projects/p/secrets/x", json!({"data": {"v": 3}}))
            .await
            .problem(412, "stale_version");
        root.with("if-match", "\"2\"").put("projects/p/secrets/x", json!({"data": {"v": 3}})).await.is(200);
    });
}

#[test]
fn versions_are_deleted_brought_back_and_destroyed() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        for value in 1..=3 {
            root.put("projects/p/secrets/a/b", json!({"data": {"v": value}})).await;
        }
        let reveal = async |version: u64| {
            root.post("projects/p/secrets/-/reveal/a/b", json!({"version": version})).await
        };
        let states = async || -> Vec<String> {
            let items = root.get("projects/p/secrets/-/versions/a/b").await.is(200)["items"]
                .as_array()
                .unwrap()
                .clone();
            items.iter().map(|item| item["state"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(states().await, ["live", "live", "live"]);
        root.delete("projects/p/secrets/a/b").await.is(200);
        assert_eq!(states().await, ["deleted", "live", "live"]);
        assert_eq!(reveal(3).await.status, 404);
        assert_eq!(reveal(2).await.is(200)["data"], json!({"v": 2}));
        root.post("projects/p/secrets/-/undelete/a/b", json!({"versions": [3]})).await.is(200);
        assert_eq!(reveal(3).await.is(200)["data"], json!({"v": 3}));
        root.post("projects/p/secrets/-/destroy/a/b", json!({"versions": [1, 3]})).await.is(200);
        assert_eq!(states().await, ["destroyed", "live", "destroyed"]);
        assert!(reveal(1).await.status >= 400);
        root.post("projects/p/secrets/-/undelete/a/b", json!({"versions": [1]}))
            .await
            .problem(409, "version_destroyed");
        root.post("projects/p/secrets/-/destroy/a/b", json!({"versions": []}))
            .await
            .problem(422, "no_versions");
        root.post("projects/p/secrets/-/destroy/a/b", json!({"versions": [9]})).await.is(404);
    });
}

#[test]
fn rotation_makes_a_new_value_of_the_wished_form() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/secrets/db", json!({"data": {"user": "app", "password": "old"}})).await.is(201);
        let rotate = async |body: Value| root.post("projects/p/secrets/-/rotate/db", body).await;
        let refused = rotate(json!({})).await;
        assert!((400..500).contains(&refused.status), "two fields and none named: {}", refused.text());
        let body = json!({"field": "password", "generator": {"kind": "hex", "length": 40}});
        assert_eq!(rotate(body).await.is(200)["version"], 2);
        let data = root.post("projects/p/secrets/-/reveal/db", Value::Null).await.is(200)["data"].clone();
        let password = data["password"].as_str().unwrap();
        assert!(password.len() == 40 && password.bytes().all(|byte| byte.is_ascii_hexdigit()), "{password}");
        assert_eq!(data["user"], "app");
        for wrong in [
            json!({"kind": "nonsense"}),
            json!({"kind": "hex", "length": 2}),
            json!({"kind": "hex", "length": 1_000_000}),
        ] {
            let reply = rotate(json!({"field": "password", "generator": wrong})).await;
            assert!([400, 422].contains(&reply.status), "{}", reply.text());
        }
    });
}

#[test]
fn lists_name_secrets_and_nothing_of_their_values() {
    served(async |it| {
        it.empty_project("p").await;
        for path in ["db/main", "db/replica", "llm/key"] {
            it.root()
                .put(&format!("projects/p/secrets/{path}"), json!({"data": {"value": LONG}}))
                .await
                .is(201);
        }
        let list = it.root().get("projects/p/secrets?prefix=db/").await;
        assert!(!list.text().contains("sk-"), "{}", list.text());
        let paths: Vec<_> =
            list.is(200)["items"].as_array().unwrap().iter().map(|item| item["path"].clone()).collect();
        assert_eq!(paths, ["db/main", "db/replica"]);
        let page = it.root().get("projects/p/secrets?limit=2").await.is(200);
        assert!(page["next_cursor"].is_string());
    });
}

#[test]
fn who_may_see_what() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/secrets/x", json!({"data": {"value": LONG}})).await.is(201);
        let statuses = async |caller: &cms_tests::Caller| {
            [
                caller.get("projects/p/secrets").await.status,
                caller.get("projects/p/secrets/x").await.status,
                caller.post("projects/p/secrets/-/reveal/x", json!({})).await.status,
                caller.put("projects/p/secrets/x", json!({"data": {"value": LONG}})).await.status,
            ]
        };
        assert_eq!(statuses(&it.member("admin", "p", "project-admin").await).await, [200, 200, 200, 200]);
        assert_eq!(statuses(&it.member("user", "p", "project-user").await).await, [200, 200, 403, 403]);
        assert_eq!(statuses(&it.member("auditor", "p", "auditor").await).await, [200, 403, 403, 403]);
        assert_eq!(statuses(&it.user("stranger", None).await).await, [404, 404, 404, 404]);
        let denials = it.trail("project=p&action=secret:reveal&outcome=denied").await;
        assert!(denials.iter().all(|record| !record["reason"].as_str().unwrap().is_empty()), "{denials:?}");
        assert!(denials.len() >= 2, "{denials:?}");
    });
}

#[test]
fn odd_secrets_are_refused() {
    served(async |it| {
        it.empty_project("p").await;
        let put = async |body: Value| it.root().put("projects/p/secrets/x", body).await;
        for body in [
            json!({}),
            json!({"data": {}}),
            json!({"data": "text"}),
            json!({"data": {"v": 1}, "ttl": 3}),
            json!({"data": {"": 1}}),
        ] {
            let reply = put(body.clone()).await;
            assert!([400, 422].contains(&reply.status), "{body}: {}", reply.text());
            reply.teaches();
        }
        let large = put(json!({"data": {"v": "x".repeat(70_000)}})).await;
        assert!([413, 422].contains(&large.status), "{}", large.text());
        it.root().get("projects/p/secrets/x").await.problem(404, "not_found");
    });
}
