// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's clients write policies and data: documents, with their versions, records and release rules.

use cms_tests::{Caller, Served, served};
use serde_json::{Value, json};

const AT: &str = "/opa/p/default/v1";

/// A key that decides and one that writes.
async fn keys(it: &Served) -> (Caller, Caller) {
    let reader = it.empty_project("p").await;
    (it.holder(&reader), it.holder(&it.key("p", json!(["policy:write", "decide"])).await))
}

#[test]
fn policies_that_are_put_are_live_at_once() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        let policy = "package rbac\n\nallow if input.user == \"eve\"\n";
        assert_eq!(writer.put_text(&format!("{AT}/policies/rbac.rego"), policy).await.is(200), json!({}));
        let ask = json!({"input": {"user": "eve"}});
        assert_eq!(reader.post(&format!("{AT}/data/rbac/allow"), ask).await.is(200)["result"], true);
        let document = it.root().get("projects/p/policies/rbac.rego").await.is(200);
        assert_eq!((&document["version"], &document["content"]), (&json!(1), &json!(policy)));
        writer.put_text(&format!("{AT}/policies/rbac.rego"), policy).await.is(200);
        assert_eq!(
            it.root().get("projects/p/policies/rbac.rego").await.is(200)["version"],
            1,
            "nothing changed"
        );
        assert_eq!(writer.delete(&format!("{AT}/policies/rbac.rego")).await.is(200), json!({}));
        assert_eq!(
            writer.delete(&format!("{AT}/policies/rbac.rego")).await.is(404)["code"],
            "resource_not_found"
        );
        assert_eq!(reader.get(&format!("{AT}/data/rbac")).await.is(200).get("result"), None);
        let versions = it.root().get("projects/p/policies/-/versions/rbac.rego").await.is(200);
        assert_eq!(versions["items"].as_array().unwrap().len(), 2, "{versions}");
    });
}

#[test]
fn policies_that_do_not_compile_are_refused_in_opa_s_form() {
    served(async |it| {
        let (_, writer) = keys(it).await;
        let refused =
            writer.put_text(&format!("{AT}/policies/bad"), "package bad\n\nallow if x > 1\n").await.is(400);
        assert_eq!(refused["code"], "invalid_parameter");
        assert_eq!(refused["message"], "error(s) occurred while compiling module(s)");
        let error = &refused["errors"][0];
        assert_eq!(error["code"], "rego_unsafe_var_error", "{refused}");
        assert_eq!(error["location"], json!({"file": "bad", "row": 3, "col": 10}), "{refused}");
        let parse =
            writer.put_text(&format!("{AT}/policies/bad"), "package bad\n\nallow if {\n").await.is(400);
        assert_eq!(parse["errors"][0]["code"], "rego_parse_error", "{parse}");
        assert_eq!(
            writer.put_text(&format!("{AT}/policies/-bad"), "package bad\n").await.is(400)["code"],
            "invalid_parameter"
        );
    });
}

#[test]
fn a_policy_that_breaks_the_project_s_tests_is_refused() {
    served(async |it| {
        let (_, writer) = keys(it).await;
        writer.put_text(&format!("{AT}/policies/a"), "package a\n\nx := 1\n").await.is(200);
        let test = "package a_test\n\ntest_x if data.a.x == 1\n";
        writer.put_text(&format!("{AT}/policies/a_test"), test).await.is(200);
        let refused = writer.put_text(&format!("{AT}/policies/a"), "package a\n\nx := 2\n").await.is(400);
        assert!(refused["message"].as_str().unwrap().contains("tests fail"), "{refused}");
        assert_eq!(refused["errors"][0]["code"], "test_failed", "{refused}");
    });
}

#[test]
fn data_is_put_patched_and_removed_by_path() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        let read =
            async |path: &str| reader.get(&format!("{AT}/data/{path}")).await.is(200).get("result").cloned();
        assert_eq!(
            writer.put(&format!("{AT}/data/users/ada"), json!({"age": 36})).await.is(204),
            Value::Null
        );
        assert_eq!(read("users/ada/age").await, Some(json!(36)));
        writer.put(&format!("{AT}/data/users/ada/tags"), json!(["a"])).await.is(204);
        let document = it.root().get("projects/p/data/users/ada").await.is(200);
        assert_eq!(document["content"], r#"{"age":36,"tags":["a"]}"#);
        let patch =
            json!([{"op": "add", "path": "/ada/tags/-", "value": "b"}, {"op": "remove", "path": "/ada/age"}]);
        let patched = writer
            .send("PATCH", &format!("{AT}/data/users"), "application/json-patch+json", patch.to_string())
            .await;
        assert_eq!(patched.status, 204, "{}", patched.text());
        assert_eq!(read("users").await, Some(json!({"ada": {"tags": ["a", "b"]}})));
        let known = writer.with("if-none-match", "*");
        assert_eq!(known.put(&format!("{AT}/data/users/ada"), json!({})).await.status, 304);
        known.put(&format!("{AT}/data/users/bob"), json!({})).await.is(204);
        assert_eq!(read("users/ada/tags").await, Some(json!(["a", "b"])));
        writer.delete(&format!("{AT}/data/users/ada")).await.is(204);
        assert_eq!(
            writer.delete(&format!("{AT}/data/users/ada")).await.is(404)["code"],
            "resource_not_found"
        );
        assert_eq!(read("users").await, Some(json!({"bob": {}})));
        writer.put(&format!("{AT}/data"), json!({"roles": {"admin": true}})).await.is(204);
        assert_eq!((read("roles/admin").await, read("users").await), (Some(json!(true)), None));
        writer.put(&format!("{AT}/data/"), json!({})).await.is(204);
        assert_eq!(it.root().get("projects/p/data").await.is(200)["items"], json!([]));
    });
}

