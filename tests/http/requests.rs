// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Change requests: opened, looked at, approved by others, applied, and every way around that.

use cms_tests::{Caller, Reply, Served, served};
use serde_json::{Value, json};

const POLICY: &str = "package search\n\ndefault allow := false\n";
const WIDER: &str = "package search\n\ndefault allow := false\n\nallow if input.admin\n";

/// A project with a policy, an author, and people who may approve.
struct Team<'a> {
    it: &'a Served,
    author: Caller,
    ann: Caller,
    ben: Caller,
}

impl<'a> Team<'a> {
    async fn new(it: &'a Served) -> Self {
        it.empty_project("p").await;
        it.root().put_text("projects/p/policies/search", POLICY).await.is(201);
        Self {
            it,
            author: it.member("amy", "p", "project-user").await,
            ann: it.member("ann", "p", "project-admin").await,
            ben: it.member("ben", "p", "project-admin").await,
        }
    }

    /// Asks for so many approvals before anything goes live.
    async fn guard(&self, approvals: Value) {
        self.it.root().put("projects/p/environments/default", json!({"approvals": approvals})).await.is(200);
    }

    /// Opens a request for the wider policy.
    async fn open(&self) -> Value {
        self.author.post("projects/p/requests", wider(1)).await.is(201)
    }

    async fn content(&self) -> String {
        self.it.root().get("projects/p/policies/search").await.is(200)["content"].as_str().unwrap().to_owned()
    }

    async fn state(&self, id: &Value) -> Value {
        self.it.root().get(&at(id, "")).await.is(200)["state"].clone()
    }
}

fn wider(base: u64) -> Value {
    json!({"title": "Admins may search", "reason": "ticket 7", "changes": [
        {"kind": "policy", "name": "search", "op": "put", "content": WIDER, "base_version": base},
    ]})
}

fn at(id: &Value, verb: &str) -> String {
    format!("projects/p/requests/{}{verb}", id.as_str().unwrap())
}

async fn approve(who: &Caller, request: &Value) -> Reply {
    who.post(&at(&request["id"], "/approve"), json!({"hash": request["hash"]})).await
}

async fn apply(who: &Caller, request: &Value) -> Reply {
    who.post(&at(&request["id"], "/apply"), json!(null)).await
}

