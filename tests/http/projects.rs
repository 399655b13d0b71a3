// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Onboarding, settings and offboarding of projects.

use cms_tests::{PASSWORD, served};
use serde_json::json;

#[test]
fn onboarding_gives_a_project_that_decides_at_once() {
    served(async |it| {
        it.user("eve", None).await;
        let body = json!({"id": "rag", "name": "RAG", "description": "answers", "environments": ["dev", "prod"],
            "members": [{"user": "eve", "role": "project-admin"}]});
        let made = it.root().post("projects", body).await.is(201);
        assert_eq!(made["project"]["environments"], json!(["dev", "prod"]));
        assert_eq!(made["project"]["auto_release"], true);
        assert!(made["policies"].as_array().unwrap().len() >= 4, "{made}");
        assert_eq!(made["keys"][0]["scopes"], json!(["decide"]));
        let key = it.holder(made["keys"][0]["key"].as_str().unwrap());
        for environment in ["dev", "prod"] {
            let body = json!({"path": "rag/authz/allow", "environment": environment, "input": {}});
            let decided = key.post("projects/rag/decisions", body).await.is(200);
            assert_eq!((&decided["result"], &decided["release"]), (&json!(false), &made["release"]));
        }
        let members = it.root().get("projects/rag/members").await.is(200);
        assert_eq!(members["items"], json!([{"user": "eve", "role": "project-admin"}]));
    });
}

#[test]
fn onboarding_is_all_or_nothing() {
    served(async |it| {
        let wrong = [
            json!({"id": "rag", "name": "RAG", "members": [{"user": "ghost", "role": "project-admin"}]}),
            json!({"id": "rag", "name": "RAG", "environments": ["ok", "Not OK"]}),
            json!({"id": "rag", "name": "RAG", "template": "nonsense"}),
            json!({"id": "rag", "name": ""}),
            json!({"id": "Rag", "name": "RAG"}),
            json!({"id": "rag", "name": "RAG", "owner": "me"}),
        ];
        for body in wrong {
            let reply = it.root().post("projects", body.clone()).await;
            assert!([400, 422].contains(&reply.status), "{body}: {}", reply.text());
            reply.teaches();
            it.root().get("projects/rag").await.is(404);
        }
        it.project("rag").await;
        it.root()
            .post("projects", json!({"id": "rag", "name": "again"}))
            .await
            .problem(409, "project_exists");
    });
}

#[test]
fn everybody_lists_the_projects_they_may_know_of() {
    served(async |it| {
        for id in ["one", "two"] {
            it.project(id).await;
        }
        let names = async |caller: &cms_tests::Caller| -> Vec<String> {
            let items = caller.all("projects").await;
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned())
                .filter(|id| id != "platform")
                .collect()
        };
        let eve = it.member("eve", "two", "project-user").await;
        assert_eq!(names(&eve).await, ["two"]);
        assert_eq!(names(&it.user("olaf", None).await).await, Vec::<String>::new());
        assert_eq!(names(&it.user("pat", Some("platform-admin")).await).await, ["one", "two"]);
        assert_eq!(names(&it.root()).await, ["one", "two"]);
        eve.get("projects/one").await.problem(404, "not_found");
    });
}

#[test]
fn settings_change_under_if_match() {
    served(async |it| {
        it.project("rag").await;
        let read = it.root().get("projects/rag").await;
        let tag = read.header("etag").to_owned();
        let changed = it.root().with("if-match", &tag).patch("projects/rag", json!({"name": "New"})).await;
        assert_ne!(changed.header("etag"), tag);
        assert_eq!(changed.is(200)["name"], "New");
        let stale = it.root().with("if-match", &tag).patch("projects/rag", json!({"name": "Old"})).await;
        stale.problem(412, "stale_version");
        it.root().patch("projects/rag", json!({"id": "other"})).await.is(400);
    });
}

#[test]
fn offboarding_revokes_everything_and_keeps_the_trail() {
    served(async |it| {
        let made = it.project("rag").await;
        let eve = it.member("eve", "rag", "project-admin").await;
        let key = it.holder(made["keys"][0]["key"].as_str().unwrap());
        it.root().put("projects/rag/secrets/llm/key", json!({"data": {"value": "x"}})).await.is(201);
        let report = it.root().delete("projects/rag").await.is(200);
        assert_eq!(
            (
                &report["keys_revoked"],
                &report["members_removed"],
                &report["secrets_destroyed"],
                &report["data_key_destroyed"]
            ),
            (&json!(1), &json!(1), &json!(1), &json!(true)),
            "{report}"
        );
        key.get("auth/me").await.is(401);
        eve.get("projects/rag").await.is(404);
        it.root().get("projects/rag").await.is(404);
        it.root()
            .post("projects", json!({"id": "rag", "name": "RAG"}))
            .await
            .problem(409, "project_offboarded");
        let trail = it.trail("project=rag&action=secret:write").await;
        assert_eq!(trail.len(), 1);
        it.root().delete("projects/platform").await.is(409);
    });
}

#[test]
fn nobody_else_onboards() {
    served(async |it| {
        it.project("rag").await;
        let body = json!({"id": "mine", "name": "Mine"});
        it.member("eve", "rag", "project-admin")
            .await
            .post("projects", body.clone())
            .await
            .problem(403, "denied");
        it.user("aud", Some("auditor")).await.post("projects", body.clone()).await.problem(403, "denied");
        it.root().post("users", json!({"username": "x", "password": PASSWORD})).await.is(201);
        it.user("pat", Some("platform-admin")).await.post("projects", body).await.is(201);
    });
}

#[test]
fn a_project_that_others_changed_is_not_offboarded_by_mistake() {
    served(async |it| {
        it.empty_project("p").await;
        let seen = it.root().get("projects/p").await.header("etag").to_owned();
        it.root().patch("projects/p", json!({"name": "still needed"})).await.is(200);
        it.root().with("if-match", &seen).delete("projects/p").await.problem(412, "stale_version");
        it.root()
            .with("if-none-match", "*")
            .patch("projects/p", json!({}))
            .await
            .problem(412, "stale_version");
        let now = it.root().get("projects/p").await.header("etag").to_owned();
        it.root().with("if-match", &now).delete("projects/p").await.is(200);
    });
}

#[test]
fn a_description_can_be_taken_away() {
    served(async |it| {
        it.empty_project("p").await;
        let patch = async |body: serde_json::Value| it.root().patch("projects/p", body).await.is(200);
        assert_eq!(patch(json!({"description": "answers"})).await["description"], "answers");
        assert_eq!(patch(json!({"name": "other"})).await["description"], "answers", "not given: it stays");
        assert_eq!(patch(json!({"description": null})).await["description"], json!(null));
    });
}
