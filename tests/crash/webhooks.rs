// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `kill -9` between a change and its message: every change that was acknowledged is told, in order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cms_tests::Installation;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KILLS: usize = 5;
const CHANGES: usize = 8;

/// A receiver that keeps the ids of the requests that it is told of.
async fn receiver() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let told = Arc::<Mutex<Vec<String>>>::default();
    let kept = told.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            // A message ends with the two braces of its body.
            while !text.ends_with(b"}}") && stream.read_buf(&mut text).await.unwrap_or(0) > 0 {}
            let text = String::from_utf8_lossy(&text).into_owned();
            let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
            let Ok(body) = serde_json::from_str::<Value>(body) else { continue };
            kept.lock().unwrap().push(body["data"]["id"].as_str().unwrap().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    (url, told)
}

#[test]
fn every_acknowledged_change_is_told_in_order_whatever_dies() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let (url, told) = receiver().await;
        let mut opened: Vec<String> = Vec::new();
        for kill in 0..KILLS {
            let server = it.serve("warn");
            let root = it.root_at(&server);
            if kill == 0 {
                root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
                root.post("projects/p/webhooks", json!({"url": url})).await.is(201);
            }
            for at in 0..CHANGES {
                let change = json!({"kind": "data", "name": format!("d{at}"), "op": "put", "content": "{}", "base_version": 0});
                let body = json!({"title": format!("{kill}-{at}"), "changes": [change]});
                let request = root.post("projects/p/requests", body).await.is(201);
                opened.push(request["id"].as_str().unwrap().to_owned());
            }
            server.kill();
        }
        let server = it.serve("warn");
        let all_told = async {
            while opened.iter().any(|id| !told.lock().unwrap().contains(id)) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all_told).await.expect("all are told");
        let mut first = Vec::new();
        for id in told.lock().unwrap().iter() {
            if !first.contains(id) {
                first.push(id.clone());
            }
        }
        assert_eq!(first, opened, "in the order in which they were opened");
        assert!(server.stop().0);
        it.verify_clean();
    });
}
