// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions.

use cms_tests::{Served, served};
use serde_json::{Value, json};

const POLICY: &str = "package rag.authz\n\ndefault allow := false\n\nallow if input.user == data.rag.owner\n\nreason := \"owner\" if allow\n";

async fn decider(it: &Served) -> cms_tests::Caller {
    let key = it.empty_project("p").await;
    it.root().put("projects/p/data/rag", json!({"owner": "eve"})).await.is(201);
    it.root().put_text("projects/p/policies/rag/authz", POLICY).await.is(201);
    it.holder(&key)
}

#[test]
fn a_rule_is_asked_in_either_spelling() {
    served(async |it| {
        let key = decider(it).await;
        let release = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        let mut ids = Vec::new();
        for path in ["rag/authz/allow", "data.rag.authz.allow"] {
            for (user, expected) in [("eve", true), ("bob", false)] {
                let body = json!({"path": path, "input": {"user": user}});
                let decided = key.post("projects/p/decisions", body).await.is(200);
                assert_eq!(
                    (&decided["result"], &decided["undefined"]),
                    (&json!(expected), &json!(false)),
                    "{path}"
                );
                assert_eq!(decided["release"], release);
                ids.push(decided["decision_id"].as_str().unwrap().to_owned());
            }
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4, "each decision has its id");
        let package = key
            .post("projects/p/decisions", json!({"path": "rag/authz", "input": {"user": "eve"}}))
            .await
            .is(200);
        assert_eq!(package["result"], json!({"allow": true, "reason": "owner"}));
    });
}

#[test]
fn what_is_undefined_says_what_is_there() {
    served(async |it| {
        let key = decider(it).await;
        let ask = async |path: &str| {
            key.post("projects/p/decisions", json!({"path": path, "input": {}})).await.is(200)
        };
        let typo = ask("rag/authz/alow").await;
        assert_eq!((&typo["result"], &typo["undefined"]), (&Value::Null, &json!(true)));
        assert!(typo["hint"].as_str().unwrap().contains("allow"), "{typo}");
        let conditional = ask("rag/authz/reason").await;
        assert_eq!((&conditional["result"], &conditional["undefined"]), (&Value::Null, &json!(true)));
        for path in ["", "rag//allow", "data", "a b"] {
            let reply = key.post("projects/p/decisions", json!({"path": path})).await;
            assert!([200, 400].contains(&reply.status), "{path}: {}", reply.text());
        }
    });
}

#[test]
fn an_explanation_names_what_decided_to_who_may_read_it() {
    served(async |it| {
        let key = decider(it).await;
        let ask = json!({"path": "rag/authz/allow", "input": {"user": "bob"}, "explain": true});
        key.post("projects/p/decisions", ask.clone()).await.is(403);
        let told = it.root().post("projects/p/decisions", ask).await.is(200);
        assert_eq!(told["result"], false);
        let tried = &told["explanation"]["tried"];
        assert_eq!(
            (&tried[0]["rule"], &tried[0]["document"]),
            (&json!("rag.authz.allow"), &json!("rag/authz"))
        );
        assert_eq!((&tried[0]["line"], &tried[0]["outcome"]), (&json!(5), &json!("failed")));
        let failed = &tried[0]["failed_at"];
        assert_eq!(failed["text"], "input.user == data.rag.owner");
        let values =
            json!([{"name": "input.user", "value": "bob"}, {"name": "data.rag.owner", "value": "eve"}]);
        assert_eq!((&failed["line"], &failed["values"]), (&json!(5), &values));
        assert_eq!((&tried[1]["outcome"], &tried[1]["line"]), (&json!("default"), &json!(3)));
        let text = told["explanation"]["text"].to_string();
        assert!(text.contains("rag/authz:5") && text.contains("data.rag.owner is \\\"eve\\\""), "{text}");
        let plain = it.root().post("projects/p/decisions", json!({"path": "rag/authz/allow"})).await.is(200);
        assert!(plain.get("explanation").is_none());
    });
}

#[test]
fn a_batch_is_answered_in_order_from_one_release() {
    served(async |it| {
        let key = decider(it).await;
        let inputs: Vec<Value> =
            (0..100).map(|at| json!({"user": if at % 3 == 0 { "eve" } else { "bob" }})).collect();
        let body = json!({"path": "rag/authz/allow", "inputs": inputs});
        let batch = key.post("projects/p/decisions/-/batch", body).await.is(200);
        let results: Vec<bool> =
            batch["results"].as_array().unwrap().iter().map(|item| item["result"] == true).collect();
        assert_eq!(results, (0..100).map(|at| at % 3 == 0).collect::<Vec<_>>());
        assert!(batch["release"].is_string());
        let empty = key
            .post("projects/p/decisions/-/batch", json!({"path": "rag/authz/allow", "inputs": []}))
            .await
            .is(200);
        assert_eq!(empty["results"], json!([]));
        let many = json!({"path": "rag/authz/allow", "inputs": vec![json!({}); 1001]});
        key.post("projects/p/decisions/-/batch", many).await.problem(413, "too_large");
    });
}

