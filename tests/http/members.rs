// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The members of a project.

use cms_tests::served;
use serde_json::json;

#[test]
fn a_role_holds_from_the_next_request_on() {
    served(async |it| {
        it.project("rag").await;
        let eve = it.user("eve", None).await;
        eve.get("projects/rag").await.problem(404, "not_found");
        let put = async |role: &str| it.root().put("projects/rag/members/eve", json!({"role": role})).await;
        assert_eq!(put("project-user").await.is(201), json!({"user": "eve", "role": "project-user"}));
        eve.get("projects/rag/policies").await.is(200);
        eve.put_text("projects/rag/data/x", "{}").await.problem(403, "denied");
        put("project-admin").await.is(200);
        eve.put_text("projects/rag/data/x", "{}").await.is(201);
        put("auditor").await.is(200);
        eve.get("projects/rag/policies").await.problem(403, "denied");
        it.root().delete("projects/rag/members/eve").await.is(204);
        eve.get("projects/rag").await.problem(404, "not_found");
    });
}

#[test]
fn only_users_who_exist_get_only_roles_of_projects() {
    served(async |it| {
        it.project("rag").await;
        it.user("eve", None).await;
        it.root()
            .put("projects/rag/members/ghost", json!({"role": "project-user"}))
            .await
            .problem(422, "unknown_user");
        it.root()
            .put("projects/rag/members/eve", json!({"role": "cms-admin"}))
            .await
            .problem(422, "invalid_role");
        it.root().put("projects/rag/members/eve", json!({"role": "boss"})).await.is(400);
        it.root().delete("projects/rag/members/eve").await.problem(404, "not_found");
    });
}

#[test]
fn an_admin_of_a_project_manages_its_members_and_nobody_else_s() {
    served(async |it| {
        it.project("rag").await;
        it.project("other").await;
        let eve = it.member("eve", "rag", "project-admin").await;
        it.user("bob", None).await;
        eve.put("projects/rag/members/bob", json!({"role": "project-user"})).await.is(201);
        assert_eq!(eve.get("projects/rag/members").await.is(200)["items"].as_array().unwrap().len(), 2);
        eve.put("projects/other/members/bob", json!({"role": "project-user"}))
            .await
            .problem(404, "not_found");
        eve.get("users").await.problem(403, "denied");
    });
}
