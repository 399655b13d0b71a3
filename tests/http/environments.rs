// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Environments: activation by compare-and-swap, and the way back.

use cms_tests::{Served, served};
use serde_json::json;

/// A project without auto-release and three releases of it.
async fn releases(it: &Served) -> Vec<String> {
    let body = json!({"id": "p", "name": "p", "template": "empty", "auto_release": false, "environments": ["dev", "prod"]});
    it.root().post("projects", body).await.is(201);
    it.root().put_text("projects/p/policies/a", "package a\n\nvalue := data.numbers.value\n").await.is(201);
    let mut ids = Vec::new();
    for value in 1..=3 {
        it.root().put("projects/p/data/numbers", json!({"value": value})).await;
        ids.push(
            it.root().post("projects/p/releases", json!(null)).await.is(201)["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    ids
}

async fn value(it: &Served, environment: &str) -> serde_json::Value {
    let body = json!({"path": "a/value", "environment": environment});
    it.root().post("projects/p/decisions", body).await.is(200)["result"].clone()
}

#[test]
fn activation_is_a_compare_and_swap() {
    served(async |it| {
        let ids = releases(it).await;
        let activate = async |body: serde_json::Value| {
            it.root().post("projects/p/environments/dev/activate", body).await
        };
        let first = activate(json!({"release": ids[0], "message": "go"})).await.is(200);
        assert_eq!((&first["release"], &first["message"]), (&json!(ids[0]), &json!("go")));
        activate(json!({"release": ids[1], "expected": ids[2]})).await.problem(409, "not_active");
        let second = activate(json!({"release": ids[1], "expected": ids[0]})).await.is(200);
        assert_eq!(second["previous"], json!(ids[0]));
        activate(json!({"release": "0123"})).await.is(404);
        activate(json!({"release": "0".repeat(64)})).await.problem(404, "not_found");
        assert_eq!((value(it, "dev").await, value(it, "prod").await.is_null()), (json!(2), true));
    });
}

#[test]
fn rollback_goes_back_step_by_step_or_to_a_name() {
    served(async |it| {
        let ids = releases(it).await;
        let post = async |verb: &str, body: serde_json::Value| {
            it.root().post(&format!("projects/p/environments/prod/{verb}"), body).await
        };
        for id in &ids {
            post("activate", json!({"release": id})).await.is(200);
        }
        for expected in [2, 1] {
            post("rollback", json!(null)).await.is(200);
            assert_eq!(value(it, "prod").await, expected);
        }
        post("rollback", json!({"to": ids[2], "message": "forward again"})).await.is(200);
        assert_eq!(value(it, "prod").await, 3);
        let history = it.root().all("projects/p/environments/prod/history").await;
        let kinds: Vec<_> = history.iter().take(6).map(|item| item["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["rollback", "rollback", "rollback", "activate", "activate", "activate"]);
        assert_eq!(history[0]["message"], "forward again");
    });
}

#[test]
fn environments_are_added_and_choose_for_themselves() {
    served(async |it| {
        releases(it).await;
        let root = it.root();
        root.put("projects/p/environments/canary", json!({"auto_release": true})).await.is(201);
        root.put("projects/p/environments/canary", json!({"auto_release": true})).await.is(200);
        root.put("projects/p/data/numbers", json!({"value": 7})).await.is(200);
        assert_eq!(value(it, "canary").await, 7);
        assert!(value(it, "dev").await.is_null());
        let names: Vec<_> =
            root.all("projects/p/environments").await.iter().map(|item| item["name"].clone()).collect();
        assert!(names.contains(&json!("canary")) && names.contains(&json!("dev")), "{names:?}");
        let page = root.get("projects/p/environments?limit=2").await.is(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let next = page["next_cursor"].as_str().unwrap();
        let rest = root.get(&format!("projects/p/environments?limit=2&cursor={next}")).await.is(200);
        assert_eq!((&rest["items"][0]["name"], &rest["next_cursor"]), (&json!("canary"), &json!(null)));
        root.put("projects/p/environments/Not%20OK", json!({})).await.is(400);
        for wrong in [json!({"quorum": 1, "approvers": ["nobody"]}), json!(1000)] {
            let put = root.put("projects/p/environments/dev", json!({"approvals": wrong})).await;
            put.problem(422, "invalid_approvals");
        }
        root.put("projects/p/environments/dev", json!({"approvals": "two"})).await.is(400);
        root.get("projects/p/environments/nowhere").await.problem(404, "not_found");
    });
}

#[test]
fn settings_are_not_overwritten_unseen() {
    served(async |it| {
        it.empty_project("p").await;
        let path = "projects/p/environments/dev";
        let none = it.root().with("if-none-match", "*");
        let made = none.put(path, json!({})).await;
        assert_eq!((made.status, made.header("etag")), (201, "\"1\""));
        none.put(path, json!({"auto_release": false})).await.problem(412, "stale_version");
        let seen = it.root().with("if-match", made.header("etag"));
        let changed = seen.put(path, json!({"auto_release": false})).await;
        assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
        seen.put(path, json!({"auto_release": true})).await.problem(412, "stale_version");
        let read = it.root().get(path).await;
        assert_eq!(read.header("etag"), "\"2\"");
        let read = read.is(200);
        assert_eq!((&read["version"], &read["auto_release"]), (&json!(2), &json!(false)));
        // Moving the pointer is a change as well.
        let release = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        let moved = it.root().post(&format!("{path}/activate"), json!({"release": release})).await.is(200);
        assert_eq!(moved["version"], 1, "the first activation");
        assert_eq!(it.root().get(path).await.header("etag"), "\"3\"");
    });
}
