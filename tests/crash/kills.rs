// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `kill -9` during a stream of acknowledged writes: none is lost, none is torn, the chain verifies.

use std::sync::Arc;
use std::time::Duration;

use cms_tests::{Caller, Installation};
use parking::Book;
use serde_json::{Value, json};

const KILLS: u64 = 20;
const WRITERS: usize = 4;

/// What was acknowledged.
mod parking {
    use std::sync::Mutex;

    /// Paths with the values that the server has taken.
    #[derive(Debug, Default)]
    pub(super) struct Book(Mutex<Vec<(String, u64, String)>>);

    impl Book {
        pub(super) fn note(&self, path: &str, version: u64, value: &str) {
            self.0.lock().unwrap().push((path.to_owned(), version, value.to_owned()));
        }

        pub(super) fn take(&self) -> Vec<(String, u64, String)> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }
}

/// A value that shows when a part of it is missing.
fn value(writer: usize, kill: u64, at: u64) -> String {
    format!("{writer}-{kill}-{at}-{}-end", "x".repeat(500 + (at as usize * 37) % 2_000))
}

/// Writes until the server is gone. Two writers make secrets, two make versions of documents.
async fn write(root: Caller, writer: usize, kill: u64, book: Arc<Book>) {
    for at in 0.. {
        let value = value(writer, kill, at);
        let (path, body) = if writer.is_multiple_of(2) {
            (format!("projects/p/secrets/w{writer}/k{kill}/n{at}"), json!({"data": {"v": value}, "cas": 0}))
        } else {
            (format!("projects/p/data/w{writer}"), json!({"v": value}))
        };
        let request =
            root.request("PUT", &path).header("content-type", "application/json").body(body.to_string());
        let Ok(response) = request.send().await else { return };
        let status = response.status().as_u16();
        // Half an answer is no acknowledgement.
        let Ok(body) = response.bytes().await else { return };
        assert!([200, 201].contains(&status), "{path}: {}", String::from_utf8_lossy(&body));
        let body: Value = serde_json::from_slice(&body).unwrap();
        book.note(&path, body["version"].as_u64().unwrap(), &value);
    }
}

/// What the server has taken must be there, whole.
async fn check(root: &Caller, taken: &[(String, u64, String)]) {
    for (path, version, expected) in taken {
        let found = if path.contains("/secrets/") {
            let path = path.replace("/secrets/", "/secrets/-/reveal/");
            root.post(&path, json!({"version": version})).await.is(200)["data"]["v"].clone()
        } else {
            let document = root.get(&format!("{path}?version={version}")).await.is(200);
            serde_json::from_str::<Value>(document["content"].as_str().unwrap()).unwrap()["v"].clone()
        };
        assert_eq!(found, **expected, "{path} at version {version}");
    }
}

#[test]
fn no_acknowledged_write_is_lost_in_twenty_kills() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let book = Arc::new(Book::default());
        let (mut written, mut before) = (0, Vec::new());
        for kill in 0..=KILLS {
            let server = it.serve("warn");
            let root = it.root_at(&server);
            if kill == 0 {
                root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
            }
            check(&root, &before).await;
            if kill == KILLS {
                assert!(server.stop().0);
                break;
            }
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| tokio::spawn(write(root.clone(), writer, kill, book.clone())))
                .collect();
            tokio::time::sleep(Duration::from_millis(150 + kill * 37 % 400)).await;
            server.kill();
            for writer in writers {
                writer.await.unwrap();
            }
            it.verify_clean();
            before = book.take();
            written += before.len();
        }
        it.verify_clean();
        println!("{written} acknowledged writes, {KILLS} kills, none lost");
        assert!(written > 200, "only {written} writes were made; that proves little");
    });
}
