// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rest of what OPA answers: the default decision, batches, ad-hoc queries, policies, how it stands;
//! and the listener that serves one environment alone.

use std::io::Read;

use cms_tests::{Caller, Served, served};
use serde_json::{Value, json};

const POLICY: &str = "package rag.authz\n\ndefault allow := false\n\nallow if input.user in data.admins\n\n\
    level := 3 if input.user == \"eve\"\n";
const AT: &str = "/opa/p/default";

async fn decider(it: &Served) -> Caller {
    let key = it.empty_project("p").await;
    it.root().put("projects/p/data/admins", json!(["ada", "eve"])).await.is(201);
    it.root().put_text("projects/p/policies/rag/authz", POLICY).await.is(201);
    it.holder(&key)
}

#[test]
fn the_default_decision_is_system_main() {
    served(async |it| {
        let key = decider(it).await;
        let missing = key.post(&format!("{AT}/"), json!({"user": "eve"})).await.is(404);
        assert_eq!(
            missing,
            json!({"code": "undefined_document", "message": "document missing: data.system.main"})
        );
        let main = "package system\n\nmain := {\"allow\": data.rag.authz.allow}\n";
        it.root().put_text("projects/p/policies/system", main).await.is(201);
        assert_eq!(key.post(&format!("{AT}/"), json!({"user": "eve"})).await.is(200), json!({"allow": true}));
        assert_eq!(key.call("POST", &format!("{AT}/"), &Value::Null).await.is(200), json!({"allow": false}));
        let undefined = key.post(&format!("{AT}/v0/data/rag/authz/level"), json!({})).await.is(404);
        assert_eq!(undefined["message"], "document undefined: data.rag.authz.level");
    });
}

#[test]
fn a_batch_answers_each_input_under_its_key() {
    served(async |it| {
        let key = decider(it).await;
        let at = format!("{AT}/v1/batch/data/rag/authz/allow");
        let inputs = json!({"inputs": {"a": {"user": "eve"}, "b": {"user": "bob"}}});
        let batch = key.post(&at, inputs).await.is(200);
        assert_eq!(batch["responses"]["a"]["result"], true);
        assert_eq!(batch["responses"]["b"]["result"], false);
        assert_eq!(batch["responses"]["b"]["http_status_code"], "200");
        assert!(batch["responses"]["a"]["decision_id"].is_string(), "{batch}");
        let undefined = key
            .post(&format!("{AT}/v1/batch/data/rag/authz/level"), json!({"inputs": {"a": {}}}))
            .await
            .is(200);
        assert!(undefined["responses"]["a"].get("result").is_none(), "{undefined}");
        assert_eq!(key.post(&at, json!({"input": {}})).await.is(400)["code"], "invalid_parameter");
    });
}

#[test]
fn evaluations_that_fail_are_told_as_opa_tells_them() {
    served(async |it| {
        let key = decider(it).await;
        let conflict = "package c\n\nvalue := 1 if input.a\n\nvalue := 2 if input.b\n";
        it.root().put_text("projects/p/policies/c", conflict).await.is(201);
        let both = json!({"a": true, "b": true});
        let failed = key.post(&format!("{AT}/v1/data/c/value"), json!({"input": both})).await.is(500);
        assert_eq!(
            (&failed["code"], &failed["errors"][0]["code"]),
            (&"internal_error".into(), &"eval_conflict_error".into())
        );
        let inputs = json!({"inputs": {"bad": both, "good": {"a": true}}});
        let mixed = key.post(&format!("{AT}/v1/batch/data/c/value"), inputs).await.is(207);
        assert_eq!(mixed["responses"]["good"]["result"], 1);
        let bad = &mixed["responses"]["bad"];
        assert_eq!((&bad["http_status_code"], &bad["code"]), (&"500".into(), &"internal_error".into()));
        assert!(bad["message"].as_str().unwrap().contains("c.value") || bad["message"].is_string());
    });
}

#[test]
fn errors_of_functions_count_where_that_is_asked() {
    served(async |it| {
        let key = decider(it).await;
        let policy = "package f\n\nnumber := to_number(input.text)\n";
        it.root().put_text("projects/p/policies/f", policy).await.is(201);
        let question = json!({"input": {"text": "none"}});
        for _ in 0..2 {
            let lenient = key.post(&format!("{AT}/v1/data/f/number"), question.clone()).await.is(200);
            assert!(lenient.get("result").is_none(), "{lenient}");
            let strict = format!("{AT}/v1/data/f/number?strict-builtin-errors=true");
            let failed = key.post(&strict, question.clone()).await.is(500);
            assert_eq!(failed["errors"][0]["code"], "eval_builtin_error", "{failed}");
        }
    });
}

