// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forward authentication for gateways.

use cms_tests::served;
use serde_json::json;

#[test]
fn a_gateway_learns_who_asks() {
    served(async |it| {
        it.project("p").await;
        it.nobody().get("auth/verify").await.problem(401, "unauthenticated");
        let eve = it.member("eve", "p", "project-user").await;
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            let known = eve.call(method, "auth/verify", &json!(null)).await;
            assert_eq!((known.status, known.header("x-cms-principal")), (200, "user:eve"), "{method}");
        }
        assert_eq!(eve.get("auth/verify?project=p").await.header("x-cms-roles"), "project-user");
        let key = it.holder(&it.key("p", json!(["decide"])).await);
        let known = key.get("auth/verify").await;
        assert_eq!((known.status, known.header("x-cms-project")), (200, "p"));
        assert!(known.header("x-cms-principal").starts_with("key:"));
    });
}

#[test]
fn a_rule_decides_about_the_request_that_the_gateway_holds() {
    served(async |it| {
        let key = it.empty_project("p").await;
        let policy = "package gateway\n\ndefault allow := false\n\nallow if {\n\tinput.method == \"GET\"\n\tstartswith(input.uri, \"/public/\")\n}\n\nverdict := {\"allow\": false, \"reason\": \"closed today\"}\n";
        it.root().put_text("projects/p/policies/gateway", policy).await.is(201);
        let ask = async |method: &str, uri: &str, path: &str| {
            let caller = it.holder(&key).with("x-forwarded-method", method).with("x-forwarded-uri", uri);
            caller.get(&format!("auth/verify?project=p&environment=default&path={path}")).await
        };
        assert_eq!(ask("GET", "/public/a", "gateway/allow").await.status, 200);
        ask("POST", "/public/a", "gateway/allow").await.problem(403, "denied");
        ask("GET", "/private/a", "gateway/allow").await.problem(403, "denied");
        ask("GET", "/public/a", "gateway/missing").await.problem(403, "denied");
        assert_eq!(ask("GET", "/", "gateway/verdict").await.problem(403, "denied")["detail"], "closed today");
        it.empty_project("q").await;
        it.holder(&key).get("auth/verify?project=q&path=gateway/allow").await.problem(403, "denied");
    });
}
