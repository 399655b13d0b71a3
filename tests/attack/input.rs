// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fields, names, numbers and texts that nobody would send by mistake.

use std::time::{Duration, Instant};

use cms_server::Options;
use cms_tests::{PASSWORD, raw, served, served_with};
use serde_json::{Value, json};

#[test]
fn row_16_fields_that_are_not_asked_for_are_refused() {
    served(async |it| {
        it.empty_project("p").await;
        it.user("eve", None).await;
        let requests = [
            ("POST", "users", json!({"username": "x", "password": PASSWORD}), "id"),
            ("POST", "users", json!({"username": "x", "password": PASSWORD}), "created_by"),
            ("PATCH", "users/eve", json!({}), "password"),
            ("PATCH", "users/eve", json!({}), "username"),
            ("POST", "projects", json!({"id": "x", "name": "x"}), "tenant_id"),
            ("POST", "projects", json!({"id": "x", "name": "x"}), "version"),
            ("PATCH", "projects/p", json!({}), "id"),
            ("PATCH", "projects/p", json!({}), "created_by"),
            ("PUT", "projects/p/members/eve", json!({"role": "project-user"}), "project"),
            ("POST", "projects/p/keys", json!({"name": "k", "scopes": ["decide"]}), "id"),
            ("POST", "projects/p/keys", json!({"name": "k", "scopes": ["decide"]}), "project"),
            ("POST", "projects/p/keys", json!({"name": "k", "scopes": ["decide"]}), "role"),
            ("PUT", "projects/p/secrets/x", json!({"data": {"v": 1}}), "version"),
            ("PUT", "projects/p/secrets/x", json!({"data": {"v": 1}}), "author"),
            ("POST", "projects/p/releases", json!({}), "id"),
            (
                "POST",
                "projects/p/environments/default/activate",
                json!({"release": "0".repeat(64)}),
                "author",
            ),
            ("POST", "projects/p/decisions", json!({"path": "a/b"}), "release"),
            ("POST", "auth/login", json!({"username": "eve", "password": PASSWORD}), "role"),
        ];
        for (method, path, mut body, field) in requests {
            body[field] = json!("cms-admin");
            let reply = it.root().call(method, path, &body).await;
            assert_eq!(reply.status, 400, "{method} {path} with {field}: {}", reply.text());
            assert!(reply.teaches().to_string().contains(field), "{}", reply.text());
        }
    });
}

#[test]
fn row_17_paths_lead_nowhere_else() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/secrets/a", json!({"data": {"v": "the secret of p"}})).await.is(201);
        let token = format!("Bearer {}", it.root_token());
        for area in [
            "/api/v1/projects/p/data/",
            "/api/v1/projects/p/secrets/",
            "/api/v1/projects/p/secrets/-/versions/",
            "/api/v1/projects/",
        ] {
            for odd in [
                "..",
                "../..",
                "%2e%2e",
                "%2e%2e%2fp",
                ".%2e",
                "%252e%252e",
                "..%2f..%2fetc",
                "a%2fb",
                "a%5cb",
                "a\\b",
                "a%00b",
                "%00",
                "%c0%ae%c0%ae",
                "%c0%af",
                "a//b",
                "a/./b",
                "a/../b",
                "a;b",
                "a%0ab",
                "a%0d%0ab",
                "%ff",
                "%e2%80%ae",
                "a%20",
                ".hidden",
                "-/a",
                "a%3fb",
                "%",
                "%zz",
                "a/b/c/d/e/f/g/h/i",
            ] {
                let text = raw::request(
                    "GET",
                    &format!("{area}{odd}"),
                    &[("Authorization", &token), ("Connection", "close")],
                    "",
                );
                let heard = raw::exchange(it.nobody().url(), text.as_bytes()).await;
                // A route that does not exist is as good a refusal as a name that is not allowed.
                assert!([400, 404].contains(&heard.status()), "{area}{odd}: {}", heard.text);
                assert!(
                    !heard.text.contains("the secret of p") && !heard.text.contains("root:"),
                    "{}",
                    heard.text
                );
            }
        }
        let long = format!("/api/v1/projects/p/data/{}", "a".repeat(64 * 1024));
        let heard = raw::exchange(
            it.nobody().url(),
            raw::request("GET", &long, &[("Authorization", &token)], "").as_bytes(),
        )
        .await;
        assert!([414, 431].contains(&heard.status()), "{}", heard.status());
        for name in ["..", "a/../b", "/a", "a/", "a\\b", "", "ä", "a b"] {
            let body = json!({"documents": {name: "package a"}});
            assert_eq!(it.root().post("projects/p/policies/-/test", body).await.status, 400, "{name}");
        }
    });
}

