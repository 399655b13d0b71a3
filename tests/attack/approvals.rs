// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Getting a change through alone: self-approval in all its forms, approvals of something else, and
//! races between approval, withdrawal and application.

use cms_tests::{Caller, Served, served};
use serde_json::{Value, json};

async fn guarded(it: &Served, quorum: u32) {
    it.empty_project("p").await;
    it.root().put("projects/p/environments/default", json!({"approvals": quorum})).await.is(200);
}

async fn open(who: &Caller, name: &str) -> Value {
    let change = json!({"kind": "data", "name": name, "op": "put", "content": "{}", "base_version": 0});
    who.post("projects/p/requests", json!({"title": name, "changes": [change]})).await.is(201)
}

async fn act(who: &Caller, request: &Value, verb: &str, body: Value) -> (u16, String) {
    let path = format!("projects/p/requests/{}/{verb}", request["id"].as_str().unwrap());
    let reply = who.post(&path, body).await;
    (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

async fn approve(who: &Caller, request: &Value) -> (u16, String) {
    act(who, request, "approve", json!({"hash": request["hash"]})).await
}

#[test]
fn nobody_gets_a_change_of_their_own_through_alone() {
    served(async |it| {
        guarded(it, 1).await;
        let refused = (403, "self_approval".to_owned());
        let admins = [
            ("root", it.root()),
            ("cms-admin", it.user("cmsadmin", Some("cms-admin")).await),
            ("platform-admin", it.user("platadmin", Some("platform-admin")).await),
            ("project-admin", it.member("projadmin", "p", "project-admin").await),
        ];
        for (role, who) in &admins {
            let own = open(who, role).await;
            assert_eq!(approve(who, &own).await, refused, "{role}");
            let applied = act(who, &own, "apply", json!(null)).await;
            assert_eq!(applied, (403, "approval_required".into()), "{role}");
        }
        // Under a key that one has made, and by editing what somebody else has opened.
        let (_, projadmin) = &admins[3];
        let made = projadmin.post("projects/p/keys", json!({"name": "k", "scopes": ["policy:write"]})).await;
        let key = it.holder(made.is(201)["key"].as_str().unwrap());
        let by_key = open(&key, "by-key").await;
        assert_eq!(approve(projadmin, &by_key).await, refused);
        assert_eq!(approve(&key, &by_key).await.0, 403);
        let own = open(projadmin, "own").await;
        let path = format!("projects/p/requests/{}", own["id"].as_str().unwrap());
        it.root().patch(&path, json!({"title": "taken over"})).await.problem(403, "not_the_author");
        let denials = it.trail("project=p&action=request:approve&outcome=denied").await;
        assert!(denials.len() >= 6, "every attempt is on the trail: {}", denials.len());
        assert_eq!(it.root().all("projects/p/data").await.len(), 0);
    });
}

#[test]
fn an_approval_is_of_one_content_of_one_request() {
    served(async |it| {
        guarded(it, 1).await;
        let amy = it.member("amy", "p", "project-user").await;
        let ann = it.member("ann", "p", "project-admin").await;
        let (first, second) = (open(&amy, "first").await, open(&amy, "second").await);
        assert_ne!(first["hash"], second["hash"]);
        let other = json!({"hash": first["hash"]});
        assert_eq!(act(&ann, &second, "approve", other).await, (409, "hash_mismatch".into()));
        let mut wrong = first.clone();
        for hash in ["", "0", &"0".repeat(64), &first["hash"].as_str().unwrap().to_uppercase()] {
            wrong["hash"] = json!(hash);
            assert_eq!(approve(&ann, &wrong).await, (409, "hash_mismatch".into()), "{hash}");
        }
        assert_eq!(act(&ann, &first, "approve", json!({})).await.0, 400);
        assert_eq!(approve(&ann, &first).await.0, 200);
        assert_eq!(act(&ann, &second, "apply", json!(null)).await, (403, "approval_required".into()));
        assert_eq!(act(&ann, &first, "apply", json!(null)).await.0, 200);
    });
}

#[test]
fn races_leave_exactly_one_end() {
    served(async |it| {
        guarded(it, 1).await;
        let amy = it.member("amy", "p", "project-user").await;
        let (ann, ben) =
            (it.member("ann", "p", "project-admin").await, it.member("ben", "p", "project-admin").await);
        for round in 0..100 {
            let name = format!("d{round}");
            let request = open(&amy, &name).await;
            if round % 2 == 0 {
                assert_eq!(approve(&ann, &request).await.0, 200);
            }
            let reject = json!({"reason": "no"});
            let (approved, withdrawn, rejected, one, two) = tokio::join!(
                approve(&ben, &request),
                act(&amy, &request, "withdraw", json!(null)),
                act(&ben, &request, "reject", reject),
                act(&ann, &request, "apply", json!(null)),
                act(&ben, &request, "apply", json!(null)),
            );
            let ends = [&withdrawn, &rejected, &one, &two].iter().filter(|end| end.0 == 200).count();
            let all = format!("{approved:?} {withdrawn:?} {rejected:?} {one:?} {two:?}");
            assert_eq!(ends, 1, "{all}");
            let path = format!("projects/p/requests/{}", request["id"].as_str().unwrap());
            let state = it.root().get(&path).await.is(200)["state"].clone();
            let is_applied = one.0 == 200 || two.0 == 200;
            assert_eq!(state == "applied", is_applied, "{state} after {all}");
            let written = it.root().get(&format!("projects/p/data/{name}")).await.status;
            assert_eq!(written == 200, is_applied, "{all}");
        }
        let applied = it.trail("project=p&action=request:apply&outcome=success").await.len();
        assert_eq!(applied, it.root().all("projects/p/requests?state=applied").await.len());
    });
}
