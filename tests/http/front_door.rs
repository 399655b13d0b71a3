// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The simple front door for configs: what a service that knows nothing else does with it.

use std::num::NonZeroU32;

use cms_server::{Options, Rate};
use cms_tests::{Caller, Served, served, served_with};
use serde_json::{Value, json};

async fn keys(it: &Served) -> (Caller, Caller) {
    let body = json!({"id": "shop", "name": "shop", "template": "empty", "environments": ["dev", "prod"]});
    it.root().post("projects", body).await.is(201);
    let reader = it.nobody().with("x-api-key", &it.key("shop", json!(["config:read"])).await);
    let writer = it.nobody().with("x-api-key", &it.key("shop", json!(["config:write"])).await);
    (reader, writer)
}

fn encoded(schema: &Value) -> String {
    let text = schema.to_string();
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn the_scenario_of_a_config_service() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        let schema = json!({"type": "object", "properties": {"database": {"type": "object", "properties": {
            "host": {"type": "string"}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}},
            "required": ["host", "port"]}}});
        let config = json!({"database": {"host": "db.example.com", "port": 5432, "max_connections": 100, "ssl": true}});
        let path = format!("/config/myapp/database?schema={}", encoded(&schema));
        let made = writer.put(&path, config.clone()).await.is(201);
        assert_eq!((&made["version"], &made["schema"]), (&json!(1), &json!("myapp/database")));
        assert_eq!(reader.get("/config/myapp/database?environment=prod").await.is(200), config);

        let api = json!({"api": {"url": "https://{{ env }}.api.example.com",
            "timeout": "{{ '30' if env == 'prod' else '5' }}", "retries": "{{ '5' if env == 'prod' else '1' }}"}});
        writer.put("/config/myapp/api", api).await.is(201);
        let of =
            async |query: &str| reader.get(&format!("/config/myapp/api{query}")).await.is(200)["api"].clone();
        let prod = json!({"url": "https://prod.api.example.com", "timeout": "30", "retries": "5"});
        assert_eq!(of("?environment=prod").await, prod);
        assert_eq!(of("").await, prod, "without a word, it is prod");
        assert_eq!(
            of("?environment=dev").await,
            json!({"url": "https://dev.api.example.com", "timeout": "5", "retries": "1"})
        );

        let bad =
            writer.put("/config/myapp/database", json!({"database": {"host": "h", "port": 70000}})).await;
        assert_eq!(bad.problem(422, "schema_violation")["errors"][0]["path"], "/database/port");
        assert_eq!(reader.get("/config/myapp/database").await.is(200), config);

        writer.put("/config/myapp/database", json!({"database": {"host": "new", "port": 1}})).await.is(200);
        assert_eq!(reader.get("/config/myapp/database").await.is(200)["database"]["host"], "new");
        it.root()
            .post("projects/shop/configs/-/rollback/myapp/database", json!({"version": 1}))
            .await
            .is(200);
        assert_eq!(reader.get("/config/myapp/database").await.is(200), config);
        assert_eq!(it.nobody().get("/config/health").await.is(200)["status"], "healthy");
    });
}

#[test]
fn readers_are_told_when_nothing_changed_and_wait_for_what_does() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        writer.put("/config/a", json!({"v": 1})).await.is(201);
        let first = reader.get("/config/a").await;
        let tag = first.header("etag").to_owned();
        assert_eq!((first.header("x-cms-environment"), first.header("x-cms-release").len()), ("prod", 64));
        let known = reader.with("if-none-match", &tag);
        assert_eq!(known.get("/config/a").await.status, 304);
        assert_eq!(known.get("/config/a?wait=0").await.status, 304);
        // Another config leaves the tag as it is.
        writer.put("/config/b", json!({})).await.is(201);
        assert_eq!(known.get("/config/a").await.status, 304);
        let (waited, ()) = tokio::join!(known.get("/config/a?wait=30s"), async {
            tokio::task::yield_now().await;
            writer.put("/config/a", json!({"v": 2})).await.is(200);
        });
        assert_eq!(waited.is(200)["v"], 2);
        assert_eq!(
            known.get("/config/a?wait=30").await.is(200)["v"],
            2,
            "what is known already is not waited for"
        );
    });
}

#[test]
fn what_cannot_be_meant_is_refused() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        // As `requests` sends `params={"schema": {"type": …, "properties": …}}`.
        let keys = writer.put("/config/a?schema=type&schema=properties", json!({})).await;
        let keys = keys.problem(422, "invalid_schema");
        assert!(keys["hint"].as_str().unwrap().contains("json.dumps"), "{keys}");
        writer.put("/config/a?schema=type", json!({})).await.problem(422, "invalid_schema");
        writer.put("/config/a?schema=nowhere", json!({})).await.problem(422, "schema_violation");
        writer.send("PUT", "/config/a", "application/json", "{a: 1}").await.problem(400, "invalid_json");
        writer.put("/config/a?environment=dev", json!({})).await.problem(400, "invalid_query");
        writer.put("/config/a", json!([])).await.problem(422, "invalid_config");
        writer.put("/config/../a", json!({})).await.teaches();
        reader.get("/config/a?env=dev").await.problem(400, "invalid_query");
        reader.get("/config/a?environment=nowhere").await.problem(404, "not_found");
        reader.get("/config/absent").await.problem(404, "not_found");
        reader.put("/config/a", json!({})).await.problem(403, "denied");
        it.nobody().get("/config/a").await.problem(401, "unauthenticated");
        it.root().get("/config/a").await.problem(400, "invalid_request");
        it.root().get("/config/a?project=shop").await.problem(404, "not_found");
    });
}

#[test]
fn what_is_not_released_by_itself_says_so() {
    served(async |it| {
        let (reader, writer) = keys(it).await;
        it.root().patch("projects/shop", json!({"auto_release": false})).await.is(200);
        let written = writer.put("/config/a", json!({"v": 1})).await.is(201);
        assert!(written["hint"].as_str().unwrap().contains("released"), "{written}");
        reader.get("/config/a").await.problem(404, "not_found");
    });
}

#[test]
fn each_key_reads_and_writes_so_often_and_is_counted() {
    let rate = |count| Rate::per_minute(NonZeroU32::new(count).unwrap());
    let mut options = Options::default();
    (options.config_reads, options.config_writes) = (rate(3), rate(2));
    served_with(options, async |it| {
        let (reader, writer) = keys(it).await;
        writer.put("/config/a", json!({"v": 1})).await.is(201);
        writer.put("/config/a", json!({"v": 2})).await.is(200);
        let refused = writer.put("/config/a", json!({"v": 3})).await;
        assert!(!refused.header("retry-after").is_empty());
        refused.problem(429, "rate_limited");
        for _ in 0..3 {
            reader.get("/config/a").await.is(200);
        }
        reader.get("/config/a").await.problem(429, "rate_limited");
        let other = it.holder(&it.key("shop", json!(["config:read"])).await);
        assert_eq!(other.get("/config/a").await.is(200)["v"], 2);
        let metrics = it.root().get("/metrics").await.text();
        assert!(metrics.contains("\nconfig_updates_total 2\n"), "{metrics}");
        assert!(metrics.contains("\nrequest_duration_seconds_count 6\n"), "{metrics}");
        assert_eq!(metrics.matches("# EOF").count(), 1);
    });
}