#[test]
fn a_change_goes_live_once_somebody_else_has_approved_it() {
    served(async |it| {
        let team = Team::new(it).await;
        let request = team.open().await;
        assert_eq!((&request["state"], &request["author"]), (&json!("open"), &json!("user:amy")));
        assert!(request["diff"].as_str().unwrap().contains("+allow if input.admin"), "{request}");
        assert!(request["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{request}");
        assert_eq!(team.content().await, POLICY, "a draft changes nothing");
        apply(&team.ann, &request).await.problem(403, "approval_required");
        let approved = approve(&team.ann, &request).await.is(200);
        assert_eq!(
            (&approved["state"], &approved["approvals"][0]["by"]),
            (&json!("approved"), &json!("user:ann"))
        );
        apply(&team.author, &request).await.is(403);
        let applied = apply(&team.ann, &request).await.is(200);
        assert_eq!(applied["state"], "applied");
        assert_eq!(team.content().await, WIDER);
        let active = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        assert_eq!(applied["outcome"]["release"], active);
        apply(&team.ann, &request).await.problem(409, "request_closed");
        let trail = it.trail("project=p&action=request:apply&outcome=success").await;
        assert_eq!((trail.len(), &trail[0]["release"]), (1, &active));
        assert_eq!(it.trail("project=p&action=policy:write&outcome=success").await.len(), 2);
    });
}

#[test]
fn what_cannot_be_applied_cannot_be_opened() {
    served(async |it| {
        let team = Team::new(it).await;
        let change =
            json!({"kind": "policy", "name": "search", "op": "put", "content": WIDER, "base_version": 1});
        let with = |field: &str, value: Value| {
            let mut change = change.clone();
            change[field] = value;
            json!({"title": "t", "changes": [change]})
        };
        let open = async |body: Value| team.author.post("projects/p/requests", body).await;
        open(with("content", json!("no rego"))).await.problem(422, "invalid_policy");
        open(with("content", json!(format!("{POLICY}\ntest_it if false\n"))))
            .await
            .problem(422, "tests_failed");
        open(with("base_version", json!(0))).await.problem(409, "base_changed");
        open(with("base_version", json!(7))).await.problem(409, "base_changed");
        open(with("name", json!("../x"))).await.problem(422, "invalid_changes");
        open(with("op", json!("delete"))).await.problem(422, "invalid_changes");
        open(with("kind", json!("secret"))).await.is(400);
        open(json!({"title": "t", "changes": []})).await.problem(422, "invalid_changes");
        open(json!({"title": "t", "changes": [change, change]})).await.problem(422, "invalid_changes");
        open(json!({"title": " ", "changes": [change]})).await.is(400);
        open(json!({"title": "t", "changes": [change], "environment": "nowhere"})).await.is(404);
        open(json!({"title": "t", "changes": [change], "expires_in": 1})).await.is(400);
        let many: Vec<Value> = (0..101)
            .map(|n| json!({"kind": "data", "name": format!("d{n}"), "op": "put", "content": "{}", "base_version": 0}))
            .collect();
        open(json!({"title": "t", "changes": many[..100]})).await.is(201);
        open(json!({"title": "t", "changes": many})).await.problem(422, "invalid_changes");
        assert_eq!(it.root().all("projects/p/requests").await.len(), 1);
    });
}

#[test]
fn nothing_gets_around_the_approvals_of_an_environment() {
    served(async |it| {
        let team = Team::new(it).await;
        it.root().put("projects/p/data/x", json!({"a": 1})).await.is(201);
        let older = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        it.root().put("projects/p/data/x", json!({"a": 2})).await.is(200);
        team.guard(json!(2)).await;
        for who in [it.root(), team.ann.clone()] {
            who.put_text("projects/p/policies/search", WIDER).await.problem(403, "approval_required");
            who.put("projects/p/data/x", json!({"a": 3})).await.problem(403, "approval_required");
            who.delete("projects/p/data/x").await.problem(403, "approval_required");
            who.post("projects/p/data/-/rollback/x", json!({"version": 1}))
                .await
                .problem(403, "approval_required");
            who.put("/opa/p/default/v1/data/x", json!({"a": 3})).await.is(403);
        }
        let activate = json!({"release": older});
        it.root()
            .post("projects/p/environments/default/activate", activate.clone())
            .await
            .problem(403, "approval_required");
        // A release that was never there cannot be gone back to.
        it.root().put("projects/p/environments/dev", json!({"auto_release": false})).await.is(201);
        it.root().patch("projects/p", json!({"auto_release": false})).await.is(200);
        it.root().put("projects/p/data/x", json!({"a": 4})).await.is(200);
        let fresh = it.root().post("projects/p/releases", json!(null)).await.is(201)["id"].clone();
        let back = async |to: Value| {
            it.root().post("projects/p/environments/default/rollback", json!({"to": to})).await
        };
        back(fresh).await.problem(403, "approval_required");
        back(older.clone()).await.is(200);
        // Asking for less is no project-admin's.
        for less in [json!(0), json!(1), json!({"quorum": 2, "approvers": ["ann"]})] {
            team.ann.put("projects/p/environments/default", json!({"approvals": less})).await.is(403);
        }
        team.ann.put("projects/p/environments/default", json!({"approvals": 3})).await.is(200);
    });
}

#[test]
fn an_approved_change_takes_nothing_along() {
    served(async |it| {
        let team = Team::new(it).await;
        let root = it.root();
        root.put("projects/p/environments/prod", json!({"auto_release": false, "approvals": 1}))
            .await
            .is(201);
        root.put("projects/p/data/x", json!({"a": 1})).await.is(201);
        let request = json!({"title": "t", "environment": "prod", "changes": [
            {"kind": "data", "name": "y", "op": "put", "content": "{\"b\": 1}", "base_version": 0},
        ]});
        let request = team.author.post("projects/p/requests", request).await.is(201);
        assert_eq!(request["needs"][0]["environment"], "prod");
        approve(&team.ann, &request).await.is(200);
        let applied = apply(&team.ben, &request).await.is(200);
        let release = applied["outcome"]["release"].as_str().unwrap();
        let release = root.get("projects/p/environments/prod").await.is(200)["release"]
            .as_str()
            .unwrap_or(release)
            .to_owned();
        let documents =
            root.get(&format!("projects/p/releases/{release}")).await.is(200)["documents"].clone();
        let names: Vec<_> =
            documents.as_array().unwrap().iter().map(|document| document["name"].clone()).collect();
        assert_eq!(names, ["y"], "what was never approved for prod stays out");
    });
}

#[test]
fn requests_are_listed_by_state_and_followed_as_events() {
    served(async |it| {
        let team = Team::new(it).await;
        let (first, second) = (team.open().await, team.open().await);
        team.author.post(&at(&first["id"], "/withdraw"), json!(null)).await.is(200);
        team.ann
            .post(&at(&second["id"], "/reject"), json!({"reason": " "}))
            .await
            .problem(422, "reason_required");
        let rejected = team.ann.post(&at(&second["id"], "/reject"), json!({"reason": "no"})).await.is(200);
        assert_eq!((&rejected["state"], &rejected["outcome"]["reason"]), (&json!("rejected"), &json!("no")));
        for (state, count) in [("withdrawn", 1), ("rejected", 1), ("open", 0), ("applied", 0)] {
            let found = it.root().all(&format!("projects/p/requests?state={state}")).await;
            assert_eq!(found.len(), count, "{state}");
        }
        let page = it.root().get("projects/p/requests?limit=1").await.is(200);
        assert_eq!(page["items"][0]["id"], second["id"], "newest first");
        assert!(page["next_cursor"].is_string());
        it.root().get("projects/p/requests/nonsense").await.problem(404, "not_found");
        // Metadata is the auditor's, the texts are not.
        let auditor = it.member("ada", "p", "auditor").await;
        assert!(auditor.get(&at(&first["id"], "")).await.is(200)["diff"].is_null());
        approve(&auditor, &second).await.is(403);
    });
}

#[test]
fn a_key_may_ask_for_what_it_could_write_and_approves_nothing() {
    served(async |it| {
        let team = Team::new(it).await;
        let made =
            team.ann.post("projects/p/keys", json!({"name": "ci", "scopes": ["policy:write"]})).await.is(201);
        let key = it.holder(made["key"].as_str().unwrap());
        let request = key.post("projects/p/requests", wider(1)).await.is(201);
        approve(&key, &request).await.is(403);
        approve(&team.ann, &request).await.problem(403, "self_approval");
        approve(&team.ben, &request).await.is(200);
        apply(&key, &request).await.is(403);
        let reader = it.holder(&it.key("p", json!(["policy:read"])).await);
        reader.post("projects/p/requests", wider(1)).await.is(403);
        assert_eq!(reader.get(&at(&request["id"], "")).await.is(200)["state"], "approved");
    });
}

#[test]
fn an_emergency_takes_a_reason_and_a_right_of_its_own() {
    served(async |it| {
        let team = Team::new(it).await;
        team.guard(json!(2)).await;
        let request = team.open().await;
        let path = at(&request["id"], "/apply");
        team.ann.post(&path, json!({"emergency": true, "reason": "outage"})).await.is(403);
        it.root().post(&path, json!({"emergency": true})).await.problem(422, "reason_required");
        let applied = it.root().post(&path, json!({"emergency": true, "reason": "outage 12"})).await.is(200);
        assert_eq!((&applied["state"], &applied["outcome"]["emergency"]), (&json!("applied"), &json!(true)));
        assert_eq!(team.content().await, WIDER);
        let trail = it.trail("project=p&action=request:emergency&outcome=success").await;
        assert_eq!((trail.len(), &trail[0]["reason"]), (1, &json!("outage 12")));
    });
}

#[test]
fn whatever_changes_makes_a_request_stale_and_its_approvals_void() {
    served(async |it| {
        let team = Team::new(it).await;
        // Edited: another hash, no approvals, and those for the old one are refused.
        let request = team.open().await;
        approve(&team.ann, &request).await.is(200);
        let path = at(&request["id"], "");
        team.ann.patch(&path, json!({"title": "mine"})).await.problem(403, "not_the_author");
        let mut changes = wider(1)["changes"].clone();
        changes[0]["content"] = json!(format!("{WIDER}\n# more\n"));
        let edited = team.author.patch(&path, json!({"changes": changes})).await.is(200);
        assert_eq!((&edited["state"], &edited["approvals"]), (&json!("open"), &json!([])));
        assert_ne!(edited["hash"], request["hash"]);
        approve(&team.ann, &request).await.problem(409, "hash_mismatch");
        apply(&team.ann, &edited).await.problem(403, "approval_required");
        approve(&team.ann, &edited).await.is(200);
        // The document has changed.
        it.root().put_text("projects/p/policies/search", &format!("{POLICY}\n# v2\n")).await.is(200);
        assert_eq!(team.state(&request["id"]).await, "stale");
        approve(&team.ben, &edited).await.problem(409, "request_stale");
        apply(&team.ann, &edited).await.problem(409, "request_stale");
        changes[0]["base_version"] = json!(2);
        let fresh = team.author.patch(&path, json!({"changes": changes})).await.is(200);
        approve(&team.ann, &fresh).await.is(200);
        // The rule has changed.
        team.guard(json!(1)).await;
        assert_eq!(team.state(&request["id"]).await, "stale");
        apply(&team.ann, &fresh).await.problem(409, "request_stale");
        let fresh = team.author.patch(&path, json!({})).await.is(200);
        approve(&team.ann, &fresh).await.is(200);
        apply(&team.ann, &fresh).await.is(200);
    });
}

#[test]
fn a_quorum_is_of_different_people_who_may_approve_now() {
    served(async |it| {
        let team = Team::new(it).await;
        let cyd = it.member("cyd", "p", "project-user").await;
        team.guard(json!({"quorum": 2, "approvers": ["cyd", "platform-admin", "project-admin"]})).await;
        let request = team.open().await;
        assert_eq!((&request["needs"][0]["quorum"], &request["needs"][0]["given"]), (&json!(2), &json!(0)));
        for _ in 0..2 {
            assert_eq!(
                approve(&team.ann, &request).await.is(200)["state"],
                "open",
                "the same one counts once"
            );
        }
        assert_eq!(approve(&cyd, &request).await.is(200)["state"], "approved", "named by the environment");
        // Who has left counts no more, and counts again with the role.
        it.root().delete("projects/p/members/ann").await.is(204);
        assert_eq!(team.state(&request["id"]).await, "open");
        apply(&team.ben, &request).await.problem(403, "approval_required");
        it.root().put("projects/p/members/ann", json!({"role": "auditor"})).await.is(201);
        apply(&team.ben, &request).await.problem(403, "approval_required");
        it.root().put("projects/p/members/ann", json!({"role": "project-admin"})).await.is(200);
        // Who was disabled does not count either, nor somebody else of the same name.
        it.root().patch("users/cyd", json!({"disabled": true})).await.is(200);
        apply(&team.ben, &request).await.problem(403, "approval_required");
        it.root().delete("users/cyd").await.is(204);
        it.member("cyd", "p", "project-user").await;
        apply(&team.ben, &request).await.problem(403, "approval_required");
        approve(&team.ben, &request).await.is(200);
        apply(&team.ben, &request).await.is(200);
    });
}

#[test]
fn a_rollback_sticks_until_a_person_activates() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let environment = "projects/p/environments/default";
        let key = it.holder(&it.key("p", json!(["policy:write"])).await);
        root.put("projects/p/data/good", json!({"v": 1})).await.is(201);
        root.put("projects/p/data/bad", json!({"v": 1})).await.is(201);
        key.put("projects/p/data/bad", json!({"v": 2})).await.is(200);
        let bad = root.get(environment).await.is(200)["release"].clone();
        root.post(&format!("{environment}/rollback"), json!(null)).await.is(200);
        assert_eq!(root.get(environment).await.is(200)["rolled_back"], json!([bad]));
        let live = async || {
            let read = root.get("/opa/p/default/v1/data").await.is(200);
            (read["result"]["good"]["v"].clone(), read["result"]["bad"]["v"].clone())
        };
        // What is written next goes live, what was rolled back does not come with it.
        key.put("projects/p/data/good", json!({"v": 2})).await.is(200);
        assert_eq!(live().await, (json!(2), json!(1)));
        root.put("/opa/p/default/v1/data/good", json!({"v": 3})).await.is(204);
        assert_eq!(live().await, (json!(3), json!(1)));
        // A better version does.
        key.put("projects/p/data/bad", json!({"v": 3})).await.is(200);
        assert_eq!(live().await, (json!(3), json!(3)));
        // And so does what a person activates.
        root.post(&format!("{environment}/activate"), json!({"release": bad})).await.is(200);
        assert!(root.get(environment).await.is(200)["rolled_back"].is_null());
        assert_eq!(live().await, (json!(1), json!(2)));
    });
}

