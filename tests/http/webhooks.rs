// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Webhooks: what receivers get and can verify, and receivers that mean harm.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use cms_tests::{Served, served};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a receiver has got: head and body of each request.
type Got = Arc<Mutex<Vec<(String, String)>>>;

/// A receiver on this machine that answers with these bytes.
async fn receiver(answer: &'static [u8]) -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let got = Got::default();
    let kept = got.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut text = Vec::new();
                loop {
                    let shown = String::from_utf8_lossy(&text).into_owned();
                    if let Some((head, body)) = shown.split_once("\r\n\r\n") {
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                        if body.len() >= length.unwrap().parse().unwrap() {
                            kept.lock().unwrap().push((head.to_owned(), body.to_owned()));
                            break;
                        }
                    }
                    if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let _ = stream.write_all(answer).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                if answer.ends_with(b"endless") {
                    while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
                }
            });
        }
    });
    (url, got)
}

const OK: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Waits until something holds.
async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn add(it: &Served, url: &str) -> Value {
    it.root().post("projects/p/webhooks", json!({"url": url, "events": ["request.*"]})).await.is(201)
}

async fn open(it: &Served, name: &str) -> Value {
    let change = json!({"kind": "data", "name": name, "op": "put", "content": "{}", "base_version": 0});
    it.root().post("projects/p/requests", json!({"title": name, "changes": [change]})).await.is(201)
}

async fn deliveries(it: &Served, hook: &Value) -> Vec<Value> {
    it.root().all(&format!("projects/p/webhooks/{}/deliveries", hook["id"].as_str().unwrap())).await
}

