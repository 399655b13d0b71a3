// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails: who is told of a change request, of what, and what is kept of it.

use std::time::Duration;

use cms_core::mails::Mail;
use cms_tests::{Caller, Served, served};
use serde_json::{Value, json};

/// Waits until so many mails were sent, and answers them.
async fn letters(it: &Served, count: usize) -> Vec<Mail> {
    let sent = async {
        while it.letters().len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sent).await.unwrap();
    it.letters()
}

async fn open(who: &Caller, title: &str) -> Value {
    let change = json!({"kind": "data", "name": "d", "op": "put", "content": "{\"v\": \"inside\"}", "base_version": 0});
    who.post("projects/p/requests", json!({"title": title, "reason": "ticket 7", "changes": [change]}))
        .await
        .is(201)
}

fn at(request: &Value, verb: &str) -> String {
    format!("projects/p/requests/{}/{verb}", request["id"].as_str().unwrap())
}

#[test]
fn approvers_are_asked_and_the_author_hears_the_outcome() {
    served(async |it| {
        it.empty_project("p").await;
        let amy = it.member("amy", "p", "project-user").await;
        let ann = it.member("ann", "p", "project-admin").await;
        it.member("ben", "p", "project-admin").await;
        it.member("eve", "p", "project-user").await;
        for name in ["amy", "ann", "eve"] {
            it.address(name, &format!("{name}@example.org")).await;
        }
        let request = open(&amy, "Admins may search").await;
        // Who has no address is not told, nor who is not asked.
        let sent = letters(it, 1).await;
        assert_eq!(sent[0].to, "ann@example.org");
        assert_eq!(sent[0].subject, "p: approval asked for: Admins may search");
        let id = request["id"].as_str().unwrap();
        assert!(sent[0].text.contains(id) && sent[0].text.contains("ticket 7"), "{}", sent[0].text);
        assert!(!sent[0].text.contains("inside"), "{}", sent[0].text);
        ann.post(&at(&request, "approve"), json!({"hash": request["hash"]})).await.is(200);
        ann.post(&at(&request, "apply"), json!(null)).await.is(200);
        let sent = letters(it, 2).await;
        assert_eq!(
            (sent[1].to.as_str(), sent[1].subject.as_str()),
            ("amy@example.org", "p: applied: Admins may search")
        );
        let listed = it.root().all("projects/p/mails").await;
        assert_eq!(listed.len(), 2);
        assert_eq!((&listed[1]["user"], &listed[1]["type"]), (&json!("ann"), &json!("request.opened")));
        assert!(!json!(listed).to_string().contains('@'), "addresses are not shown: {listed:?}");
        ann.get("projects/p/mails").await.is(200);
        amy.get("projects/p/mails").await.is(403);
    });
}

#[test]
fn what_the_server_refuses_is_tried_again_and_sent_again_by_hand() {
    served(async |it| {
        it.empty_project("p").await;
        let amy = it.member("amy", "p", "project-user").await;
        it.member("ann", "p", "project-admin").await;
        it.address("ann", "refused@example.org").await;
        open(&amy, "t").await;
        letters(it, 1).await;
        let mail = loop {
            let mail = it.root().all("projects/p/mails").await.remove(0);
            if mail["attempts"] == 1 {
                break mail;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(mail["state"], "pending");
        assert_eq!(mail["last_result"], "the mail server refused it with 550");
        it.address("ann", "ann@example.org").await;
        let path = format!("projects/p/mails/{}/resend", mail["id"].as_str().unwrap());
        it.root().post(&path, json!(null)).await.is(200);
        let sent = letters(it, 2).await;
        assert_eq!((sent[1].to.as_str(), &sent[1].id), ("ann@example.org", &sent[0].id));
        it.root().post("projects/p/mails/evt_0/resend", json!(null)).await.is(404);
        // Who has left is not told any more.
        it.root().delete("projects/p/members/ann").await.is(204);
        it.root().post(&path, json!(null)).await.is(200);
        let state = loop {
            let mail = it.root().all("projects/p/mails").await.remove(0);
            if mail["state"] != "pending" {
                break mail["state"].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((state, it.letters().len()), (json!("dead"), 2));
    });
}

#[test]
fn addresses_and_titles_cannot_hold_headers() {
    served(async |it| {
        it.empty_project("p").await;
        it.user("ann", None).await;
        for email in ["ann", "a@b\r\nBcc: c@d", "Ann <a@b>", "a@b, c@d"] {
            let refused = it.root().patch("users/ann", json!({"email": email})).await;
            refused.problem(422, "invalid_user");
        }
        let change = json!({"kind": "data", "name": "d", "op": "put", "content": "{}", "base_version": 0});
        let draft = json!({"title": "t\r\nBcc: c@d", "changes": [change]});
        it.root().post("projects/p/requests", draft).await.is(400);
    });
}