#[test]
fn queries_bind_their_variables() {
    served(async |it| {
        let key = decider(it).await;
        let ask = async |query: Value| key.post(&format!("{AT}/v1/query"), query).await;
        let rows = ask(json!({"query": "data.admins[i] = name; i > 0"})).await.is(200);
        assert_eq!(rows["result"], json!([{"i": 1, "name": "eve"}]));
        let allowed = json!({"query": "x := data.rag.authz.allow", "input": {"user": "eve"}});
        assert_eq!(ask(allowed).await.is(200)["result"], json!([{"x": true}]));
        let with = json!({"query": "x := data.rag.authz.allow with input as {\"user\": \"bob\"}"});
        assert_eq!(ask(with).await.is(200)["result"], json!([{"x": false}]));
        let level = json!({"query": "data.rag.authz.level = x", "input": {"user": "eve"}});
        assert_eq!(ask(level).await.is(200)["result"], json!([{"x": 3}]));
        assert_eq!(ask(json!({"query": "data.rag.authz.level = x"})).await.is(200), json!({}), "undefined");
        assert_eq!(ask(json!({"query": "data.rag.authz.allow"})).await.is(200), json!({}), "false");
        assert_eq!(ask(json!({"query": "data.admins"})).await.is(200)["result"], json!([{}]));
        assert_eq!(ask(json!({"query": "false"})).await.is(200), json!({}));
        let got = key.get(&format!("{AT}/v1/query?q=data.admins%5B0%5D%20%3D%20x")).await.is(200);
        assert_eq!(got["result"], json!([{"x": "ada"}]));
        assert_eq!(key.get(&format!("{AT}/v1/query")).await.is(400)["code"], "invalid_parameter");
        let refused = ask(json!({"query": "x := 1\ny > "})).await.is(400);
        assert_eq!(refused["errors"][0]["location"]["row"], 2, "{refused}");
        assert!(ask(json!({"query": "http.send({})"})).await.is(400).to_string().contains("http.send"));
    });
}

#[test]
fn policies_are_those_of_the_active_release() {
    served(async |it| {
        let key = decider(it).await;
        let all = key.get(&format!("{AT}/v1/policies")).await.is(200);
        assert_eq!(all["result"][0]["id"], "rag/authz");
        assert_eq!(all["result"][0]["raw"], POLICY);
        let path: Vec<&Value> = all["result"][0]["ast"]["package"]["path"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| &part["value"])
            .collect();
        assert_eq!(path, ["data", "rag", "authz"]);
        let one = key.get(&format!("{AT}/v1/policies/rag/authz")).await.is(200);
        assert_eq!(one["result"], all["result"][0]);
        assert_eq!(key.get(&format!("{AT}/v1/policies/absent")).await.is(404)["code"], "resource_not_found");
        let narrowed = it.key("p", json!([{"scope": "decide", "prefix": "rag/authz"}])).await;
        let narrowed = it.holder(&narrowed);
        narrowed.get(&format!("{AT}/v1/data/rag/authz/allow")).await.is(200);
        narrowed.get(&format!("{AT}/v1/policies")).await.is(403);
        narrowed.post(&format!("{AT}/v1/query"), json!({"query": "true"})).await.is(403);
        it.root().put("projects/p/environments/default", json!({"auto_release": false})).await.is(200);
        it.root().put_text("projects/p/policies/later", "package later\n").await.is(201);
        assert_eq!(key.get(&format!("{AT}/v1/policies/later")).await.status, 404);
    });
}

#[test]
fn large_answers_are_packed_for_who_takes_them_so() {
    served(async |it| {
        let key = decider(it).await;
        it.root().put("projects/p/data/large", json!(vec!["the same again"; 1000])).await.is(201);
        let packing = key.with("accept-encoding", "gzip");
        let packed = packing.get(&format!("{AT}/v1/data/large")).await;
        assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&*packed.body).read_to_string(&mut plain).unwrap();
        let plain: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(plain["result"].as_array().unwrap().len(), 1000);
        let small = packing.get(&format!("{AT}/v1/data/admins")).await;
        assert_eq!((small.header("content-encoding"), &small.is(200)["result"][0]), ("", &json!("ada")));
        assert_eq!(key.get(&format!("{AT}/v1/data/large")).await.header("content-encoding"), "");
    });
}

#[test]
fn what_cannot_be_done_yet_says_so() {
    served(async |it| {
        let key = decider(it).await;
        let compile = key.post(&format!("{AT}/v1/compile"), json!({"query": "true"})).await.is(400);
        assert!(compile["message"].as_str().unwrap().contains("partial evaluation"), "{compile}");
        assert_eq!(key.post(&format!("{AT}/v1/compile/rag/authz"), json!({})).await.is(400), compile);
    });
}

#[test]
fn one_environment_is_served_at_the_root_of_its_own_listener() {
    served(async |it| {
        let nobody = it.opa("");
        nobody.get("/health").await.is(200);
        let unready = nobody.get("/health?bundles").await.is(500);
        assert_eq!(unready["error"], "one or more bundles are not activated");
        let made = it.empty_project("p").await;
        it.root().put("projects/p/data/admins", json!(["ada", "eve"])).await.is(201);
        it.root().put_text("projects/p/policies/rag/authz", POLICY).await.is(201);
        nobody.get("/health?bundles=true&plugins").await.is(200);
        let key = it.opa(&made);
        let allow = key.post("/v1/data/rag/authz/allow", json!({"input": {"user": "eve"}})).await.is(200);
        assert_eq!(allow["result"], true);
        let status = key.get("/v1/status").await.is(200);
        let release = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        assert_eq!(status["result"]["bundles"]["default"]["active_revision"], release);
        assert_eq!(key.get("/v1/config").await.is(200)["result"]["labels"]["project"], "p");
        let stranger = it.nobody().get(&format!("{}/v1/data", "")).await;
        assert_eq!(stranger.status, 404, "the first listener keeps its paths");
        assert_eq!(nobody.get("/v1/data").await.is(401)["code"], "unauthorized");
        for outside in ["/api/v1/projects", "/opa/p/default/v1/data", "/nothing"] {
            assert_eq!(key.get(outside).await.is(404)["code"], "resource_not_found", "{outside}");
        }
        let other = it.empty_project("other").await;
        assert_eq!(it.opa(&other).get("/v1/data").await.is(404)["code"], "resource_not_found");
    });
}
