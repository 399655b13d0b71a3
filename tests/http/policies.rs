// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Trying policies out without writing them.

use cms_tests::served;
use serde_json::json;

#[test]
fn validation_tells_what_a_policy_declares_or_where_it_is_wrong() {
    served(async |it| {
        it.empty_project("p").await;
        let validate = async |content: &str| {
            it.root().post("projects/p/policies/-/validate", json!({"content": content})).await.is(200)
        };
        let good = validate("package a.b\n\ndefault allow := false\n\nallow if input.x\n").await;
        assert_eq!(
            (&good["ok"], &good["package"], &good["errors"]),
            (&json!(true), &json!("a.b"), &json!([]))
        );
        assert!(good["rules"].as_array().unwrap().contains(&json!("allow")), "{good}");
        for bad in [
            "package a\n\nallow if {",
            "",
            "package a\n\nallow if nothing_here(1)\n",
            "package cms\n\nx := 1\n",
        ] {
            let found = validate(bad).await;
            assert_eq!(found["ok"], false, "{bad}: {found}");
            let first = &found["errors"][0];
            assert!(
                first["line"].is_u64() && first["column"].is_u64() && first["message"].is_string(),
                "{found}"
            );
        }
        assert_eq!(it.root().get("projects/p/policies").await.is(200)["items"], json!([]));
    });
}

#[test]
fn tests_run_with_candidates_in_place() {
    served(async |it| {
        it.project("p").await;
        let run =
            async |body: serde_json::Value| it.root().post("projects/p/policies/-/test", body).await.is(200);
        let present = run(json!(null)).await;
        assert!(
            present["passed"].as_u64().unwrap() > 10 && present["failed"] == 0 && present["errored"] == 0,
            "{present}"
        );
        assert!(present["coverage"]["percent"].as_f64().unwrap() > 50.0);
        let candidate = run(json!({"documents": {"mine_test": "package mine_test\n\ntest_yes if 1 == 1\n\ntest_no if 1 == 2\n"}})).await;
        assert_eq!(candidate["passed"].as_u64().unwrap(), present["passed"].as_u64().unwrap() + 1);
        assert_eq!(candidate["failed"], 1);
        let no = candidate["results"]
            .as_array()
            .unwrap()
            .iter()
            .find(|result| result["name"] == "test_no")
            .unwrap();
        assert_eq!((&no["outcome"], &no["package"]), (&json!("failed"), &json!("mine_test")));
        assert!(no["duration_ns"].is_u64());
        it.root().get("projects/p/policies/mine_test").await.is(404);
    });
}

/// Asks until the answer has this status: a released authorization policy is in force soon after.
async fn until(caller: &cms_tests::Caller, path: &str, status: u16) {
    for _ in 0..200 {
        if caller.get(path).await.status == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    caller.get(path).await.is(status);
}

#[test]
fn the_platform_decides_who_may_do_what_by_yes_or_no_alone() {
    served(async |it| {
        it.empty_project("p").await;
        let admin = it.user("ada", Some("cms-admin")).await;
        let nobody = it.user("eve", None).await;
        admin.get("users").await.is(200);
        let policy = "package cms.authz\n\nallow if input.action == \"project:read\"\n";
        admin.put_text("policies/cms/authz", policy).await.is(201);
        until(&admin, "users", 403).await;
        admin.get("projects/p").await.is(200);
        nobody.get("projects/p").await.is(200);
        // Who had nothing to do with a project still does not learn of it.
        nobody.get("projects/p/keys").await.problem(404, "not_found");
        // A package that decides nothing refuses everything, except what root does.
        it.root().put_text("policies/cms/authz", "package cms.authz\n\nallowed := true\n").await.is(200);
        until(&admin, "projects/p", 404).await;
        it.root().delete("policies/cms/authz").await.is(200);
        until(&admin, "users", 200).await;
    });
}
