// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Releases: immutable manifests of the current documents.

use cms_tests::served;
use serde_json::json;

#[test]
fn a_release_is_what_it_holds() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        root.patch("projects/p", json!({"auto_release": false})).await.is(200);
        root.put("projects/p/data/x", json!({"a": 1})).await.is(201);
        let made = root.post("projects/p/releases", json!({"message": "first"})).await;
        let first = made.is(201);
        assert_eq!(made.header("etag"), format!("\"{}\"", first["id"].as_str().unwrap()));
        assert_eq!(first["message"], "first");
        let again = root.post("projects/p/releases", json!(null)).await.is(200);
        assert_eq!(again["id"], first["id"], "the same documents are the same release");
        root.put("projects/p/data/x", json!({"a": 2})).await.is(200);
        let second = root.post("projects/p/releases", json!({})).await.is(201);
        assert_ne!(second["id"], first["id"]);
        let read = root.get(&format!("projects/p/releases/{}", first["id"].as_str().unwrap())).await.is(200);
        assert_eq!(read["documents"][0]["version"], 1, "a release does not change");
        let list = root.get("projects/p/releases").await.is(200);
        assert!(list["items"].as_array().unwrap().len() >= 2);
        root.get("projects/p/releases/0000").await.is(404);
        root.get(&format!("projects/p/releases/{}", "0".repeat(64))).await.problem(404, "not_found");
    });
}

#[test]
fn two_releases_are_compared() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let release = async || {
            root.post("projects/p/releases", json!(null)).await.json()["id"].as_str().unwrap().to_owned()
        };
        for (name, value) in [("changed", 1), ("removed", 1)] {
            root.put(&format!("projects/p/data/{name}"), json!({"a": value})).await.is(201);
        }
        let from = release().await;
        root.put("projects/p/data/changed", json!({"a": 2})).await.is(200);
        root.delete("projects/p/data/removed").await.is(200);
        root.put("projects/p/data/added", json!({})).await.is(201);
        let to = release().await;
        let diff = root.get(&format!("projects/p/releases/-/diff?from={from}&to={to}")).await.is(200);
        let mut changes: Vec<String> = diff["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| {
                format!("{} {}", change["name"].as_str().unwrap(), change["change"].as_str().unwrap())
            })
            .collect();
        changes.sort();
        assert_eq!(changes, ["added added", "changed changed", "removed removed"]);
        root.get(&format!("projects/p/releases/-/diff?from={from}&to={}", "f".repeat(64))).await.is(404);
        root.get("projects/p/releases/-/diff").await.is(400);
    });
}

#[test]
fn the_newest_release_comes_first_on_every_page() {
    served(async |it| {
        it.empty_project("p").await;
        let mut made =
            vec![it.root().get("projects/p/environments/default").await.is(200)["release"].clone()];
        for value in 1..=7 {
            // The order is that of time, in milliseconds.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            made.push(
                it.root().put("projects/p/data/x", json!({"value": value})).await.json()["release"].clone(),
            );
        }
        made.reverse();
        let (mut listed, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = it.root().get(&format!("projects/p/releases?limit=3{cursor}")).await.is(200);
            listed.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(listed, made);
    });
}
