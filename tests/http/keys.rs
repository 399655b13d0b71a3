// SPDX-License-Identifier: Apache-2.0 OR MIT
//! API keys.

use std::time::Duration;

use cms_tests::served;
use serde_json::json;

#[test]
fn a_key_is_shown_once_and_masked_ever_after() {
    served(async |it| {
        it.project("rag").await;
        let made = it
            .root()
            .post("projects/rag/keys", json!({"name": "reader", "scopes": ["policy:read"]}))
            .await
            .is(201);
        let key = made["key"].as_str().unwrap();
        assert!(key.starts_with(&format!("cms_{}_", made["id"].as_str().unwrap())), "{key}");
        it.holder(key).get("projects/rag/policies").await.is(200);
        for path in
            [format!("projects/rag/keys/{}", made["id"].as_str().unwrap()), "projects/rag/keys".to_owned()]
        {
            let shown = it.root().get(&path).await;
            shown.is(200);
            assert!(!shown.text().contains(key) && !shown.text().contains(&key[22..]), "{}", shown.text());
        }
        let about =
            it.root().get(&format!("projects/rag/keys/{}", made["id"].as_str().unwrap())).await.is(200);
        assert_eq!((&about["state"], &about["scopes"]), (&json!("active"), &json!(["policy:read"])));
    });
}

#[test]
fn a_typo_is_caught_by_the_checksum_and_answered_like_any_other() {
    served(async |it| {
        it.project("rag").await;
        let key = it.key("rag", json!(["policy:read"])).await;
        let mut other = key.clone();
        let last = if other.pop() == Some('0') { '1' } else { '0' };
        other.push(last);
        let wrong = [
            other,
            key[..key.len() - 1].to_owned(),
            key.to_uppercase(),
            format!("{key}0"),
            "cms_".to_owned(),
        ];
        for text in wrong {
            let refused = it.holder(&text).get("projects/rag").await;
            assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"cms\"");
            refused.problem(401, "unauthenticated");
        }
    });
}

#[test]
fn scopes_say_what_a_key_may_do() {
    served(async |it| {
        it.project("rag").await;
        it.root().put("projects/rag/secrets/llm/key", json!({"data": {"value": "v"}})).await.is(201);
        let body = json!({"path": "rag/authz/allow", "input": {}});
        let checks = async |scopes: serde_json::Value| {
            let key = it.holder(&it.key("rag", scopes).await);
            [
                key.post("projects/rag/decisions", body.clone()).await.status,
                key.get("projects/rag/policies").await.status,
                key.put_text("projects/rag/data/more", "{}").await.status,
                key.post("projects/rag/secrets/-/reveal/llm/key", json!({})).await.status,
                key.put("projects/rag/secrets/llm/other", json!({"data": {"value": "v"}})).await.status,
                key.get("projects/rag/environments/default/bundle.tar.gz").await.status,
                key.get("audit?project=rag").await.status,
                key.get("projects/rag/keys").await.status,
            ]
        };
        assert_eq!(checks(json!(["decide"])).await, [200, 403, 403, 403, 403, 403, 403, 403]);
        assert_eq!(checks(json!(["policy:read"])).await, [403, 200, 403, 403, 403, 403, 403, 403]);
        assert_eq!(checks(json!(["policy:write"])).await, [403, 403, 201, 403, 403, 403, 403, 403]);
        assert_eq!(checks(json!(["secret:read"])).await, [403, 403, 403, 200, 403, 403, 403, 403]);
        assert_eq!(checks(json!(["secret:write"])).await, [403, 403, 403, 403, 201, 403, 403, 403]);
        assert_eq!(checks(json!(["bundle:read"])).await, [403, 403, 403, 403, 403, 200, 403, 403]);
        assert_eq!(checks(json!(["audit:read"])).await, [403, 403, 403, 403, 403, 403, 200, 403]);
    });
}

#[test]
fn a_scope_can_be_narrowed_to_names_and_an_environment() {
    served(async |it| {
        it.root()
            .post("projects", json!({"id": "rag", "name": "RAG", "environments": ["dev", "prod"]}))
            .await
            .is(201);
        for path in ["llm/key", "llmore/key", "db/main"] {
            it.root()
                .put(&format!("projects/rag/secrets/{path}"), json!({"data": {"value": "v"}}))
                .await
                .is(201);
        }
        let key = it.holder(&it.key("rag", json!([{"scope": "secret:read", "prefix": "llm"}])).await);
        let reveal = async |path: &str| {
            key.post(&format!("projects/rag/secrets/-/reveal/{path}"), json!({})).await.status
        };
        assert_eq!(
            [reveal("llm/key").await, reveal("llmore/key").await, reveal("db/main").await],
            [200, 403, 403]
        );
        key.get("projects/rag/secrets").await.problem(403, "denied");
        key.get("projects/rag/secrets?prefix=llm").await.is(200);
        let key = it.holder(&it.key("rag", json!([{"scope": "decide", "environment": "dev"}])).await);
        let decide = async |environment: &str| {
            let body = json!({"path": "rag/authz/allow", "input": {}, "environment": environment});
            key.post("projects/rag/decisions", body).await.status
        };
        assert_eq!([decide("dev").await, decide("prod").await], [200, 403]);
    });
}

