// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Versioned documents: policies and data.

use cms_tests::served;
use serde_json::json;

const POLICY: &str = "package search\n\ndefault allow := false\n\nallow if input.team == data.search.owner\n";
const ENVELOPE: &str = "application/vnd.cms.document+json";

#[test]
fn a_document_is_created_changed_and_left_alone() {
    served(async |it| {
        it.empty_project("p").await;
        let first = it.root().put("projects/p/data/search?message=begin", json!({"owner": "docs"})).await;
        assert_eq!(first.header("etag"), "\"1\"");
        let first = first.is(201);
        assert_eq!(
            (&first["name"], &first["kind"], &first["version"]),
            (&json!("search"), &json!("data"), &json!(1))
        );
        assert_eq!((&first["author"], &first["message"]), (&json!("root"), &json!("begin")));
        assert!(first["release"].is_string() && first["hash"].as_str().unwrap().len() == 64, "{first}");
        let second = it.root().put("projects/p/data/search", json!({"owner": "law"})).await.is(200);
        assert_eq!((&second["version"], &second["message"]), (&json!(2), &json!(null)));
        let again = it.root().put("projects/p/data/search", json!({"owner": "law"})).await.is(200);
        assert_eq!((&again["version"], &again["hash"]), (&second["version"], &second["hash"]));
        let read = it.root().get("projects/p/data/search").await;
        assert_eq!(read.header("etag"), "\"2\"");
        assert_eq!(read.is(200)["content"], r#"{"owner":"law"}"#);
    });
}

#[test]
fn a_body_is_the_text_itself_or_an_envelope() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let text = "{ \"owner\" :  \"docs\" }\n";
        root.send("PUT", "projects/p/data/a", "text/plain", text).await.is(201);
        let enveloped = json!({"content": text, "message": "why"}).to_string();
        assert_eq!(
            root.send("PUT", "projects/p/data/b", ENVELOPE, enveloped).await.is(201)["message"],
            "why"
        );
        for name in ["a", "b"] {
            let read = root.with("accept", "text/plain").get(&format!("projects/p/data/{name}")).await;
            assert_eq!((read.status, read.text().as_str()), (200, text));
            assert!(read.header("content-type").starts_with("text/plain"));
        }
        // As JSON, an envelope is a document like any other.
        root.put("projects/p/data/c", json!({"content": "x"})).await.is(201);
        assert_eq!(root.get("projects/p/data/c").await.is(200)["content"], r#"{"content":"x"}"#);
        root.send("PUT", "projects/p/data/d", "application/xml", "<x/>")
            .await
            .problem(415, "unsupported_media_type");
        root.send("PUT", "projects/p/data/d", "text/plain", vec![0xff, 0xfe]).await.is(400);
        root.send("PUT", "projects/p/data/d", ENVELOPE, r#"{"content":"{}","version":9}"#).await.is(400);
    });
}

#[test]
fn writes_honour_if_match_and_if_none_match() {
    served(async |it| {
        it.empty_project("p").await;
        let (root, path) = (it.root(), "projects/p/data/x");
        root.with("if-match", "\"1\"").put(path, json!({})).await.problem(412, "stale_version");
        root.with("if-none-match", "*").put(path, json!({"a": 1})).await.is(201);
        root.with("if-none-match", "*").put(path, json!({"a": 2})).await.problem(412, "stale_version");
        root.with("if-match", "\"1\"").put(path, json!({"a": 2})).await.is(200);
        root.with("if-match", "\"1\"").put(path, json!({"a": 3})).await.problem(412, "stale_version");
        root.with("if-match", "\"1\"").delete(path).await.problem(412, "stale_version");
        let reply = root.with("if-match", "nonsense").put(path, json!({"a": 3})).await;
        assert!([400, 412].contains(&reply.status), "{}", reply.text());
        let known = root.with("if-none-match", "\"2\"").get(path).await;
        assert_eq!((known.status, known.body.len()), (304, 0));
        root.with("if-none-match", "\"1\"").get(path).await.is(200);
        root.with("if-match", "\"2\"").delete(path).await.is(200);
    });
}

