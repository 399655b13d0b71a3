// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Getting in: without a credential, with somebody else's, with one that ought to be dead.

use std::time::{Duration, Instant};

use cms_server::Options;
use cms_tests::{Caller, PASSWORD, Reply, Served, raw, served, served_with};
use serde_json::{Value, json};

/// What a stranger can learn from an answer.
fn learned(reply: &Reply) -> (u16, Value) {
    let mut body = reply.json();
    body["request_id"] = json!("-");
    (reply.status, body)
}

/// What a question takes when nothing disturbs it: among many times, one near the shortest. What else a
/// machine does can only add to a time, and adds more to the longer ones.
fn undisturbed(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 4].as_secs_f64()
}

/// Whether two questions take equally long. They take turns, and in turn begin, so that whatever else the
/// machine does meets both; a difference must show five times to count.
async fn alike(mut one: impl AsyncFnMut(usize), mut other: impl AsyncFnMut(usize), rounds: usize) -> bool {
    for attempt in 0..5 {
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let at = attempt * rounds + round;
            for turn in 0..2 {
                let started = Instant::now();
                if (at + turn).is_multiple_of(2) {
                    one(at).await;
                    ones.push(started.elapsed());
                } else {
                    other(at).await;
                    others.push(started.elapsed());
                }
            }
        }
        let ratio = undisturbed(ones) / undisturbed(others);
        if (0.5..2.0).contains(&ratio) {
            return true;
        }
        println!("attempt {attempt}: one takes {ratio:.2} times the other");
    }
    false
}

#[test]
fn timing_differences_are_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let pause = async |millis: u64| std::thread::sleep(Duration::from_millis(millis));
    assert!(runtime.block_on(alike(async |_| pause(1).await, async |_| pause(1).await, 8)));
    assert!(!runtime.block_on(alike(async |_| pause(1).await, async |_| pause(4).await, 8)));
}

#[test]
fn row_01_broken_tokens_get_one_answer() {
    served(async |it| {
        it.empty_project("p").await;
        let key = it.key("p", json!(["policy:read"])).await;
        let tokens = [
            String::new(),
            " ".into(),
            "x".into(),
            key[..key.len() / 2].into(),
            key.to_uppercase(),
            key.to_lowercase(),
            format!("{key},{key}"),
            format!("{key}, {key}"),
            format!("{key} {key}"),
            "a".repeat(20_000),
            format!("cms_{}", "a".repeat(10_000)),
            "cmsroot_".into(),
            it.root_token()[..it.root_token().len() - 1].into(),
            format!("{}x", it.root_token()),
            "null".into(),
            "undefined".into(),
            "Bearer".into(),
        ];
        let expected = learned(&it.nobody().get("projects").await);
        assert_eq!(expected.0, 401);
        for token in &tokens {
            assert_eq!(learned(&it.holder(token).get("projects").await), expected, "{:.40}", token);
            assert_eq!(
                learned(&it.nobody().with("x-api-key", token).get("projects").await),
                expected,
                "{:.40}",
                token
            );
        }
        for odd in [
            "Authorization: Bearer \u{fc}\u{fc}",
            "Authorization:",
            "Authorization: \tBearer\t",
            "X-API-Key: \u{7f}",
        ] {
            let text = format!("GET /api/v1/projects HTTP/1.1\r\nHost: cms\r\n{odd}\r\n\r\n");
            let status = raw::exchange(it.nobody().url(), text.as_bytes()).await.status();
            assert!([400, 401].contains(&status), "{odd:?}: {status}");
        }
    });
}

#[test]
fn row_02_tokens_in_other_places_do_not_count() {
    served(async |it| {
        let token = it.root_token();
        let basic = data_encoding::BASE64.encode(format!("root:{token}").as_bytes());
        let nobody = it.nobody();
        for caller in [
            nobody.with("cookie", &format!("token={token}; session={token}; Authorization=Bearer {token}")),
            nobody.with("authorization", &format!("Basic {basic}")),
            nobody.with("authorization", token),
            nobody.with("authorization", &format!("Token {token}")),
            nobody.with("x-vault-token", token),
            nobody.with("x-auth-token", token),
            nobody.with("proxy-authorization", &format!("Bearer {token}")),
        ] {
            assert_eq!(caller.get("projects").await.status, 401, "{caller:?}");
        }
        for query in ["access_token", "token", "api_key", "key"] {
            assert_eq!(nobody.get(&format!("projects?{query}={token}")).await.status, 401, "{query}");
        }
    });
}

