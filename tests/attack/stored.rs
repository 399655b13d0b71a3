// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Somebody who can write to the storage: what they change is noticed, and nothing that they move is
//! opened in the wrong place.

use cms_core::store::{Entry, Range, Transaction};
use cms_core::{RequestContext, auth::Principal};
use cms_tests::{Served, served};
use serde_json::json;

async fn entries(it: &Served, prefix: &str) -> Vec<Entry> {
    it.store.range(Range::prefix(prefix)).await.unwrap().entries
}

async fn overwrite(it: &Served, key: &str, value: Vec<u8>) {
    it.store.transact(Transaction::new().put(key, value)).await.unwrap();
    // What was read before is remembered until the change is noticed.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}

async fn is_sound(it: &Served) -> bool {
    it.cms.verify(&RequestContext::new(Principal::root()), &|_| ()).await.is_ok_and(|report| report.ok)
}

#[test]
fn row_52_what_the_storage_changes_is_noticed() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        for (path, value) in [("a", "value of a"), ("a", "later value of a"), ("b", "value of b")] {
            root.put(&format!("projects/p/secrets/{path}"), json!({"data": {"v": value}})).await;
        }
        let sealed = entries(it, "p/p/secv/").await;
        assert_eq!(sealed.len(), 3, "{:?}", sealed.iter().map(|entry| &entry.key).collect::<Vec<_>>());
        let reveal =
            async |path: &str| root.post(&format!("projects/p/secrets/-/reveal/{path}"), json!(null)).await;
        let (of_a, of_b) = (sealed[1].clone(), sealed[2].clone());
        let old_of_a = sealed[0].value.to_vec();
        let mut flipped = of_a.value.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let damages = [
            ("a flipped bit", flipped),
            ("the value of another secret", of_b.value.to_vec()),
            ("an older value", old_of_a),
            ("half of it", of_a.value[..of_a.value.len() / 2].to_vec()),
            ("nothing", Vec::new()),
        ];
        for (damage, value) in damages {
            overwrite(it, &of_a.key, value).await;
            let reply = reveal("a").await;
            assert!(reply.status >= 500, "{damage}: {} {}", reply.status, reply.text());
            assert!(!reply.text().contains("value of"), "{damage}: {}", reply.text());
            reply.teaches();
            assert!(!is_sound(it).await, "{damage} is not noticed");
            reveal("b").await.is(200);
        }
        overwrite(it, &of_a.key, of_a.value.to_vec()).await;
        assert_eq!(reveal("a").await.is(200)["data"]["v"], "later value of a");
        assert!(is_sound(it).await);
    });
}

#[test]
fn row_52_a_trail_that_was_cut_or_edited_is_noticed() {
    served(async |it| {
        it.empty_project("p").await;
        for at in 0..5 {
            it.root().put(&format!("projects/p/secrets/s{at}"), json!({"data": {"v": at}})).await.is(201);
        }
        let segments = entries(it, "audit/t/").await;
        let last = segments.last().unwrap().clone();
        it.store.transact(Transaction::new().delete(last.key.clone())).await.unwrap();
        let verified = it.root().get("audit/-/verify").await.is(200);
        assert_eq!(verified["ok"], false, "the end of the trail is missing: {verified}");
        assert!(verified["broken_at"]["seq"].is_u64(), "{verified}");
        overwrite(it, &last.key, last.value.to_vec()).await;
        let text = String::from_utf8_lossy(&last.value).replace("success", "denied\u{20}");
        if text.as_bytes() != &last.value[..] {
            overwrite(it, &last.key, text.into_bytes()).await;
            assert_eq!(it.root().get("audit/-/verify").await.is(200)["ok"], false);
            overwrite(it, &last.key, last.value.to_vec()).await;
        }
        assert_eq!(it.root().get("audit/-/verify").await.is(200)["ok"], true);
    });
}

#[test]
fn row_44_what_was_destroyed_is_in_the_storage_no_more() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        for value in ["one", "two"] {
            root.put("projects/p/secrets/a", json!({"data": {"v": value}})).await;
        }
        let before: Vec<String> = entries(it, "p/p/secv/").await.into_iter().map(|entry| entry.key).collect();
        root.post("projects/p/secrets/-/destroy/a", json!({"versions": [1]})).await.is(200);
        let after: Vec<String> = entries(it, "p/p/secv/").await.into_iter().map(|entry| entry.key).collect();
        assert_eq!((before.len(), after.len()), (2, 1), "{after:?}");
        assert!(root.post("projects/p/secrets/-/reveal/a", json!({"version": 1})).await.status >= 400);
        root.delete("projects/p").await.is(200);
        assert!(entries(it, "p/p/secv/").await.is_empty());
    });
}
