// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens in a project, as server-sent events.

use std::time::Duration;

use cms_tests::{Caller, served};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

/// Reads a stream until it has brought this many events.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(caller: &Caller, query: &str) -> Self {
        let response = caller.request("GET", &format!("projects/p/events{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        Self { response, text: String::new() }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let start = format!("{name}:");
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(&start))
                        .map(|value| value.trim().to_owned())
                };
                if let Some(data) = field("data") {
                    let data = serde_json::from_str(&data).unwrap();
                    return Event { id: field("id").unwrap(), kind: field("event").unwrap(), data };
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(10), self.response.chunk()).await.expect("an event");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap().expect("the stream goes on")).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }
}

#[test]
fn events_tell_what_happened_and_resume_without_gaps() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let mut stream = Stream::open(&root, "").await;
        root.put("projects/p/secrets/db/main", json!({"data": {"value": "hidden-value"}})).await.is(201);
        root.put("projects/p/data/x", json!({"a": 1})).await.is(201);
        root.post("projects/p/keys", json!({"name": "k", "scopes": ["decide"]})).await.is(201);
        let seen = stream.take(4).await;
        let kinds: Vec<_> = seen.iter().map(|event| event.kind.as_str()).collect();
        for kind in ["secret", "release", "activation", "key"] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
        assert_eq!(seen[0].data["path"], "db/main");
        assert!(!format!("{seen:?}").contains("hidden-value"));
        for (at, event) in seen.iter().enumerate().take(3) {
            let mut resumed = Stream::open(&root.with("last-event-id", &event.id), "").await;
            assert_eq!(resumed.take(3 - at).await, seen[at + 1..], "behind {}", event.id);
            let mut resumed = Stream::open(&root, &format!("?after={}", event.id)).await;
            assert_eq!(resumed.next().await, seen[at + 1]);
        }
        root.get("projects/p/events?after=nonsense").await.problem(400, "invalid_event_id");
    });
}

#[test]
fn a_revoked_credential_gets_no_further_event() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let made =
            root.post("projects/p/keys", json!({"name": "k", "scopes": ["policy:read"]})).await.is(201);
        let mut stream = Stream::open(&it.holder(made["key"].as_str().unwrap()), "").await;
        root.put("projects/p/secrets/a", json!({"data": {"value": "v"}})).await.is(201);
        assert_eq!(stream.next().await.kind, "secret");
        root.delete(&format!("projects/p/keys/{}", made["id"].as_str().unwrap())).await.is(204);
        root.put("projects/p/secrets/b", json!({"data": {"value": "v"}})).await.is(201);
        let rest = tokio::time::timeout(Duration::from_secs(5), stream.response.text())
            .await
            .expect("the stream ends");
        assert!(!rest.unwrap().contains("\"b\""));
    });
}

#[test]
fn a_revision_alone_stands_for_all_of_its_events() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let mut live = Stream::open(&root, "").await;
        root.put("projects/p/data/a", json!({})).await.is(201);
        root.put("projects/p/secrets/s", json!({"data": {"k": "v"}})).await.is(201);
        let seen = live.take(3).await;
        let kinds: Vec<_> = seen.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["release", "activation", "secret"], "a release is there before it is active");
        let revision = seen[0].id.split('.').next().unwrap();
        let mut resumed = Stream::open(&root, &format!("?after={revision}")).await;
        assert_eq!(resumed.next().await, seen[2]);
    });
}
