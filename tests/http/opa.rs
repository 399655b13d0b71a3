// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's data API on the active release, in OPA's own shapes.

use cms_tests::{Served, served};
use serde_json::{Value, json};

const POLICY: &str = "package rag.authz\n\ndefault allow := false\n\nallow if input.user == \"eve\"\n\nlevel := 3 if input.user == \"eve\"\n";

async fn decider(it: &Served) -> cms_tests::Caller {
    let key = it.empty_project("p").await;
    it.root().put("projects/p/data/rag/limits", json!({"tokens": 5})).await.is(201);
    it.root().put_text("projects/p/policies/rag/authz", POLICY).await.is(201);
    it.holder(&key)
}

#[test]
fn documents_are_read_with_an_input() {
    served(async |it| {
        let key = decider(it).await;
        let ask = async |input: Value| {
            key.post("/opa/p/default/v1/data/rag/authz/allow", json!({"input": input})).await.is(200)
        };
        let yes = ask(json!({"user": "eve"})).await;
        assert_eq!(yes["result"], true);
        assert!(yes["decision_id"].is_string());
        assert_eq!(ask(json!({"user": "bob"})).await["result"], false);
        let whole =
            key.post("/opa/p/default/v1/data/rag/authz", json!({"input": {"user": "eve"}})).await.is(200);
        assert_eq!(whole["result"], json!({"allow": true, "level": 3}));
        let base = key.get("/opa/p/default/v1/data/rag/limits/tokens").await.is(200);
        assert_eq!(base["result"], 5);
        let asked = key
            .get("/opa/p/default/v1/data/rag/authz/allow?input=%7B%22user%22%3A%22eve%22%7D")
            .await
            .is(200);
        assert_eq!(asked["result"], true);
    });
}

#[test]
fn what_is_undefined_has_no_result() {
    served(async |it| {
        let key = decider(it).await;
        let undefined = key
            .post("/opa/p/default/v1/data/rag/authz/level", json!({"input": {"user": "bob"}}))
            .await
            .is(200);
        assert!(undefined.get("result").is_none(), "{undefined}");
        let unknown = key.get("/opa/p/default/v1/data/nothing/here").await.is(200);
        assert!(unknown.get("result").is_none(), "{unknown}");
        let warned = key.post("/opa/p/default/v1/data/rag/authz/allow", json!({"user": "eve"})).await.is(200);
        assert_eq!(warned["warning"]["code"], "api_usage_warning");
    });
}

#[test]
fn v0_takes_the_bare_input_and_answers_the_bare_result() {
    served(async |it| {
        let key = decider(it).await;
        assert_eq!(
            key.post("/opa/p/default/v0/data/rag/authz/allow", json!({"user": "eve"})).await.is(200),
            true
        );
        let missing = key.post("/opa/p/default/v0/data/rag/authz/level", json!({"user": "bob"})).await;
        assert_eq!(missing.is(404)["code"], "undefined_document");
    });
}

#[test]
fn errors_and_health_are_in_opa_s_shape() {
    served(async |it| {
        let key = decider(it).await;
        it.nobody().get("/opa/p/default/health").await.is(200);
        let bad =
            key.send("POST", "/opa/p/default/v1/data/rag", "application/json", "{nonsense").await.is(400);
        assert!(bad["code"].is_string() && bad["message"].is_string(), "{bad}");
        let stranger = it.nobody().get("/opa/p/default/v1/data/rag").await;
        assert_eq!(stranger.is(401)["code"], "unauthorized");
        assert_eq!(stranger.header("www-authenticate"), "Bearer realm=\"cms\"");
        it.empty_project("other").await;
        key.get("/opa/other/default/v1/data").await.is(404);
        let pretty = key.get("/opa/p/default/v1/data/rag/limits?pretty=true").await;
        assert!(pretty.text().contains("\n  \"result\""), "{}", pretty.text());
    });
}
