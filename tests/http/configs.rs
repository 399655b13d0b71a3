// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Configs: layers, templates, schemas, references, and what readers get.

use cms_tests::{Caller, Served, served};
use serde_json::{Value, json};

const ENVELOPE: &str = "application/vnd.cms.document+json";

/// A project with three environments; a key that reads configs, and one that also reads secrets.
async fn project(it: &Served) -> Caller {
    let body =
        json!({"id": "p", "name": "p", "template": "empty", "environments": ["dev", "staging", "prod"]});
    it.root().post("projects", body).await.is(201);
    it.holder(&it.key("p", json!(["config:read"])).await)
}

async fn resolve(caller: &Caller, query: &str) -> Value {
    caller.get(&format!("projects/p/configs/-/resolve/{query}")).await.is(200)
}

#[test]
fn json_yaml_and_toml_are_kept_as_written_and_read_alike() {
    served(async |it| {
        let reader = project(it).await;
        let root = it.root();
        for (name, media_type, text) in [
            ("j", "application/json", "{ \"db\" : {\"port\": 5432} }\n"),
            ("y", "application/yaml", "# where\ndb:\n  port: 5432\n"),
            ("t", "application/toml", "# where\n[db]\nport = 5432\n"),
        ] {
            root.send("PUT", &format!("projects/p/configs/{name}"), media_type, text).await.is(201);
            assert_eq!(root.get(&format!("projects/p/configs/{name}")).await.is(200)["content"], text);
            let found = resolve(&reader, &format!("{name}?environment=prod")).await;
            assert_eq!(found["content"], json!({"db": {"port": 5432}}), "{found}");
        }
        let bad = root.put_text("projects/p/configs/y", "a: 1\na: 2\n").await.problem(422, "invalid_config");
        assert_eq!(bad["errors"][0]["message"], "the key `a` is given twice", "{bad}");
        root.put("projects/p/configs/list", json!([1])).await.problem(422, "invalid_config");
    });
}

#[test]
fn layers_lie_on_each_other_and_each_value_knows_its_layer() {
    served(async |it| {
        let reader = project(it).await;
        let root = it.root();
        let put = async |name: &str, body: Value| {
            root.put(&format!("projects/p/configs/{name}"), body).await.is(201);
        };
        put("rag/retriever", json!({"top_k": 5, "db": {"host": "a", "port": 1}, "old": true, "tags": ["x"]}))
            .await;
        put(
            "_environments/prod/rag/retriever",
            json!({"top_k": 20, "db": {"host": "{{ env }}.db"}, "old": null}),
        )
        .await;
        put("_labels/region/eu/rag/retriever", json!({"db": {"host": "eu.db"}, "tags": ["y"]})).await;
        put("_instances/pod-7/rag/retriever", json!({"debug": true})).await;
        assert_eq!(
            resolve(&reader, "rag/retriever?environment=dev").await["content"],
            json!({"top_k": 5, "db": {"host": "a", "port": 1}, "old": true, "tags": ["x"]})
        );
        let query =
            "rag/retriever?environment=prod&labels=region=eu,tier=gold&instance=pod-7&provenance=true";
        let found = resolve(&reader, query).await;
        assert_eq!(
            found["content"],
            json!({"top_k": 20, "db": {"host": "eu.db", "port": 1}, "tags": ["y"], "debug": true})
        );
        let from = |pointer: &str| found["provenance"][pointer]["layer"].clone();
        assert_eq!(
            (from("/top_k"), from("/db/port"), from("/db/host"), from("/debug")),
            (json!("environment"), json!("base"), json!("label"), json!("instance"))
        );
        assert_eq!(found["layers"].as_array().unwrap().len(), 4);
        assert_eq!(found["provenance"]["/top_k"]["document"], "_environments/prod/rag/retriever");
        assert_eq!(found["provenance"]["/top_k"]["version"], 1);
        let plain = resolve(&reader, "rag/retriever?environment=prod&provenance=true").await;
        assert_eq!(plain["provenance"]["/db/host"]["source"], "{{ env }}.db", "{plain}");
        assert_eq!(plain["content"]["db"]["host"], "prod.db");
        let unknown = root.put("projects/p/configs/_environments/nowhere/x", json!({})).await;
        assert!(unknown.problem(422, "unknown_environment")["detail"].as_str().unwrap().contains("staging"));
        root.put("projects/p/configs/_labels/x", json!({})).await.problem(422, "invalid_layer");
        reader.get("projects/p/configs/-/resolve/nothing?environment=dev").await.problem(404, "not_found");
        reader.get("projects/p/configs/-/resolve/rag/retriever?environment=dev&labels=x").await.is(400);
    });
}

