// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promotion from one environment to another, directly and by a request; and changes that are applied at
//! their time.

use std::time::Duration;

use cms_core::clock::{Clock, SystemClock};
use cms_tests::{Served, served};
use serde_json::{Value, json};

/// A project whose `dev` follows every change and whose `prod` is moved by hand.
async fn staged(it: &Served) {
    let body = json!({"id": "p", "name": "p", "template": "empty", "auto_release": false, "environments": ["dev", "prod"]});
    it.root().post("projects", body).await.is(201);
    it.root().put("projects/p/environments/dev", json!({"auto_release": true})).await.is(200);
    it.root().put_text("projects/p/policies/a", "package a\n\nvalue := data.x.v\n").await.is(201);
    it.root().put("projects/p/data/x", json!({"v": 1})).await.is(201);
}

async fn active(it: &Served, environment: &str) -> Value {
    it.root().get(&format!("projects/p/environments/{environment}")).await.is(200)["release"].clone()
}

#[test]
fn what_is_active_in_one_environment_becomes_active_in_another() {
    served(async |it| {
        staged(it).await;
        let root = it.root();
        let promote = async |body: Value| root.post("projects/p/environments/prod/promote", body).await;
        let before = active(it, "prod").await;
        let plan = promote(json!({"from": "dev", "dry_run": true})).await.is(200);
        assert_eq!((&plan["release"], &plan["activation"]), (&active(it, "dev").await, &json!(null)));
        assert!(plan["changes"][0]["diff"].as_str().unwrap().contains("+package a"), "{plan}");
        assert_eq!(active(it, "prod").await, before, "a plan moves nothing");
        promote(json!({"from": "dev", "expected": "0".repeat(64)})).await.problem(409, "not_active");
        promote(json!({"from": "nowhere"})).await.is(404);
        let done = promote(json!({"from": "dev", "message": "go", "expected": before})).await.is(200);
        assert_eq!(done["activation"]["release"], active(it, "dev").await);
        assert_eq!(active(it, "prod").await, active(it, "dev").await);
        let again = promote(json!({"from": "dev"})).await.is(200);
        assert_eq!((&again["changes"], &again["activation"]), (&json!([]), &json!(null)));
        // There and back leaves what was there.
        root.post("projects/p/environments/prod/rollback", json!(null)).await.is(200);
        assert_eq!(active(it, "prod").await, before);
    });
}

#[test]
fn a_guarded_environment_is_promoted_to_by_request() {
    served(async |it| {
        staged(it).await;
        it.root().put("projects/p/environments/prod", json!({"approvals": 1})).await.is(200);
        let amy = it.member("amy", "p", "project-user").await;
        let ann = it.member("ann", "p", "project-admin").await;
        let path = "projects/p/environments/prod/promote";
        let request = amy.post(path, json!({"from": "dev"})).await.is(200)["request"].clone();
        assert_eq!((&request["state"], &request["release"]), (&json!("open"), &active(it, "dev").await));
        assert!(request["diff"].as_str().unwrap().contains("+package a"), "{request}");
        let at = format!("projects/p/requests/{}", request["id"].as_str().unwrap());
        ann.post(&format!("{at}/apply"), json!(null)).await.problem(403, "approval_required");
        ann.post(&format!("{at}/approve"), json!({"hash": request["hash"]})).await.is(200);
        amy.patch(&at, json!({"title": "x"})).await.problem(409, "not_editable");
        let applied = ann.post(&format!("{at}/apply"), json!(null)).await.is(200);
        assert_eq!(
            (&applied["state"], active(it, "prod").await),
            (&json!("applied"), active(it, "dev").await)
        );
        // What has moved meanwhile makes a promotion stale.
        it.root().put("projects/p/data/x", json!({"v": 2})).await.is(200);
        let open = async || amy.post(path, json!({"from": "dev"})).await.is(200)["request"].clone();
        let (one, two) = (open().await, open().await);
        for request in [&one, &two] {
            let approve = format!("projects/p/requests/{}/approve", request["id"].as_str().unwrap());
            ann.post(&approve, json!({"hash": request["hash"]})).await.is(200);
        }
        let apply =
            |request: &Value| format!("projects/p/requests/{}/apply", request["id"].as_str().unwrap());
        ann.post(&apply(&one), json!(null)).await.is(200);
        ann.post(&apply(&two), json!(null)).await.problem(409, "request_stale");
    });
}

#[test]
fn an_approved_change_is_applied_at_its_time() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let ann = it.member("ann", "p", "project-admin").await;
        let soon = SystemClock.now().after(Duration::from_millis(1500)).to_string();
        let change = json!({"kind": "data", "name": "x", "op": "put", "content": "{}", "base_version": 0});
        let body = |at: &str| json!({"title": "later", "apply_at": at, "changes": [change]});
        root.post("projects/p/requests", body("2020-01-01T00:00:00Z")).await.is(400);
        let request = root.post("projects/p/requests", body(&soon)).await.is(201);
        let at = format!("projects/p/requests/{}", request["id"].as_str().unwrap());
        ann.post(&format!("{at}/approve"), json!({"hash": request["hash"]})).await.is(200);
        ann.post(&format!("{at}/apply"), json!(null)).await.problem(409, "not_yet_due");
        let applied = async {
            loop {
                let read = root.get(&at).await.is(200);
                if read["state"] == "applied" {
                    return read;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(60), applied).await.expect("it is applied");
        assert_eq!(read["outcome"]["by"], "system");
        root.get("projects/p/data/x").await.is(200);
    });
}
