// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's data API on the active release, in OPA's own shapes.

use std::num::NonZeroU32;

use cms_server::Options;
use cms_tests::{Reply, Served, raw, served, served_with};
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
fn an_answer_explains_itself_in_a_list_and_pretty_in_lines() {
    served(async |it| {
        let key = decider(it).await;
        let body = json!({"input": {"user": "bob"}});
        let path = "/opa/p/default/v1/data/rag/authz/allow?explain=full";
        let told = it.root().post(path, body.clone()).await.is(200);
        assert_eq!((&told["result"], &told["explanation"][0]["line"]), (&json!(false), &json!(5)), "{told}");
        let pretty = it.root().post(&format!("{path}&pretty=true"), body.clone()).await.is(200);
        let lines = pretty["explanation"].as_array().unwrap();
        assert!(
            lines.iter().any(|line| line.as_str().unwrap().contains("input.user == \"eve\"")),
            "{pretty}"
        );
        let quiet =
            it.root().post("/opa/p/default/v1/data/rag/authz/allow?explain=off", body.clone()).await.is(200);
        assert!(quiet.get("explanation").is_none());
        let decider = key.post(path, body).await.is(200);
        assert_eq!(
            (&decider["result"], &decider["warning"]["code"]),
            (&json!(false), &json!("explanation_not_allowed"))
        );
        assert!(decider.get("explanation").is_none());
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

/// Checks that a refusal is in OPA's form.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    let error = reply.is(status);
    assert_eq!(reply.header("content-type"), "application/json", "{}", reply.asked);
    let fields: Vec<&str> = error.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["code", "message"], "{}: {error}", reply.asked);
    assert_eq!(error["code"], code, "{}: {error}", reply.asked);
    assert!(!error["message"].as_str().unwrap().is_empty(), "{}", reply.asked);
    assert!(!reply.header("x-request-id").is_empty(), "{}", reply.asked);
}

#[test]
fn every_error_has_opa_s_form_wherever_it_arises() {
    served(async |it| {
        let key = decider(it).await;
        let at = "/opa/p/default/v1/data/rag";
        refused(&it.nobody().get(at).await, 401, "unauthorized");
        refused(&it.holder("cms_nonsense").post(at, json!({})).await, 401, "unauthorized");
        let writer = it.holder(&it.key("p", json!(["secret:write"])).await);
        refused(&writer.get(at).await, 403, "unauthorized");
        refused(&key.get("/opa/p/nowhere/v1/data/rag").await, 404, "resource_not_found");
        refused(&key.get("/opa/p/default/v9/rag").await, 404, "resource_not_found");
        refused(&it.nobody().get("/opa").await, 404, "resource_not_found");
        let method = key.call("DELETE", "/opa/p/default/v1/query", &Value::Null).await;
        refused(&method, 405, "invalid_parameter");
        assert!(method.header("allow").contains("POST"), "{:?}", method.headers);
        refused(&key.send("POST", at, "application/json", "{").await, 400, "invalid_parameter");
        refused(&key.get(&format!("{at}?input=%7B")).await, 400, "invalid_parameter");
        refused(&key.get("/opa/P/default/v1/data/rag").await, 400, "invalid_parameter");
        refused(&key.get("/opa/p/default/v1/data/a%2Fb").await, 400, "invalid_parameter");
        refused(&key.get(&format!("{at}/{}", "a".repeat(9000))).await, 414, "invalid_parameter");
        refused(&key.with("x-fat", &"a".repeat(40_000)).get(at).await, 431, "invalid_parameter");
        for size in [2, 5] {
            let body = format!("{{\"input\": \"{}\"}}", "x".repeat(size * 1024 * 1024));
            refused(&key.send("POST", at, "application/json", body).await, 413, "invalid_parameter");
        }
        let undefined = key.post("/opa/p/default/v0/data/rag/nothing", json!({})).await;
        refused(&undefined, 404, "undefined_document");
        let two_hosts = raw::request("GET", at, &[("Host", "other")], "");
        let heard = raw::exchange(it.nobody().url(), two_hosts.as_bytes()).await;
        assert!(
            heard.text.ends_with("}") && heard.text.contains(r#"{"code":"invalid_parameter""#),
            "{heard:?}"
        );
        it.root().post("system/seal", json!(null)).await.is(204);
        refused(&key.get(at).await, 423, "invalid_parameter");
        it.nobody().post("system/unseal", json!(null)).await.is(204);
    });
}

#[test]
fn callers_who_ask_too_often_hear_it_in_opa_s_form() {
    let mut options = Options::default();
    options.stranger_per_minute = NonZeroU32::MIN;
    served_with(options, async |it| {
        let at = "/opa/p/default/v1/data/rag";
        refused(&it.nobody().get(at).await, 401, "unauthorized");
        let refusal = it.nobody().get(at).await;
        refused(&refusal, 429, "invalid_parameter");
        assert!(!refusal.header("retry-after").is_empty());
    });
}

#[test]
fn what_gateways_send_is_taken() {
    served(async |it| {
        let key = decider(it).await;
        let path = "/opa/p/default/v1/data/rag/authz/allow";
        for spelling in
            ["/opa/p/default/v1/data/rag/authz/allow/", "/opa/p/default/v1/data//rag/authz//allow"]
        {
            assert_eq!(key.post(spelling, json!({"input": {"user": "eve"}})).await.is(200)["result"], true);
        }
        let null = key.send("POST", path, "application/json", "null").await.is(200);
        assert_eq!((&null["result"], &null["warning"]["code"]), (&json!(false), &json!("api_usage_warning")));
        assert_eq!(key.send("POST", path, "application/json", "[{\"user\": \"eve\"}]").await.status, 400);
    });
}

#[test]
fn metrics_and_provenance_are_told_when_asked_for() {
    served(async |it| {
        let key = decider(it).await;
        let path = "/opa/p/default/v1/data/rag/authz/allow";
        let plain = key.get(path).await.is(200);
        assert!(plain.get("metrics").is_none() && plain.get("provenance").is_none(), "{plain}");
        for parameter in ["metrics", "metrics=true", "instrument=true"] {
            let told = key.get(&format!("{path}?{parameter}")).await.is(200);
            assert!(told["metrics"]["timer_rego_query_eval_ns"].as_u64() > Some(0), "{parameter}: {told}");
        }
        let told = key.get(&format!("{path}?provenance=true")).await.is(200);
        assert!(told["provenance"]["version"].is_string(), "{told}");
        let release = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        assert_eq!(told["provenance"]["bundles"]["default"]["revision"], release);
    });
}