#[test]
fn row_18_names_have_one_spelling() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let secret = json!({"data": {"v": 1}});
        for odd in
            ["caf\u{e9}", "cafe\u{301}", "\u{430}dmin", "a\u{202e}b", "a\u{200b}b", "a\u{feff}", "\u{ff41}"]
        {
            let path = odd.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            root.put(&format!("projects/p/secrets/{path}"), secret.clone()).await.is(400);
            root.post("users", json!({"username": odd, "password": PASSWORD})).await.is(400);
            root.post("projects", json!({"id": odd, "name": "x"})).await.is(400);
        }
        for odd in ["P", "p ", "p.", "p_", "-p", "p-", "", &"p".repeat(64)] {
            root.post("projects", json!({"id": odd, "name": "x"})).await.is(400);
        }
        it.user("Mallory", None).await;
        root.post("users", json!({"username": "mallory", "password": PASSWORD}))
            .await
            .problem(409, "user_exists");
    });
}

#[test]
fn row_22_json_is_not_parsed_for_strangers() {
    served(async |it| {
        let heavy = format!("[{}]", "[],".repeat(1_300_000));
        let started = Instant::now();
        for _ in 0..10 {
            let reply = it.nobody().send("POST", "projects", "application/json", heavy.clone()).await;
            assert!([401, 413].contains(&reply.status), "{}", reply.status);
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let many: String = (0..60_000).map(|at| format!("\"k{at}\":1,")).collect();
        let reply =
            it.root().send("POST", "projects", "application/json", format!("{{{many}\"id\":\"x\"}}")).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
    });
}

#[test]
fn row_45_the_trail_cannot_be_written_into() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/secrets/x", json!({"data": {"v": 1}})).await.is(201);
        let reason = "x\n{\"actor\":\"root\",\"outcome\":\"success\"}\u{1b}[31m\r\n\u{0}\"}";
        let reply = it.root().post("projects/p/secrets/-/reveal/x", json!({"reason": reason})).await;
        assert!([200, 400, 422].contains(&reply.status), "{}", reply.text());
        it.root()
            .put(&format!("projects/p/data/y?message={}", "%0A%7B%22a%22%3A1%7D%1b%5B2J"), json!({}))
            .await;
        let forged = it
            .root()
            .with("user-agent", "a\tb{\"x\":1}")
            .with("x-forwarded-for", "203.0.113.9")
            .with("x-request-id", "a\"b");
        forged.put("projects/p/data/z", json!({})).await.is(201);
        let export = it.root().get("audit/-/export").await.text();
        for line in export.lines() {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(record.is_object() && line.len() < 64 * 1024, "{line}");
            assert!(!line.contains('\u{1b}') && !line.contains("203.0.113.9"), "{line}");
        }
        assert_eq!(it.root().get("audit/-/verify").await.is(200)["ok"], true);
    });
}

#[test]
fn row_47_the_trail_names_no_field_and_no_value() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let body = json!({"data": {"field-of-mine": "value-of-mine", "number": 73_730_737, "list": ["inner-of-mine"]}, "metadata": {"m": "meta-of-mine"}});
        root.put("projects/p/secrets/x?unknown=query-of-mine", body.clone()).await;
        assert!(root.put("projects/p/secrets/x", body).await.status < 300);
        root.post("projects/p/secrets/-/reveal/x", json!(null)).await.is(200);
        root.with("x-custom", "header-of-mine").get("projects/p/secrets/x").await.is(200);
        root.post("projects/p/decisions", json!({"path": "a/b", "input": {"q": "input-of-mine"}})).await;
        let trail = format!("{:?}", it.trail("").await) + &root.get("audit/-/export").await.text();
        for planted in ["of-mine", "73730737"] {
            assert!(!trail.contains(planted), "`{planted}` is on the trail");
        }
    });
}