#[test]
fn templates_use_variables_of_their_environment_or_are_refused() {
    served(async |it| {
        let reader = project(it).await;
        let root = it.root();
        root.put("projects/p/variables/base", json!({"timeout": 5, "region": "us"})).await.is(201);
        root.put("projects/p/variables/prod", json!({"timeout": 30})).await.is(201);
        root.put_text("projects/p/templates/url", "https://{{ env }}.{{ region }}.example.com").await.is(201);
        let config =
            json!({"timeout": "{{ timeout }}", "url": "{% include 'url' %}", "shown": "{{ timeout }} s"});
        root.put("projects/p/configs/api", config).await.is(201);
        assert_eq!(
            resolve(&reader, "api?environment=prod").await["content"],
            json!({"timeout": 30, "url": "https://prod.us.example.com", "shown": "30 s"})
        );
        assert_eq!(resolve(&reader, "api?environment=dev").await["content"]["timeout"], 5);
        let output = reader.get("projects/p/templates/-/render/url?environment=staging").await.is(200);
        assert_eq!(output["output"], "https://staging.us.example.com");
        let bad = root.put("projects/p/configs/bad", json!({"a": {"b": "x {{ missing }}"}})).await;
        let bad = bad.problem(422, "invalid_template");
        assert_eq!(
            (&bad["errors"][0]["path"], &bad["errors"][0]["column"]),
            (&json!("/a/b"), &json!(6)),
            "{bad}"
        );
        let detail = bad["detail"].as_str().unwrap();
        assert!(detail.contains("`missing`") && detail.contains("`dev`"), "{detail}");
        // What stands in the way is found wherever the change is made.
        let gone = root.put("projects/p/variables/base", json!({"timeout": 5})).await;
        assert!(gone.problem(422, "invalid_template")["detail"].as_str().unwrap().contains("region"));
        root.delete("projects/p/templates/url").await.problem(422, "invalid_template");
        root.put_text("projects/p/templates/url", "{{ nothing }}").await.problem(422, "invalid_template");
        root.put("projects/p/variables/base", json!({"env": 1})).await.problem(422, "invalid_variable");
        root.put("projects/p/variables/nowhere", json!({"x": 1})).await.problem(422, "unknown_environment");
        assert_eq!(resolve(&reader, "api?environment=prod").await["content"]["timeout"], 30);
    });
}

