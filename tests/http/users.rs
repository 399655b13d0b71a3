// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Local users.

use cms_tests::{PASSWORD, served};
use serde_json::json;

#[test]
fn users_are_made_read_changed_and_removed() {
    served(async |it| {
        let body = json!({"username": "Eve", "password": PASSWORD, "display_name": "Eve E.", "email": "eve@example.org", "role": "auditor"});
        let made = it.root().post("users", body).await;
        assert_eq!(made.header("etag"), "\"1\"");
        let made = made.is(201);
        assert_eq!((&made["username"], &made["role"]), (&json!("eve"), &json!("auditor")));
        assert!(!made.to_string().contains("argon2") && made.get("password").is_none(), "{made}");
        it.root()
            .post("users", json!({"username": "EVE", "password": PASSWORD}))
            .await
            .problem(409, "user_exists");
        assert_eq!(it.root().get("users/eve").await.is(200), made);
        let stale = it.root().with("if-match", "\"7\"").patch("users/eve", json!({"email": null})).await;
        stale.problem(412, "stale_version");
        let changed =
            it.root().with("if-match", "\"1\"").patch("users/eve", json!({"email": null})).await.is(200);
        assert_eq!((&changed["email"], &changed["display_name"]), (&json!(null), &json!("Eve E.")));
        it.root().delete("users/eve").await.is(204);
        it.root().get("users/eve").await.problem(404, "not_found");
    });
}

#[test]
fn weak_passwords_and_project_roles_are_refused() {
    served(async |it| {
        for password in ["short", "", "eve@example.org"] {
            let reply =
                it.root().post("users", json!({"username": "eve@example.org", "password": password})).await;
            reply.problem(422, "invalid_password");
        }
        let body = json!({"username": "eve", "password": PASSWORD, "role": "project-admin"});
        let problem = it.root().post("users", body).await.problem(422, "role_not_global");
        assert_eq!(problem["errors"][0]["path"], "/role");
        let body = json!({"username": "eve", "password": PASSWORD, "role": "king"});
        it.root().post("users", body).await.is(400);
    });
}

#[test]
fn the_last_cms_admin_stays() {
    served(async |it| {
        let ada = it.user("ada", Some("cms-admin")).await;
        ada.delete("users/ada").await.problem(409, "last_admin");
        ada.patch("users/ada", json!({"role": null})).await.problem(409, "last_admin");
        ada.patch("users/ada", json!({"disabled": true})).await.problem(409, "last_admin");
        it.user("bob", Some("cms-admin")).await;
        ada.delete("users/ada").await.is(204);
        it.root().delete("users/bob").await.problem(409, "last_admin");
    });
}

#[test]
fn a_removed_user_loses_everything_at_once() {
    served(async |it| {
        it.project("search").await;
        let eve = it.member("eve", "search", "project-admin").await;
        eve.get("projects/search").await.is(200);
        it.root().delete("users/eve").await.is(204);
        eve.get("projects/search").await.is(401);
        assert_eq!(it.root().get("projects/search/members").await.is(200)["items"], json!([]));
        // Who gets the name later does not inherit.
        it.user("eve", None).await.get("projects/search").await.is(404);
    });
}

#[test]
fn users_are_listed_page_by_page() {
    served(async |it| {
        for name in ["ada", "bob", "cyd"] {
            it.root().post("users", json!({"username": name, "password": PASSWORD})).await.is(201);
        }
        let page = it.root().get("users?limit=2").await.is(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let rest = it
            .root()
            .get(&format!("users?limit=2&cursor={}", page["next_cursor"].as_str().unwrap()))
            .await
            .is(200);
        assert_eq!(
            (rest["items"][0]["username"].as_str(), &rest["next_cursor"]),
            (Some("cyd"), &json!(null))
        );
    });
}
