// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two servers on one store: what one does holds at the other within a second.

use std::time::{Duration, Instant};

use cms_tests::{Caller, Installation, PASSWORD, Reply};
use serde_json::{Value, json};

/// Asks until the answer is as wished, for at most a second.
async fn within_a_second(what: &str, mut ask: impl AsyncFnMut() -> Reply, wished: impl Fn(&Reply) -> bool) {
    let started = Instant::now();
    loop {
        let reply = ask().await;
        if wished(&reply) {
            println!("{what}: {:?}", started.elapsed());
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{what}: still {} {}",
            reply.status,
            reply.text()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn login(nobody: &Caller, name: &str) -> Value {
    nobody.post("auth/login", json!({"username": name, "password": PASSWORD})).await.is(200)
}

#[test]
fn what_one_process_does_holds_at_the_other_within_a_second() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let (one, two) = (it.serve("warn"), it.serve("warn"));
        let (root, other) = (it.root_at(&one), it.root_at(&two));
        root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
        for name in ["eve", "bob"] {
            root.post("users", json!({"username": name, "password": PASSWORD})).await.is(201);
            root.put(&format!("projects/p/members/{name}"), json!({"role": "project-user"})).await.is(201);
        }
        within_a_second("a new project", async || other.get("projects/p").await, |reply| reply.status == 200)
            .await;

        let key = root.post("projects/p/keys", json!({"name": "k", "scopes": ["policy:read"]})).await.is(201);
        let holder = two.nobody().with_token(key["key"].as_str().unwrap());
        let policies = async || holder.get("projects/p/policies").await;
        within_a_second("a new key", policies, |reply| reply.status == 200).await;
        root.delete(&format!("projects/p/keys/{}", key["id"].as_str().unwrap())).await.is(204);
        within_a_second("a revoked key", policies, |reply| reply.status == 401).await;

        let token = login(&one.nobody(), "eve").await["access_token"].as_str().unwrap().to_owned();
        let eve = two.nobody().with_token(&token);
        let write = async || eve.put("projects/p/data/x", json!({"a": 1})).await;
        within_a_second("a session", async || eve.get("auth/me").await, |reply| reply.status == 200).await;
        assert_eq!(write().await.status, 403);
        root.put("projects/p/members/eve", json!({"role": "project-admin"})).await.is(200);
        within_a_second("a new role", write, |reply| reply.status < 300).await;
        one.nobody().with_token(&token).post("auth/logout", json!(null)).await.is(204);
        within_a_second("a logout", async || eve.get("auth/me").await, |reply| reply.status == 401).await;

        let token = login(&two.nobody(), "bob").await["access_token"].as_str().unwrap().to_owned();
        let bob = one.nobody().with_token(&token);
        within_a_second("a session", async || bob.get("auth/me").await, |reply| reply.status == 200).await;
        other.patch("users/bob", json!({"disabled": true})).await.is(200);
        within_a_second("a disabled user", async || bob.get("auth/me").await, |reply| reply.status == 401)
            .await;

        for value in 1..=3 {
            let (here, there) = if value % 2 == 0 { (&other, &root) } else { (&root, &other) };
            here.put_text("projects/p/policies/v", &format!("package v\n\nx := {value}\n")).await;
            let decide = async || there.post("projects/p/decisions", json!({"path": "v/x"})).await;
            within_a_second("an activation", decide, |reply| {
                reply.status == 200 && reply.json()["result"] == value
            })
            .await;
            here.put("projects/p/secrets/s", json!({"data": {"v": value}})).await;
            let reveal = async || there.post("projects/p/secrets/-/reveal/s", json!(null)).await;
            within_a_second("a secret", reveal, |reply| {
                reply.status == 200 && reply.json()["data"]["v"] == value
            })
            .await;
        }
        for process in [one, two] {
            assert!(process.stop().0);
        }
    });
    it.verify_clean();
}

#[test]
fn both_write_at_once_and_nothing_is_lost_or_doubled() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let (one, two) = (it.serve("warn"), it.serve("warn"));
        let (root, other) = (it.root_at(&one), it.root_at(&two));
        root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let count = async |caller: Caller, who: &'static str| {
            let mut taken = Vec::new();
            for at in 0..40 {
                let reply = caller
                    .put("projects/p/secrets/counter", json!({"data": {"v": format!("{who}{at}")}}))
                    .await;
                if reply.status < 300 {
                    taken.push(reply.json()["version"].as_u64().unwrap());
                } else {
                    assert!([409, 503].contains(&reply.status), "{}", reply.text());
                }
                let created =
                    caller.put("projects/p/secrets/race", json!({"data": {"v": who}, "cas": at})).await;
                assert!([200, 201, 409].contains(&created.status), "{}", created.text());
            }
            taken
        };
        let (mut versions, others) = tokio::join!(count(root.clone(), "a"), count(other.clone(), "b"));
        versions.extend(others);
        versions.sort_unstable();
        assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
        assert!(one.stop().0 && two.stop().0);
    });
    it.verify_clean();
}