#[test]
fn history_diff_and_rollback() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        for owner in ["a", "b", "c"] {
            root.put_text("projects/p/data/x/y", &format!("{{\n  \"owner\": \"{owner}\"\n}}\n")).await;
        }
        let versions = root.get("projects/p/data/-/versions/x/y").await.is(200);
        let numbers: Vec<_> =
            versions["items"].as_array().unwrap().iter().map(|item| item["version"].clone()).collect();
        assert_eq!(numbers, [3, 2, 1]);
        let page = root.get("projects/p/data/-/versions/x/y?limit=2").await.is(200);
        let next = page["next_cursor"].as_str().unwrap();
        let rest = root.get(&format!("projects/p/data/-/versions/x/y?limit=2&cursor={next}")).await.is(200);
        assert_eq!(rest["items"][0]["version"], 1);
        let diff = root.get("projects/p/data/-/diff/x/y?from=1&to=3").await.is(200)["diff"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(diff.contains("-  \"owner\": \"a\"\n+  \"owner\": \"c\"\n") && diff.contains("@@"), "{diff}");
        let back = root
            .post("projects/p/data/-/rollback/x/y", json!({"version": 1, "message": "oops"}))
            .await
            .is(200);
        assert_eq!((&back["version"], &back["message"]), (&json!(4), &json!("oops")));
        let old = root.get("projects/p/data/x/y?version=1").await.is(200);
        assert_eq!(old["content"], root.get("projects/p/data/x/y").await.is(200)["content"]);
        root.get("projects/p/data/x/y?version=9").await.problem(404, "not_found");
        root.post("projects/p/data/-/rollback/x/y", json!({"version": 9})).await.problem(404, "not_found");
    });
}

#[test]
fn a_removed_document_keeps_its_history() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/data/x", json!({"a": 1})).await.is(201);
        assert_eq!(root.delete("projects/p/data/x?message=done").await.is(200)["deleted"], true);
        root.get("projects/p/data/x").await.problem(404, "not_found");
        root.delete("projects/p/data/x").await.problem(404, "not_found");
        assert_eq!(root.get("projects/p/data").await.is(200)["items"], json!([]));
        root.get("projects/p/data/x?version=1").await.is(200);
        assert_eq!(root.put("projects/p/data/x", json!({"a": 2})).await.is(201)["version"], 3);
    });
}

#[test]
fn lists_take_a_prefix_and_pages() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        for name in ["a/1", "a/2", "ab", "b"] {
            root.put(&format!("projects/p/data/{name}"), json!({})).await.is(201);
        }
        let names = async |query: &str| -> Vec<String> {
            let items = root.all(&format!("projects/p/data{query}")).await;
            items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("").await, ["a/1", "a/2", "ab", "b"]);
        assert_eq!(names("?prefix=a/").await, ["a/1", "a/2"]);
        let page = root.get("projects/p/data?limit=3").await.is(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 3);
        for query in ["limit=0", "limit=201", "limit=x", "cursor=%21", "unknown=1"] {
            root.get(&format!("projects/p/data?{query}")).await.is(400);
        }
    });
}

#[test]
fn a_policy_that_is_not_right_is_refused_with_places() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/data/search", json!({"owner": "docs"})).await.is(201);
        root.put_text("projects/p/policies/search", POLICY).await.is(201);
        let broken = root.put_text("projects/p/policies/search", "package search\n\nallow if {\n").await;
        let problem = broken.problem(422, "invalid_policy");
        let place = &problem["errors"][0];
        assert!(
            place["line"].as_u64().unwrap() >= 3 && place["column"].is_u64() && place["message"].is_string(),
            "{problem}"
        );
        let test = "package search_test\n\nimport data.search\n\ntest_docs if search.allow with input as {\"team\": \"docs\"}\n";
        root.put_text("projects/p/policies/search_test", test).await.is(201);
        let failing =
            root.put_text("projects/p/policies/search", "package search\n\ndefault allow := false\n").await;
        assert!(
            failing.problem(422, "tests_failed")["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("test_docs")
        );
        root.put_text("projects/p/policies/mine", "package cms.authz\n\nallow := true\n").await.is(422);
        assert_eq!(root.get("projects/p/policies/search").await.is(200)["version"], 1);
    });
}

#[test]
fn there_are_these_kinds_and_no_others() {
    served(async |it| {
        it.empty_project("p").await;
        for kind in ["data", "configs", "schemas", "templates", "variables"] {
            let name = if kind == "variables" { "base" } else { "x" };
            it.root().put(&format!("projects/p/{kind}/{name}"), json!({})).await.is(201);
        }
        it.root().put("projects/p/nonsense/x", json!({})).await.problem(404, "not_found");
    });
}