#[test]
fn row_49_metrics_and_descriptions_give_nothing_away() {
    let mut options = Options::default();
    options.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    served_with(options, async |it| {
        it.empty_project("p").await;
        for at in 0..300 {
            it.nobody().get(&format!("made-up-{at}/x")).await;
            it.root().get(&format!("projects/tenant-{at}/policies")).await;
        }
        let metrics = it.root().get("/metrics").await;
        assert!(
            metrics.status == 200
                && !metrics.text().contains("made-up")
                && !metrics.text().contains("tenant-")
        );
        assert!(metrics.text().lines().count() < 1_500, "{}", metrics.text().lines().count());
        let outside = it.nobody().with("x-forwarded-for", "203.0.113.9");
        assert_eq!(outside.get("/metrics").await.status, 401);
        let holder = it.holder(&it.key("p", json!(["decide"])).await).with("x-forwarded-for", "203.0.113.9");
        assert_eq!(holder.get("/metrics").await.status, 403);
        assert_eq!(it.root().with("x-forwarded-for", "203.0.113.9").get("/metrics").await.status, 200);
        for path in ["debug/pprof", "config", "sys/config/state/sanitized", "env", "actuator"] {
            assert_eq!(it.root().get(path).await.status, 404, "{path}");
        }
    });
}

#[test]
fn row_54_no_origin_is_let_in() {
    served(async |it| {
        for origin in ["https://evil.test", "null", "http://127.0.0.1", "https://cms.test.evil.test"] {
            let reply = it.root().with("origin", origin).get("projects").await;
            assert!(
                reply.headers.keys().all(|name| !name.as_str().starts_with("access-control")),
                "{:?}",
                reply.headers
            );
            let preflight = it.nobody().with("origin", origin).with("access-control-request-method", "POST");
            let reply = preflight.call("OPTIONS", "projects", &Value::Null).await;
            assert!(
                reply.status >= 400 && reply.headers.get("access-control-allow-origin").is_none(),
                "{:?}",
                reply.headers
            );
        }
    });
}

#[test]
fn row_59_one_tenant_cannot_use_everything_up() {
    served(async |it| {
        it.empty_project("p").await;
        let mut last = 0;
        for at in 0..25 {
            last = it.root().put(&format!("projects/p/environments/e{at}"), json!({})).await.status;
            if last >= 400 {
                break;
            }
        }
        assert!([409, 422, 429].contains(&last), "{last}");
        let scopes = vec!["decide"; 65];
        it.root()
            .post("projects/p/keys", json!({"name": "k", "scopes": scopes}))
            .await
            .problem(422, "invalid_key");
        let fields: serde_json::Map<String, Value> =
            (0..101).map(|at| (format!("f{at}"), json!(1))).collect();
        let many = it.root().put("projects/p/secrets/x", json!({"data": fields})).await;
        assert!([400, 413, 422].contains(&many.status), "{}", many.text());
    });
}

#[test]
fn row_63_numbers_past_every_end_are_refused() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.put("projects/p/secrets/x", json!({"data": {"v": 1}})).await.is(201);
        root.put("projects/p/data/x", json!({})).await.is(201);
        let numbers = [
            "-1",
            "18446744073709551616",
            "1e309",
            "0x10",
            "1.5",
            "\"1\"",
            "NaN",
            "1e3",
            " 1 2",
            "99999999999999999999999999",
        ];
        for number in numbers {
            let query: String = number.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for path in [
                "secrets/x?version",
                "data/x?version",
                "data?limit",
                "secrets?limit",
                "data/-/diff/x?from",
                "keys?limit",
            ] {
                let reply = root.get(&format!("projects/p/{path}={query}")).await;
                assert_eq!(reply.status, 400, "{path}={number}: {}", reply.text());
            }
            for (path, body) in [
                ("secrets/-/reveal/x", format!("{{\"version\":{number}}}")),
                ("secrets/-/destroy/x", format!("{{\"versions\":[{number}]}}")),
                ("data/-/rollback/x", format!("{{\"version\":{number}}}")),
            ] {
                let reply =
                    root.send("POST", &format!("projects/p/{path}"), "application/json", body.clone()).await;
                assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text());
            }
            let body = format!("{{\"data\":{{\"v\":2}},\"cas\":{number}}}");
            assert_eq!(
                root.send("PUT", "projects/p/secrets/x", "application/json", body).await.status,
                400,
                "{number}"
            );
        }
        for (path, body) in [
            ("secrets/-/reveal/x", json!({"version": u64::MAX})),
            ("secrets/-/destroy/x", json!({"versions": [u64::MAX]})),
            ("data/-/rollback/x", json!({"version": u64::MAX})),
            ("keys/aaaaaaaaaaaaaaaa/rotate", json!({"overlap_seconds": u64::MAX})),
        ] {
            let reply = root.post(&format!("projects/p/{path}"), body).await;
            assert!((400..500).contains(&reply.status), "{path}: {}", reply.text());
        }
        root.get(&format!("projects/p/secrets/x?version={}", u64::MAX)).await.is(404);
        root.get("projects/p/secrets/x?version=0").await.teaches();
    });
}