#[test]
fn receivers_get_signed_messages_in_order() {
    served(async |it| {
        it.empty_project("p").await;
        let (url, got) = receiver(OK).await;
        let hook = add(it, &url).await;
        let request = open(it, "a").await;
        let withdraw = format!("projects/p/requests/{}/withdraw", request["id"].as_str().unwrap());
        it.root().post(&withdraw, json!(null)).await.is(200);
        let got = until("two messages", async || {
            let got = got.lock().unwrap().clone();
            (got.len() == 2).then_some(got)
        })
        .await;
        let secret = hook["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.as_bytes()).unwrap());
        for ((head, body), kind) in got.iter().zip(["request.opened", "request.withdrawn"]) {
            let header = |name: &str| {
                let start = format!("{name}: ");
                head.lines().find_map(|line| line.strip_prefix(&*start)).unwrap().to_owned()
            };
            let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
            let signature = header("webhook-signature");
            let tag = BASE64.decode(signature.strip_prefix("v1,").unwrap().as_bytes()).unwrap();
            hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!((&body["type"], &body["data"]["id"]), (&json!(kind), &request["id"]));
            assert!(head.starts_with("POST /hook?token=hidden "), "{head}");
        }
        // Neither secret nor token comes back.
        let listed = it.root().get("projects/p/webhooks").await.is(200).to_string();
        assert!(!listed.contains(secret) && !listed.contains("hidden"), "{listed}");
        let sent = until("both are noted", async || {
            let sent = deliveries(it, &hook).await;
            sent.iter().all(|delivery| delivery["state"] == "delivered").then_some(sent)
        })
        .await;
        assert_eq!(sent.len(), 2);
        let event = sent[0]["id"].as_str().unwrap();
        let path = format!("projects/p/webhooks/{}", hook["id"].as_str().unwrap());
        it.root().post(&format!("{path}/deliveries/{event}/resend"), json!(null)).await.is(200);
        it.root().post(&format!("{path}/deliveries/evt_0/resend"), json!(null)).await.is(404);
        it.root().delete(&path).await.is(204);
        it.root().get(&format!("{path}/deliveries")).await.is(404);
    });
}

#[test]
fn a_receiver_that_means_harm_costs_its_own_deliveries_only() {
    served(async |it| {
        it.empty_project("p").await;
        let (inside, reached) = receiver(OK).await;
        let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {inside}\r\ncontent-length: 0\r\n\r\n");
        let redirect: &'static [u8] = redirect.leak().as_bytes();
        let endless = b"HTTP/1.1 500 No\r\ncontent-length: 999999999999\r\n\r\nendless";
        let mut hooks = Vec::new();
        for (answer, result) in [
            (redirect, "the receiver redirected, which is not followed"),
            (endless.as_slice(), "the receiver did not accept it"),
            (b"".as_slice(), "the receiver did not answer in time"),
            (b"nonsense\r\n\r\n".as_slice(), "the receiver could not be reached"),
        ] {
            hooks.push((add(it, &receiver(answer).await.0).await, result));
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        hooks.push((add(it, &format!("http://{closed}/")).await, "the receiver could not be reached"));
        let (good, got) = receiver(OK).await;
        add(it, &good).await;
        open(it, "a").await;
        until("the good one is served", async || (!got.lock().unwrap().is_empty()).then_some(())).await;
        for (hook, result) in hooks {
            let delivery = until(result, async || {
                let last = deliveries(it, &hook).await.into_iter().next()?;
                last["last_result"].is_string().then_some(last)
            })
            .await;
            assert_eq!((&delivery["last_result"], &delivery["state"]), (&json!(result), &json!("pending")));
        }
        assert_eq!(reached.lock().unwrap().len(), 0, "no redirect was followed");
    });
}

#[test]
fn addresses_inside_are_not_sent_to() {
    served(async |it| {
        it.empty_project("p").await;
        for url in [
            "http://10.0.0.1/",
            "http://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/",
            "http://user@127.0.0.1/",
            "gopher://127.0.0.1/",
            "https://[fd00::1]/",
            "nonsense",
        ] {
            let refused = it.root().post("projects/p/webhooks", json!({"url": url})).await;
            refused.problem(422, "webhook_address");
        }
        it.root()
            .post("projects/p/webhooks", json!({"url": "https://x.example", "events": ["a\r\nb"]}))
            .await
            .is(400);
        let user = it.member("amy", "p", "project-user").await;
        user.get("projects/p/webhooks").await.is(403);
        user.post("projects/p/webhooks", json!({"url": "https://x.example"})).await.is(403);
    });
}

/// The types and data of what a receiver has got.
fn events(got: &Got) -> Vec<(String, Value)> {
    let read = |(_, body): &(String, String)| {
        let body: Value = serde_json::from_str(body).unwrap();
        (body["type"].as_str().unwrap().to_owned(), body["data"].clone())
    };
    got.lock().unwrap().iter().map(read).collect()
}

#[test]
fn receivers_hear_of_changes_and_never_of_texts_or_values() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let ((all, heard), (some, of_some)) = (receiver(OK).await, receiver(OK).await);
        root.post("projects/p/webhooks", json!({"url": all})).await.is(201);
        let only = json!({"url": some, "events": ["activation.rollback", "secret"]});
        root.post("projects/p/webhooks", only).await.is(201);
        root.put("projects/p/configs/app", json!({"greeting": "not-for-others"})).await.is(201);
        let value = json!({"data": {"v": "not-for-others"}});
        root.put("projects/p/secrets/db/main", value).await.is(201);
        root.post("projects/p/environments/default/rollback", json!(null)).await.is(200);
        root.post("projects/p/data-key/rotate", json!(null)).await.is(200);
        root.delete("projects/p/secrets/db/main").await.is(200);
        // Sealing secrets anew is no change of theirs.
        let kinds =
            ["config.changed", "activation.auto", "secret.changed", "activation.rollback", "secret.changed"];
        let told = until("all is told", async || {
            let told = events(&heard);
            (told.len() == kinds.len()).then_some(told)
        })
        .await;
        assert_eq!(told.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), kinds);
        assert_eq!(told[0].1, json!({"documents": [{"name": "app", "version": 1, "removed": false}]}));
        assert_eq!((&told[1].1["environment"], &told[1].1["by"]), (&json!("default"), &json!("root")));
        assert_eq!(told[2].1["path"], "db/main");
        let sent = heard.lock().unwrap().iter().map(|(_, body)| body.clone()).collect::<String>();
        assert!(!sent.contains("not-for-others"), "{sent}");
        until("the filter lets three through", async || (events(&of_some).len() == 3).then_some(())).await;
        assert_eq!(
            events(&of_some).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(),
            ["secret.changed", "activation.rollback", "secret.changed"]
        );
    });
}