#[test]
fn edits_that_cannot_be_are_refused_and_change_nothing() {
    served(async |it| {
        let (_, writer) = keys(it).await;
        writer.put(&format!("{AT}/data/a"), json!({"x": 1})).await.is(204);
        let refused = async |method: &str, path: &str, body: &str, status: u16| {
            let reply =
                writer.send(method, &format!("{AT}/data/{path}"), "application/json", body.to_owned()).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
            assert!(reply.json()["message"].is_string(), "{}", reply.text());
        };
        refused("PUT", "a/x/y", "1", 404).await;
        refused("PUT", "", "[1]", 400).await;
        refused("PUT", "a", "{", 400).await;
        refused("PUT", "@", "1", 400).await;
        refused("PATCH", "a", r#"[{"op": "remove", "path": "/nothing"}]"#, 404).await;
        refused("PATCH", "a", r#"[{"op": "copy", "from": "/x", "path": "/z"}]"#, 400).await;
        refused("PATCH", "absent", "[]", 404).await;
        writer.put_text(&format!("{AT}/policies/b"), "package b\n\nx := 1\n").await.is(200);
        refused("PUT", "b/x", "1", 400).await;
        let large = format!("\"{}\"", "x".repeat(1024 * 1024 + 10));
        refused("PUT", "large", &large, 413).await;
        let document = it.root().get("projects/p/data/a").await.is(200);
        assert_eq!((&document["version"], &document["content"]), (&json!(1), &json!(r#"{"x":1}"#)));
        writer.put(&format!("{AT}/data/a"), json!({"x": 1})).await.is(204);
        assert_eq!(
            it.root().get("projects/p/data/a").await.is(200)["version"],
            1,
            "the same again is no change"
        );
    });
}

#[test]
fn writers_need_the_right_to_write_and_every_change_has_its_record() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        let denied = reader.put(&format!("{AT}/data/a"), json!(1)).await.is(403);
        assert_eq!(denied["code"], "unauthorized");
        reader.put_text(&format!("{AT}/policies/a"), "package a\n").await.is(403);
        reader.delete(&format!("{AT}/policies/a")).await.is(403);
        let narrowed = it.key("p", json!([{"scope": "policy:write", "prefix": "team"}])).await;
        let narrowed = it.holder(&narrowed);
        narrowed.put(&format!("{AT}/data/team/x"), json!(1)).await.is(204);
        narrowed.put(&format!("{AT}/data/other/x"), json!(1)).await.is(403);
        narrowed.put(&format!("{AT}/data"), json!({})).await.is(403);
        writer.put(&format!("{AT}/data/wide"), json!({"team": {}})).await.is(204);
        let id = "a-change-of-data";
        writer.with("x-request-id", id).put(&format!("{AT}/data/wide/team/y"), json!(2)).await.is(204);
        let trail = it.trail("project=p&action=data:write&outcome=success").await;
        let record = trail.iter().find(|record| record["request_id"] == id).unwrap();
        assert!(record["release"].is_string() && record["version"] == 2, "{record}");
    });
}

#[test]
fn where_releases_are_not_made_by_themselves_activating_is_needed_too() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        it.root().put("projects/p/environments/default", json!({"auto_release": false})).await.is(200);
        writer.put(&format!("{AT}/data/a"), json!(1)).await.is(403);
        it.root().put(&format!("{AT}/data/a"), json!(1)).await.is(204);
        assert_eq!(reader.get(&format!("{AT}/data/a")).await.is(200)["result"], 1);
        it.root().put("projects/p/data/a", json!(2)).await.is(200);
        assert_eq!(
            reader.get(&format!("{AT}/data/a")).await.is(200)["result"],
            1,
            "written, and not released"
        );
        it.root().put(&format!("{AT}/data/a"), json!(2)).await.is(204);
        assert_eq!(reader.get(&format!("{AT}/data/a")).await.is(200)["result"], 2, "the same text, now live");
        it.root().put("/opa/p/nowhere/v1/data/a", json!(1)).await.is(404);
    });
}