#[test]
fn a_request_binds_a_config_to_its_schema() {
    served(async |it| {
        let team = Team::new(it).await;
        let draft = |content: &str, schema: &str, base: u64| {
            json!({"title": "t", "changes": [{"kind": "config", "name": "c", "op": "put", "content": content,
                "schema": schema, "base_version": base}]})
        };
        let whole = r#"{"required": ["a"]}"#;
        let refused = team.author.post("projects/p/requests", draft("{}", whole, 0)).await;
        refused.problem(422, "schema_violation");
        let request = team.author.post("projects/p/requests", draft(r#"{"a": 1}"#, whole, 0)).await.is(201);
        let kinds: Vec<&Value> =
            request["changes"].as_array().unwrap().iter().map(|change| &change["kind"]).collect();
        assert_eq!(kinds, ["config", "schema"], "{request}");
        approve(&team.ann, &request).await.is(200);
        apply(&team.ann, &request).await.is(200);
        assert_eq!(it.root().get("projects/p/configs/c").await.is(200)["schema"], "c");
        it.root().put("projects/p/configs/c", json!({})).await.problem(422, "schema_violation");
        // Letting go of it is a change that approvers see.
        let request = team.author.post("projects/p/requests", draft(r#"{"a": 1}"#, "", 1)).await.is(201);
        assert!(request["diff"].as_str().unwrap().contains("(its schema)\n@@ -1 +0,0 @@\n-c"), "{request}");
        let mut policy = wider(1);
        policy["changes"][0]["schema"] = json!("c");
        let refused = team.author.post("projects/p/requests", policy).await.problem(422, "invalid_changes");
        assert_eq!(refused["errors"][0]["path"], "/changes/0/schema", "{refused}");
    });
}