/// Puts the checksum behind a key that was put together, so that it is not refused as a typo.
fn checked(text: &str) -> String {
    let digits: Vec<u8> = (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z').collect();
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    let mut rest = crc.sum() as usize;
    let mut sum = Vec::new();
    for _ in 0..6 {
        sum.insert(0, char::from(digits[rest % 62]));
        rest /= 62;
    }
    text.to_owned() + &sum.into_iter().collect::<String>()
}

#[test]
fn row_03_api_keys_cannot_be_enumerated() {
    served(async |it| {
        it.empty_project("p").await;
        let key = it.key("p", json!(["policy:read"])).await;
        let other = it.key("p", json!(["policy:read"])).await;
        // The secret of one behind the id of the other, and behind an id that nobody has.
        let secret = &other[20..other.len() - 6];
        let (known, unknown) = (
            checked(&format!("{}{secret}", &key[..20])),
            checked(&format!("cms_{}{secret}", "a".repeat(16))),
        );
        assert_eq!(checked(&key[..key.len() - 6]), key, "the checksum is made differently now");
        let ask = async |token: &str| it.holder(token).get("projects/p/policies").await;
        assert_eq!(learned(&ask(&known).await), learned(&ask(&unknown).await));
        ask(&key).await.is(200);
        let same = alike(async |_| drop(ask(&known).await), async |_| drop(ask(&unknown).await), 150).await;
        assert!(same, "a known id takes longer or shorter than an unknown one");
    });
}

#[test]
fn row_04_users_cannot_be_enumerated() {
    served(async |it| {
        for at in 0..24 {
            it.root()
                .post("users", json!({"username": format!("user{at}"), "password": PASSWORD}))
                .await
                .is(201);
        }
        let login = async |name: String| {
            it.nobody().post("auth/login", json!({"username": name, "password": "not this one"})).await
        };
        assert_eq!(learned(&login("user23".into()).await), learned(&login("nobody23".into()).await));
        let known = async |round: usize| drop(login(format!("user{}", round % 24)).await);
        let unknown = async |round: usize| drop(login(format!("nobody{round}")).await);
        assert!(alike(known, unknown, 8).await, "a known user takes longer or shorter than an unknown one");
    });
}

#[test]
fn row_05_lockout_is_of_the_user_not_of_the_spelling() {
    served(async |it| {
        it.user("eve", None).await;
        let login = async |name: &str, password: &str| {
            it.nobody().post("auth/login", json!({"username": name, "password": password})).await.status
        };
        for at in 0..12 {
            login(["eve", "EVE", "Eve", "eVe"][at % 4], "not this one").await;
        }
        for name in ["eve", "EVE", "eVE"] {
            assert_eq!(login(name, PASSWORD).await, 429, "{name}");
        }
        for alias in ["eve ", " eve", "e\u{200b}ve", "\u{ff45}ve", "eve\u{0}"] {
            assert!([400, 401].contains(&login(alias, PASSWORD).await), "{alias:?}");
        }
    });
}

#[test]
fn row_06_forwarded_addresses_of_strangers_are_ignored() {
    let limited = json!({"name": "k", "scopes": ["policy:read"], "allowed_ips": ["192.0.2.0/24"]});
    let body = limited.clone();
    served(async |it| {
        it.empty_project("p").await;
        let key = it.root().post("projects/p/keys", body).await.is(201)["key"].as_str().unwrap().to_owned();
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-real-ip", "192.0.2.7"),
            ("forwarded", "for=192.0.2.7"),
            ("true-client-ip", "192.0.2.7"),
            ("cf-connecting-ip", "192.0.2.7"),
        ] {
            assert_eq!(
                it.holder(&key).with(name, value).get("projects/p/policies").await.status,
                401,
                "{name}"
            );
        }
        let record = &it.trail("action=project:create").await[0];
        assert_eq!(record["address"], "127.0.0.1");
    });
    let mut options = Options::default();
    options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    served_with(options, async |it| {
        it.empty_project("p").await;
        let key =
            it.root().post("projects/p/keys", limited).await.is(201)["key"].as_str().unwrap().to_owned();
        let from = async |hops: &str| {
            it.holder(&key).with("x-forwarded-for", hops).get("projects/p/policies").await.status
        };
        assert_eq!(from("192.0.2.7").await, 200);
        assert_eq!(from("192.0.2.7, 127.0.0.2").await, 200, "hops of trusted proxies are passed over");
        assert_eq!(from("192.0.2.7, 203.0.113.9").await, 401, "only the last hop that is not trusted counts");
        assert_eq!(from("nonsense").await, 401);
    });
}