#[test]
fn the_environment_is_named_where_there_are_several() {
    served(async |it| {
        let body = json!({"id": "p", "name": "p", "environments": ["dev", "prod"]});
        let made = it.root().post("projects", body).await.is(201);
        let key = it.holder(made["keys"][0]["key"].as_str().unwrap());
        let ask = json!({"path": "rag/authz/allow", "input": {}});
        let problem = key.post("projects/p/decisions", ask.clone()).await.problem(400, "invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains("prod"), "{problem}");
        let bound = json!({"name": "k", "scopes": ["decide"], "environment": "prod"});
        let bound = it.root().post("projects/p/keys", bound).await.is(201);
        let decided =
            it.holder(bound["key"].as_str().unwrap()).post("projects/p/decisions", ask).await.is(200);
        assert_eq!(decided["environment"], "prod");
    });
}

#[test]
fn decisions_follow_activations_at_once() {
    served(async |it| {
        let key = decider(it).await;
        for owner in ["bob", "eve", "cyd"] {
            it.root().put("projects/p/data/rag", json!({"owner": owner})).await.is(200);
            let body = json!({"path": "rag/authz/allow", "input": {"user": owner}});
            assert_eq!(key.post("projects/p/decisions", body).await.is(200)["result"], true, "{owner}");
        }
    });
}

#[test]
fn a_rule_without_a_value_is_its_own_hint() {
    served(async |it| {
        let key = decider(it).await;
        let ask = json!({"path": "rag/authz/reason", "input": {}});
        let decided = key.post("projects/p/decisions", ask).await.is(200);
        assert_eq!((&decided["undefined"], &decided["hint"]), (&json!(true), &json!("rag/authz/reason")));
        let ask = json!({"path": "rag/authz/alow", "inputs": [{}, {}]});
        let decided = key.post("projects/p/decisions/-/batch", ask).await.is(200);
        assert_eq!(decided["results"][1]["hint"], "rag/authz/allow", "{decided}");
    });
}

#[test]
fn a_question_is_an_object() {
    served(async |it| {
        let key = decider(it).await;
        for (path, body) in [
            ("projects/p/decisions", json!(["rag/authz/allow", {}])),
            ("projects/p/decisions/-/batch", json!(["rag/authz/allow", [{}]])),
            ("projects/p/decisions", json!("rag/authz/allow")),
        ] {
            key.post(path, body).await.problem(400, "invalid_json");
        }
    });
}

#[test]
fn decisions_are_logged_found_exported_and_replayed() {
    served(async |it| {
        let key = decider(it).await;
        let ask = json!({"path": "rag/authz/allow", "input": {"user": "eve", "question": "?"}});
        key.post("projects/p/decisions", ask.clone()).await.is(200);
        let log = json!({"decision_log": {"every": 1}});
        let set = it.root().put("projects/p/environments/default", log).await.is(200);
        assert_eq!(set["decision_log"], json!({"every": 1, "keep_days": 30}));
        let id = key.post("projects/p/decisions", ask.clone()).await.is(200)["decision_id"].clone();
        let denied = json!({"path": "rag/authz/allow", "inputs": [{"user": "bob"}]});
        key.post("projects/p/decisions/-/batch", denied).await.is(200);
        key.post("/opa/p/default/v1/data/rag/authz/allow", json!({"input": {"user": "cyd"}})).await.is(200);

        let mut listed = Value::Null;
        for _ in 0..100 {
            listed = it.root().get("projects/p/decisions").await.is(200);
            if listed["items"].as_array().unwrap().len() == 3 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let items = listed["items"].as_array().unwrap();
        let users: Vec<_> = items.iter().map(|item| item["user"].as_str().unwrap()).collect();
        assert_eq!(users, ["cyd", "bob", "eve"], "what was decided before is not in the log");
        let one = it.root().get(&format!("projects/p/decisions/{}", id.as_str().unwrap())).await.is(200);
        assert_eq!(
            (&one["decision_id"], &one["outcome"], &one["result"]),
            (&id, &json!("allow"), &json!(true))
        );
        assert_eq!(one["input"], ask["input"]);
        assert!(
            one["bundles"]["default"]["revision"].is_string()
                && one["metrics"]["timer_server_handler_ns"].is_u64()
        );
        let found = it.root().get("projects/p/decisions?outcome=deny&user=bob").await.is(200);
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
        let exported = it.root().get("projects/p/decisions/-/export?path=rag").await;
        assert_eq!(exported.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> =
            exported.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);

        it.root().put("projects/p/data/rag", json!({"owner": "bob"})).await.is(200);
        let release = it.root().get("projects/p/environments/default").await.is(200)["release"].clone();
        let replay =
            it.root().post("projects/p/decisions/-/replay", json!({"release": release})).await.is(200);
        assert_eq!(replay["replayed"], 3);
        let changed: Vec<_> =
            replay["changed"].as_array().unwrap().iter().map(|one| (&one["before"], &one["after"])).collect();
        assert_eq!(changed, [(&json!(false), &json!(true)), (&json!(true), &json!(false))]);

        key.get("projects/p/decisions").await.problem(403, "denied");
        let bad = json!({"decision_log": {"every": 1, "keep_days": 0}});
        it.root().put("projects/p/environments/default", bad).await.problem(400, "invalid_request");
        it.root().get("projects/p/decisions?outcome=maybe").await.problem(400, "invalid_query");
    });
}