#[test]
fn the_short_form_is_about_the_platform_s_policies() {
    served(async |it| {
        let root = it.root();
        root.put_text("policies/house/rules", "package house\n\nquiet := true\n").await.is(201);
        let long = root.get("projects/platform/policies/house/rules").await.is(200);
        assert_eq!(root.get("policies/house/rules").await.is(200), long);
        assert_eq!(root.get("policies/-/versions/house/rules").await.is(200)["items"][0]["version"], 1);
        assert!(
            root.get("policies").await.is(200)["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|item| item["name"] == "house/rules")
        );
        root.delete("policies/house/rules").await.is(200);
    });
}

#[test]
fn data_may_stand_in_its_envelope_as_json() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let body = r#"{"content": {"limit": 2.50}, "message": "why"}"#;
        let made = root.send("PUT", "projects/p/data/a", ENVELOPE, body).await.is(201);
        assert_eq!(made["message"], "why");
        assert_eq!(root.get("projects/p/data/a").await.is(200)["content"], r#"{"limit": 2.50}"#);
    });
}

#[test]
fn data_that_two_readers_could_understand_differently_is_refused() {
    served(async |it| {
        it.empty_project("p").await;
        let text = "{\n  \"limit\": 1,\n  \"limit\": 2\n}";
        let problem = it.root().put_text("projects/p/data/a", text).await.problem(422, "invalid_data");
        let place = &problem["errors"][0];
        assert_eq!(place["line"], 3, "{problem}");
        assert!(place["message"].as_str().unwrap().contains("\"limit\""), "{problem}");
    });
}

#[test]
fn several_documents_change_together_or_not_at_all() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let put = |kind: &str, name: &str, content: &str, base: u64| json!({"kind": kind, "name": name, "op": "put", "content": content, "base_version": base});
        let schema = put("schema", "one", r#"{"required": ["a"]}"#, 0);
        let mut config = put("config", "one", r#"{"a": 1}"#, 0);
        config["schema"] = json!("one");
        let changes = json!({"changes": [config, schema, put("data", "d", "{}", 0)], "message": "begin"});
        let first = root.post("projects/p/documents", changes.clone()).await.is(200);
        let written = first["documents"].as_array().unwrap();
        assert_eq!(written.len(), 3, "{first}");
        assert!(written.iter().all(|document| document["release"] == first["release"]), "{first}");
        assert!(written.iter().all(|document| document["message"] == "begin"), "{first}");
        assert_eq!(root.get("projects/p/configs/one").await.is(200)["schema"], "one");
        root.post("projects/p/documents", changes).await.problem(409, "base_changed");
        // One of them is refused, so none is written.
        let bad = json!([put("data", "d", r#"{"x": 1}"#, 1), put("config", "one", "{}", 1)]);
        root.post("projects/p/documents", json!({"changes": bad})).await.problem(422, "schema_violation");
        assert_eq!(root.get("projects/p/data/d").await.is(200)["version"], 1);
        let same = json!({"changes": [put("data", "d", "{}", 1)]});
        assert_eq!(root.post("projects/p/documents", same).await.is(200)["documents"], json!([]));
        let gone = json!([
            {"kind": "config", "name": "one", "op": "delete", "base_version": 1},
            {"kind": "schema", "name": "one", "op": "delete", "base_version": 1},
        ]);
        root.post("projects/p/documents", json!({"changes": gone})).await.is(200);
        root.get("projects/p/schemas/one").await.is(404);
        let many: Vec<_> = (0..101).map(|at| put("data", &format!("d{at}"), "{}", 0)).collect();
        root.post("projects/p/documents", json!({"changes": many})).await.problem(422, "invalid_changes");
        // Who may write one of them only writes none.
        let key = it.holder(&it.key("p", json!([{"scope": "policy:write", "prefix": "d"}])).await);
        let mixed = json!({"changes": [put("data", "d", "{\"y\": 1}", 1), put("data", "e", "{}", 0)]});
        key.post("projects/p/documents", mixed).await.is(403);
        assert_eq!(root.get("projects/p/data/d").await.is(200)["version"], 1);
    });
}

#[test]
fn changing_several_documents_gets_around_no_approval() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/environments/default", json!({"approvals": {"quorum": 1}})).await.is(200);
        let change = json!({"kind": "data", "name": "d", "op": "put", "content": "{}", "base_version": 0});
        let refused = root.post("projects/p/documents", json!({"changes": [change]})).await;
        refused.problem(403, "approval_required");
        root.get("projects/p/data/d").await.is(404);
    });
}