async fn lets_in(caller: &Caller) -> bool {
    caller.get("projects/p/policies").await.status == 200
}

#[test]
fn row_12_a_narrowed_key_lists_and_follows_nothing_wider() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/secrets/llm/key", json!({"data": {"v": 1}})).await.is(201);
        let key = it.holder(
            &it.key(
                "p",
                json!([{"scope": "secret:read", "prefix": "llm"}, {"scope": "policy:read", "prefix": "llm"}]),
            )
            .await,
        );
        for path in [
            "secrets",
            "secrets?prefix=l",
            "secrets?prefix=",
            "secrets?prefix=db",
            "policies",
            "data",
            "events",
            "releases",
        ] {
            assert_eq!(key.get(&format!("projects/p/{path}")).await.status, 403, "{path}");
        }
        key.get("projects/p/secrets?prefix=llm/").await.is(200);
    });
}

#[test]
fn row_14_what_was_taken_away_is_gone_with_the_next_request() {
    served(async |it| {
        it.empty_project("p").await;
        let removed = it.member("removed", "p", "project-admin").await;
        let disabled = it.member("disabled", "p", "project-admin").await;
        let deleted = it.member("deleted", "p", "project-admin").await;
        let tightened = it.member("tightened", "p", "project-admin").await;
        for caller in [&removed, &disabled, &deleted, &tightened] {
            assert!(lets_in(caller).await);
        }
        it.root().delete("projects/p/members/removed").await.is(204);
        it.root().patch("users/disabled", json!({"disabled": true})).await.is(200);
        it.root().delete("users/deleted").await.is(204);
        let statuses = [
            removed.get("projects/p").await.status,
            disabled.get("projects/p").await.status,
            deleted.get("projects/p").await.status,
        ];
        assert_eq!(statuses, [404, 401, 401]);
        close(it).await;
        assert_eq!(tightened.get("projects/p").await.status, 404);
    });
}

/// Releases an authorization policy that denies everything.
async fn close(it: &Served) {
    let policy =
        "package cms.authz\n\ndecision := {\"allow\": false, \"visible\": false, \"reason\": \"closed\"}\n";
    it.root().put_text("policies/cms/authz", policy).await.is(201);
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[test]
fn row_31_a_policy_that_locks_its_admin_out_is_survived() {
    served(async |it| {
        it.empty_project("p").await;
        let ada = it.user("ada", Some("cms-admin")).await;
        ada.get("users").await.is(200);
        close(it).await;
        assert!(ada.get("users").await.status >= 403);
        assert!(ada.delete("policies/cms/authz").await.status >= 403);
        it.root().delete("policies/cms/authz").await.is(200);
        tokio::time::sleep(Duration::from_millis(300)).await;
        ada.get("users").await.is(200);
        let recorded = it.trail("action=policy:write&actor=root").await;
        assert!(
            recorded.iter().any(|record| record["resource"] == "projects/platform/policy/cms/authz"),
            "{recorded:?}"
        );
    });
}

#[test]
fn row_58_a_tag_is_no_way_around_rights() {
    served(async |it| {
        it.empty_project("p").await;
        it.root().put("projects/p/data/x", json!({"a": 1})).await.is(201);
        it.root().put("projects/p/secrets/x", json!({"data": {"v": 1}})).await.is(201);
        let stranger = it.user("olaf", None).await.with("if-none-match", "\"1\"");
        assert_eq!(stranger.get("projects/p/data/x").await.status, 404);
        let auditor = it.member("aud", "p", "auditor").await.with("if-none-match", "\"1\"");
        assert_eq!(auditor.get("projects/p/data/x").await.status, 403);
        let revealed = it.root().post("projects/p/secrets/-/reveal/x", json!(null)).await;
        let masked = it.root().get("projects/p/secrets/x").await;
        assert_eq!(
            (revealed.header("cache-control"), masked.header("cache-control")),
            ("no-store", "no-store")
        );
        let document = it.root().get("projects/p/data/x").await;
        assert!(document.header("cache-control").contains("private"), "{:?}", document.headers);
    });
}
