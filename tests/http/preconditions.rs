// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `If-Match` and `If-None-Match` (RFC 9110, 13.1), the same for everything that has a version.

use cms_tests::{Caller, Served, served};
use serde_json::{Value, json};

/// Something that can be written, and what does so.
struct Thing {
    method: &'static str,
    path: &'static str,
    body: Value,
}

async fn things(it: &Served) -> Vec<Thing> {
    it.empty_project("p").await;
    it.user("eve", None).await;
    let root = it.root();
    root.put("projects/p/data/x", json!({"at": 0})).await.is(201);
    root.put("projects/p/secrets/x", json!({"data": {"at": 0}})).await.is(201);
    root.put("projects/p/environments/staging", json!({})).await.is(201);
    root.put("projects/p/members/eve", json!({"role": "project-user"})).await.is(201);
    let thing = |method, path, body| Thing { method, path, body };
    vec![
        thing("PUT", "projects/p/data/x", json!({"at": 1})),
        thing("PUT", "projects/p/secrets/x", json!({"data": {"at": 1}})),
        thing("PUT", "projects/p/environments/staging", json!({"auto_release": false})),
        thing("PUT", "projects/p/members/eve", json!({"role": "project-admin"})),
        thing("PATCH", "projects/p", json!({"name": "other"})),
        thing("PATCH", "users/eve", json!({"email": null})),
        thing("PUT", "users/eve/password", json!({"password": "another long password"})),
    ]
}

async fn write(caller: &Caller, thing: &Thing, tags: &str) -> cms_tests::Reply {
    caller.with("if-match", tags).call(thing.method, thing.path, &thing.body).await
}

#[test]
fn any_tag_matches_what_exists_and_weak_or_foreign_ones_match_nothing() {
    served(async |it| {
        for thing in &things(it).await {
            for tags in ["W/\"1\"", "\"999\"", "\"998\", W/\"2\"", "\"no-version\""] {
                write(&it.root(), thing, tags).await.problem(412, "stale_version");
            }
            let reply = write(&it.root(), thing, "*").await;
            assert!((200..300).contains(&reply.status), "{}: {}", reply.asked, reply.text());
            write(&it.root(), thing, "\"").await.problem(400, "invalid_precondition");
            let listed = "\"0\", \"1\", W/\"1\", \"2\", \"3\", \"4\", \"5\"";
            let reply = write(&it.root(), thing, listed).await;
            assert!((200..300).contains(&reply.status), "{}: {}", reply.asked, reply.text());
        }
    });
}

#[test]
fn any_tag_fails_for_what_does_not_exist_and_makes_nothing() {
    served(async |it| {
        it.empty_project("p").await;
        it.user("eve", None).await;
        let some = it.root().with("if-match", "*");
        for (method, path, body) in [
            ("PUT", "projects/p/data/none", json!({})),
            ("DELETE", "projects/p/data/none", Value::Null),
            ("PUT", "projects/p/secrets/none", json!({"data": {"v": 1}})),
            ("DELETE", "projects/p/secrets/none", Value::Null),
            ("PUT", "projects/p/environments/none", json!({})),
            ("PUT", "projects/p/members/eve", json!({"role": "project-user"})),
            ("DELETE", "projects/p/members/eve", Value::Null),
            ("PATCH", "users/none", json!({"email": null})),
            ("DELETE", "users/none", Value::Null),
            ("PUT", "users/none/password", json!({"password": "another long password"})),
            ("DELETE", "projects/p/keys/aaaaaaaaaaaaaaaa", Value::Null),
        ] {
            some.call(method, path, &body).await.problem(412, "stale_version");
        }
        for path in ["projects/p/data/none", "projects/p/secrets/none", "projects/p/environments/none"] {
            it.root().get(path).await.is(404);
        }
        assert!(it.root().all("projects/p/members").await.is_empty());
    });
}

#[test]
fn removals_keep_to_the_version_as_well() {
    served(async |it| {
        things(it).await;
        for path in
            ["projects/p/data/x", "projects/p/secrets/x", "projects/p/members/eve", "users/eve", "projects/p"]
        {
            it.root().with("if-match", "\"999\"").delete(path).await.problem(412, "stale_version");
            let gone = it.root().with("if-match", "*").delete(path).await;
            assert!((200..300).contains(&gone.status), "{}: {}", gone.asked, gone.text());
        }
    });
}

#[test]
fn readers_who_have_a_version_are_told_so() {
    served(async |it| {
        things(it).await;
        let root = it.root();
        let key = root.post("projects/p/keys", json!({"name": "k", "scopes": ["decide"]})).await.is(201);
        let release = root.all("projects/p/releases").await[0]["id"].as_str().unwrap().to_owned();
        for path in [
            "projects/p".to_owned(),
            "projects/p/data/x".to_owned(),
            "projects/p/secrets/x".to_owned(),
            "projects/p/environments/default".to_owned(),
            format!("projects/p/releases/{release}"),
            format!("projects/p/keys/{}", key["id"].as_str().unwrap()),
            "users/eve".to_owned(),
        ] {
            let full = root.get(&path).await;
            full.is(200);
            let tag = full.header("etag").to_owned();
            assert!(!tag.is_empty(), "{path}");
            for known in [tag.clone(), "*".to_owned(), format!("\"a,b\", W/{tag}"), format!("\"zzz\",{tag}")]
            {
                let reply = root.with("if-none-match", &known).get(&path).await;
                assert_eq!((reply.status, reply.body.len()), (304, 0), "{path} {known}");
                assert_eq!(reply.header("etag"), tag, "{path}");
                assert_eq!(reply.header("content-type"), "", "{path}");
            }
            root.with("if-none-match", "\"zzz\", \"a\"").get(&path).await.is(200);
            it.nobody().with("if-none-match", "*").get(&path).await.problem(401, "unauthenticated");
        }
    });
}
