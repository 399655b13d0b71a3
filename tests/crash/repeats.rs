// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `kill -9` while requests with an `Idempotency-Key` run: sent again, each gets a definite answer, and
//! none has acted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cms_tests::{Caller, Installation};
use serde_json::{Value, json};

const KILLS: u64 = 2;
const REQUESTS: usize = 24;
/// Longer than a key that has only begun is held for whoever began it.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is asked for under a key: one of the changes that can be told apart afterwards.
fn asked(kill: u64, at: usize) -> (String, Value) {
    let name = format!("k{kill}n{at}");
    match at % 3 {
        0 => ("projects/p/keys".into(), json!({"name": name, "scopes": ["decide"]})),
        1 => ("users".into(), json!({"username": name, "password": "A password for nobody 7"})),
        _ => ("projects/p/secrets/-/rotate/s".into(), json!({"field": "v", "message": name})),
    }
}

async fn send(root: &Caller, kill: u64, at: usize) -> Option<(u16, Value)> {
    let (path, body) = asked(kill, at);
    let request = root.request("POST", &path).header("idempotency-key", format!("{kill}-{at}"));
    let response =
        request.header("content-type", "application/json").body(body.to_string()).send().await.ok()?;
    let status = response.status().as_u16();
    let body = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// Sends a request again until it is answered for good.
async fn settle(root: &Caller, kill: u64, at: usize) -> Value {
    let begun = tokio::time::Instant::now();
    loop {
        let (status, body) = send(root, kill, at).await.expect("an answer");
        match status {
            200 | 201 => return body,
            409 | 429 | 503 if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            _ => panic!("request {at} after kill {kill}: {status} {body}"),
        }
    }
}

#[test]
fn a_request_sent_again_after_a_kill_acts_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let mut answered = 0;
        for kill in 0..KILLS {
            let server = it.serve("warn");
            let root = it.root_at(&server);
            if kill == 0 {
                root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
                root.put("projects/p/secrets/s", json!({"data": {"v": "first"}})).await.is(201);
            }
            let done = Arc::new(AtomicUsize::new(0));
            let requests: Vec<_> = (0..REQUESTS)
                .map(|at| {
                    let (root, done) = (root.clone(), done.clone());
                    tokio::spawn(async move {
                        let answer = send(&root, kill, at).await;
                        done.fetch_add(1, Ordering::Relaxed);
                        answer
                    })
                })
                .collect();
            // Some are answered, some are running.
            while done.load(Ordering::Relaxed) < REQUESTS / 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            server.kill();
            let mut first = Vec::new();
            for request in requests {
                first.push(request.await.unwrap().filter(|(status, _)| *status < 300));
            }
            answered += first.iter().flatten().count();
            let server = it.serve("warn");
            let root = it.root_at(&server);
            let again = (0..REQUESTS).map(|at| {
                let root = root.clone();
                tokio::spawn(async move { settle(&root, kill, at).await })
            });
            let again: Vec<_> = again.collect();
            for (at, (again, first)) in again.into_iter().zip(first).enumerate() {
                let again = again.await.unwrap();
                if let Some((_, first)) = first {
                    assert_eq!(again, first, "request {at} after kill {kill} got another answer");
                }
            }
            assert!(server.stop().0);
            it.verify_clean();
        }
        let server = it.serve("warn");
        let root = it.root_at(&server);
        let keys = root.all("projects/p/keys").await;
        let users = root.all("users").await;
        let versions = root.all("projects/p/secrets/-/versions/s").await;
        for kill in 0..KILLS {
            for at in 0..REQUESTS {
                let name = json!(format!("k{kill}n{at}"));
                let made = |list: &[Value], field: &str| list.iter().filter(|it| it[field] == name).count();
                let count = made(&keys, "name") + made(&users, "username") + made(&versions, "message");
                assert_eq!(count, 1, "{name} was done {count} times");
            }
        }
        assert!(answered < KILLS as usize * REQUESTS, "every request was answered before its kill");
        println!("{answered} of {} requests were answered before a kill", KILLS as usize * REQUESTS);
    });
}