#[test]
fn a_config_keeps_to_its_schema_in_every_environment() {
    served(async |it| {
        project(it).await;
        let root = it.root();
        let schema = json!({"type": "object", "required": ["port"], "properties": {
            "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "host": {"type": "string"}}});
        root.put("projects/p/schemas/db", schema.clone()).await.is(201);
        let bound = root.put("projects/p/configs/db?schema=db", json!({"port": 5432})).await.is(201);
        assert_eq!(bound["schema"], "db");
        let bad = root.put("projects/p/configs/db", json!({"port": 99999, "host": 1})).await;
        let bad = bad.problem(422, "schema_violation");
        let mut places: Vec<_> =
            bad["errors"].as_array().unwrap().iter().map(|error| error["path"].clone()).collect();
        places.sort_by_key(ToString::to_string);
        assert_eq!(places.len(), 6, "two in each of three environments: {bad}");
        places.dedup();
        assert_eq!(places, [json!("/host"), json!("/port")], "{bad}");
        let layer = root.put("projects/p/configs/_environments/prod/db", json!({"port": 0})).await;
        assert!(layer.problem(422, "schema_violation")["detail"].as_str().unwrap().contains("`prod`"));
        // A stricter schema must fit what is there.
        let stricter = json!({"properties": {"port": {"maximum": 100}}});
        root.put("projects/p/schemas/db", stricter).await.problem(422, "schema_violation");
        root.delete("projects/p/schemas/db").await.problem(422, "schema_violation");
        // Without one, anything goes; the binding stays until it is replaced.
        assert_eq!(root.put("projects/p/configs/db", json!({"port": 1})).await.is(200)["schema"], "db");
        let free = root.put("projects/p/configs/db?schema=", json!({"port": 0})).await.is(200);
        assert_eq!(free["schema"], Value::Null);
        let inline = json!({"content": {"port": 7}, "schema": schema}).to_string();
        let inline = root.send("PUT", "projects/p/configs/own", ENVELOPE, inline).await.is(201);
        assert_eq!(inline["schema"], "own");
        root.get("projects/p/schemas/own").await.is(200);
        root.put("projects/p/configs/own", json!({})).await.problem(422, "schema_violation");
        // A version brings its schema back.
        root.post("projects/p/configs/-/rollback/db", json!({"version": 1})).await.is(200);
        assert_eq!(root.get("projects/p/configs/db").await.is(200)["schema"], "db");
        for bad in [json!({"$ref": "http://127.0.0.1:1/x"}), json!({"pattern": "(?=x)"}), json!({"type": 7})]
        {
            root.put("projects/p/schemas/bad", bad).await.problem(422, "invalid_schema");
        }
        root.put("projects/p/data/x?schema=db", json!({})).await.problem(422, "schema_not_available");
    });
}

#[test]
fn rules_of_the_project_may_refuse_a_config() {
    served(async |it| {
        project(it).await;
        let rules = "package config.validate\n\ndeny contains msg if {\n\tinput.environment == \"prod\"\n\t\
                     input.config.debug\n\tmsg := sprintf(\"%v must not debug\", [input.name])\n}\n";
        it.root().put_text("projects/p/policies/config/validate", rules).await.is(201);
        it.root().put("projects/p/configs/_environments/dev/api", json!({"debug": true})).await.is(201);
        let refused = it.root().put("projects/p/configs/api", json!({"debug": true})).await;
        let refused = refused.problem(422, "config_refused");
        assert!(
            refused["errors"][0]["message"].as_str().unwrap().contains("api must not debug"),
            "{refused}"
        );
    });
}

#[test]
fn rules_that_refuse_what_there_is_are_refused_and_name_each_config() {
    served(async |it| {
        project(it).await;
        for name in ["one", "two"] {
            it.root()
                .put(&format!("projects/p/configs/{name}"), json!({"debug": name == "two"}))
                .await
                .is(201);
            it.root()
                .put(&format!("projects/p/configs/_environments/prod/{name}"), json!({"debug": true}))
                .await
                .is(201);
        }
        let rules = |about: &str| {
            format!(
                "package config.validate\n\ndeny contains \"no debugging\" if {{\n\t{about}\n\tinput.config.debug\n}}\n"
            )
        };
        let refused = it.root().put_text("projects/p/policies/config/validate", &rules("true")).await;
        let refused = refused.problem(422, "config_refused");
        let places: Vec<_> = refused["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|place| (place["path"].as_str().unwrap(), place["message"].as_str().unwrap()))
            .collect();
        assert_eq!(
            places,
            [
                ("two", "in the environment `dev`: no debugging"),
                ("two", "in the environment `staging`: no debugging"),
                ("one", "in the environment `prod`: no debugging"),
                ("two", "in the environment `prod`: no debugging"),
            ]
        );
        assert!(refused["detail"].as_str().unwrap().ends_with("`one`, `two`"), "{refused}");
        let fits = rules("input.environment == \"nowhere\"");
        it.root().put_text("projects/p/policies/config/validate", &fits).await.is(201);
        // With the configs that come along, the rules hold.
        let change = |kind: &str, name: &str, content: &str, base: u64| json!({"kind": kind, "name": name, "op": "put", "content": content, "base_version": base});
        let together = json!([
            change("policy", "config/validate", &rules("true"), 1),
            change("config", "two", "{}", 1),
            change("config", "_environments/prod/one", "{}", 1),
            change("config", "_environments/prod/two", "{}", 1),
        ]);
        it.root().post("projects/p/documents", json!({"changes": together})).await.is(200);
    });
}

#[test]
fn secrets_are_for_who_may_reveal_them() {
    served(async |it| {
        let reader = project(it).await;
        let root = it.root();
        root.put("projects/p/secrets/openai/api-key", json!({"data": {"value": "sk-very-secret-1"}}))
            .await
            .is(201);
        let config = json!({"key": "${{ secret:openai/api-key#value }}", "head": "Bearer ${{ secret:openai/api-key }}"});
        root.put("projects/p/configs/llm", config.clone()).await.is(201);
        let both = it.holder(&it.key("p", json!(["config:read", "secret:read"])).await);
        let found = resolve(&both, "llm?environment=prod").await;
        assert_eq!(found["content"], json!({"key": "sk-very-secret-1", "head": "Bearer sk-very-secret-1"}));
        let kept = resolve(&both, "llm?environment=prod&secrets=keep").await;
        assert_eq!(kept["content"], config);
        let without = resolve(&reader, "llm?environment=prod").await;
        assert_eq!(without["content"], config);
        assert_eq!(without["unresolved"][0]["reference"], "secret:openai/api-key#value");
        assert_eq!(without["unresolved"].as_array().unwrap().len(), 2);
        // At the front door there is all of it or nothing.
        let refused = reader.get("/config/llm?environment=prod").await.problem(403, "denied");
        assert!(refused["detail"].as_str().unwrap().contains("secret:openai/api-key#value"), "{refused}");
        let served = both.get("/config/llm?environment=prod").await;
        assert_eq!(
            (served.header("cache-control"), served.is(200)["key"].clone()),
            ("no-store", json!("sk-very-secret-1"))
        );
        let tag = served.header("etag").to_owned();
        let again = both.with("if-none-match", &tag).get("/config/llm?environment=prod").await;
        assert_eq!(again.status, 304);
        root.put("projects/p/secrets/openai/api-key", json!({"data": {"value": "sk-very-secret-2"}}))
            .await
            .is(200);
        let newer = both.with("if-none-match", &tag).get("/config/llm?environment=prod").await;
        assert_eq!(newer.is(200)["key"], "sk-very-secret-2");
        let trail = it.trail("project=p&action=secret:reveal").await;
        assert!(trail.iter().filter(|record| record["outcome"] == "success").count() >= 3, "{trail:?}");
        assert!(trail.iter().any(|record| record["outcome"] == "denied"), "{trail:?}");
        assert!(!serde_json::to_string(&trail).unwrap().contains("sk-very"));
        // Not there at all.
        root.delete("projects/p/secrets/openai/api-key").await.is(200);
        both.get("/config/llm?environment=prod").await.problem(422, "unresolved_reference");
    });
}

#[test]
fn configs_refer_to_each_other_but_not_in_circles() {
    served(async |it| {
        let reader = project(it).await;
        let root = it.root();
        root.put("projects/p/configs/retriever", json!({"top_k": 5, "db": {"port": 1}})).await.is(201);
        let api = json!({"k": "${{ config:retriever#top_k }}", "port": "p-${{ config:retriever#/db/port }}", "all": "${{config:retriever#db}}"});
        root.put("projects/p/configs/api", api).await.is(201);
        assert_eq!(
            resolve(&reader, "api?environment=dev").await["content"],
            json!({"k": 5, "port": "p-1", "all": {"port": 1}})
        );
        let circle = root.put("projects/p/configs/retriever", json!({"x": "${{ config:api#k }}"})).await;
        let circle = circle.problem(422, "reference_cycle");
        assert!(
            circle["detail"].as_str().unwrap().contains("`retriever` → `api`")
                || circle["detail"].as_str().unwrap().contains("`api` → `retriever`"),
            "{circle}"
        );
        root.put("projects/p/configs/me", json!({"x": "${{ config:me#y }}", "y": 1}))
            .await
            .problem(422, "reference_cycle");
        root.put("projects/p/configs/lost", json!({"x": "${{ config:nowhere }}"}))
            .await
            .problem(422, "unresolved_reference");
        root.put("projects/p/configs/retriever", json!({"other": 1}))
            .await
            .problem(422, "unresolved_reference");
        root.delete("projects/p/configs/retriever").await.problem(422, "unresolved_reference");
        // Who may read one may not read what it takes from another.
        let narrow = it.key("p", json!([{"scope": "config:read", "prefix": "api"}])).await;
        it.holder(&narrow)
            .get("projects/p/configs/-/resolve/api?environment=dev")
            .await
            .problem(403, "denied");
    });
}

#[test]
fn keys_keep_to_their_environment_and_prefix() {
    served(async |it| {
        project(it).await;
        let root = it.root();
        root.put("projects/p/configs/a/x", json!({"v": "{{ env }}"})).await.is(201);
        root.put("projects/p/configs/b", json!({})).await.is(201);
        let scopes =
            json!([{"scope": "config:read", "prefix": "a"}, {"scope": "config:write", "prefix": "a"}]);
        let body = json!({"name": "bound", "scopes": scopes, "environment": "dev"});
        let key = root.post("projects/p/keys", body).await.is(201)["key"].as_str().unwrap().to_owned();
        let bound = it.holder(&key);
        assert_eq!(bound.get("/config/a/x").await.is(200)["v"], "dev");
        bound.get("/config/a/x?environment=prod").await.problem(403, "denied");
        bound.get("/config/b").await.problem(403, "denied");
        bound.put("/config/b", json!({})).await.problem(403, "denied");
        bound.put("projects/p/configs/_environments/prod/a/x", json!({})).await.problem(403, "denied");
        bound.put("projects/p/variables/prod", json!({})).await.problem(403, "denied");
    });
}

#[test]
fn a_promotion_tells_what_services_will_read_and_checks_it() {
    served(async |it| {
        project(it).await;
        let root = it.root();
        for environment in ["prod", "staging"] {
            let by_hand = json!({"auto_release": false});
            root.put(&format!("projects/p/environments/{environment}"), by_hand).await.is(200);
        }
        root.put("projects/p/secrets/k", json!({"data": {"value": "sk-hidden-value"}})).await.is(201);
        root.put("projects/p/configs/api", json!({"url": "{{ env }}.example.com", "k": "${{ secret:k }}"}))
            .await
            .is(201);
        let path = "projects/p/environments/prod/promote";
        let plan = root.post(path, json!({"from": "dev", "dry_run": true})).await.is(200);
        assert_eq!(plan["configs"][0]["name"], "api", "{plan}");
        let diff = plan["configs"][0]["diff"].as_str().unwrap();
        assert!(
            diff.contains("+  \"url\": \"prod.example.com\"") && diff.contains("${{ secret:k }}"),
            "{diff}"
        );
        assert!(!plan.to_string().contains("sk-hidden"));
        root.post(path, json!({"from": "dev"})).await.is(200);
        let read = root.get("/config/api?project=p&environment=prod").await.is(200);
        assert_eq!(read, json!({"url": "prod.example.com", "k": "sk-hidden-value"}));
    });
}