#[test]
fn a_key_works_only_from_its_addresses_and_until_its_end() {
    served(async |it| {
        it.project("rag").await;
        let make = async |extra: serde_json::Value| {
            let mut body = json!({"name": "k", "scopes": ["policy:read"]});
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            it.root().post("projects/rag/keys", body).await
        };
        let works = async |extra: serde_json::Value| {
            let made = make(extra).await.is(201);
            it.holder(made["key"].as_str().unwrap()).get("projects/rag/policies").await.status
        };
        assert_eq!(works(json!({"allowed_ips": ["127.0.0.0/8"]})).await, 200);
        assert_eq!(works(json!({"allowed_ips": ["192.0.2.0/24", "2001:db8::1"]})).await, 401);
        make(json!({"allowed_ips": ["nonsense"]})).await.problem(422, "invalid_key");
        make(json!({"expires_at": "2001-01-01T00:00:00Z"})).await.problem(422, "invalid_key");
        make(json!({"scopes": ["everything"]})).await.problem(422, "invalid_key");
        make(json!({"scopes": []})).await.problem(422, "invalid_key");
        make(json!({"expires_at": "soon"})).await.is(400);
        assert_eq!(works(json!({"expires_at": "2100-01-01T00:00:00Z"})).await, 200);
        let soon = chrono_like(it.cms.now().as_millis() + 1_500);
        let made = make(json!({"expires_at": soon})).await.is(201);
        let key = it.holder(made["key"].as_str().unwrap());
        key.get("projects/rag/policies").await.is(200);
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        key.get("projects/rag/policies").await.is(401);
        let about =
            it.root().get(&format!("projects/rag/keys/{}", made["id"].as_str().unwrap())).await.is(200);
        assert_eq!(about["state"], "expired");
    });
}

/// Writes a time as RFC 3339.
fn chrono_like(millis: i64) -> String {
    serde_json::to_value(cms_core::clock::Timestamp::from_millis(millis))
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_rotated_key_keeps_its_id_and_the_old_secret_works_for_the_overlap() {
    served(async |it| {
        it.project("rag").await;
        let made = it
            .root()
            .post("projects/rag/keys", json!({"name": "k", "scopes": ["policy:read"]}))
            .await
            .is(201);
        let path = format!("projects/rag/keys/{}/rotate", made["id"].as_str().unwrap());
        let works = async |key: &serde_json::Value| {
            it.holder(key.as_str().unwrap()).get("projects/rag/policies").await.status
        };
        let second = it.root().post(&path, json!({"overlap_seconds": 1})).await.is(200);
        assert_eq!(second["id"], made["id"]);
        assert_eq!([works(&made["key"]).await, works(&second["key"]).await], [200, 200]);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!([works(&made["key"]).await, works(&second["key"]).await], [401, 200]);
        let third = it.root().post(&path, json!(null)).await.is(200);
        assert_eq!([works(&second["key"]).await, works(&third["key"]).await], [401, 200]);
    });
}

#[test]
fn a_revoked_key_is_dead_at_once() {
    served(async |it| {
        it.project("rag").await;
        let made = it
            .root()
            .post("projects/rag/keys", json!({"name": "k", "scopes": ["policy:read"]}))
            .await
            .is(201);
        let path = format!("projects/rag/keys/{}", made["id"].as_str().unwrap());
        let key = it.holder(made["key"].as_str().unwrap());
        key.get("projects/rag/policies").await.is(200);
        it.root().delete(&path).await.is(204);
        key.get("projects/rag/policies").await.problem(401, "unauthenticated");
        assert_eq!(it.root().get(&path).await.is(200)["state"], "revoked");
        it.root().post(&format!("{path}/rotate"), json!(null)).await.problem(409, "key_not_active");
    });
}

#[test]
fn a_key_goes_in_either_header_but_two_must_agree() {
    served(async |it| {
        it.project("rag").await;
        let (one, other) =
            (it.key("rag", json!(["policy:read"])).await, it.key("rag", json!(["policy:read"])).await);
        it.nobody().with("x-api-key", &one).get("projects/rag/policies").await.is(200);
        it.holder(&one).with("x-api-key", &one).get("projects/rag/policies").await.is(200);
        it.holder(&one).with("x-api-key", &other).get("projects/rag/policies").await.is(401);
    });
}
