// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The active release as an OPA bundle.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use cms_tests::served;
use serde_json::{Value, json};

const BUNDLE: &str = "projects/p/environments/default/bundle.tar.gz";

fn unpack(packed: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert!(entry.header().entry_type().is_file());
        let name = entry.path().unwrap().to_string_lossy().trim_start_matches('/').to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, text);
    }
    files
}

#[test]
fn a_bundle_holds_what_opa_needs() {
    served(async |it| {
        it.empty_project("p").await;
        let root = it.root();
        let policy = "package search\n\nallow if input.team == data.search.owner\n";
        root.put("projects/p/data/search", json!({"owner": "docs"})).await.is(201);
        let release =
            root.put_text("projects/p/policies/search/rules", policy).await.is(201)["release"].clone();
        let key = it.holder(&it.key("p", json!(["bundle:read"])).await);
        let bundle = key.get(BUNDLE).await;
        assert_eq!((bundle.status, bundle.header("content-type")), (200, "application/gzip"));
        let files = unpack(&bundle.body);
        let manifest: Value = serde_json::from_str(&files[".manifest"]).unwrap();
        assert_eq!(manifest["revision"], release);
        assert!(manifest["roots"].is_array() || manifest.get("roots").is_none(), "{manifest}");
        let data: Value = serde_json::from_str(&files["search/data.json"]).unwrap();
        assert_eq!(data["owner"], "docs");
        let modules: Vec<_> =
            files.iter().filter(|(name, _)| name.ends_with(".rego")).map(|(_, text)| text.as_str()).collect();
        assert_eq!(modules, [policy]);
        assert_eq!(key.get(BUNDLE).await.body, bundle.body, "the same release is the same archive");
    });
}

#[test]
fn a_known_bundle_is_not_sent_again() {
    served(async |it| {
        it.project("p").await;
        let bundle = it.root().get(BUNDLE).await;
        let tag = bundle.header("etag").to_owned();
        assert!(tag.len() > 10, "{tag}");
        let known = it.root().with("if-none-match", &tag).get(BUNDLE).await;
        assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, tag.as_str()));
        it.root().put("projects/p/data/more", json!({})).await.is(201);
        assert_eq!(it.root().with("if-none-match", &tag).get(BUNDLE).await.status, 200);
    });
}

#[test]
fn a_long_poll_waits_for_the_next_release() {
    served(async |it| {
        it.project("p").await;
        let tag = it.root().get(BUNDLE).await.header("etag").to_owned();
        let waiting = it.root().with("if-none-match", &tag);
        let started = Instant::now();
        assert_eq!(waiting.with("prefer", "wait=1").get(BUNDLE).await.status, 304);
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
        let poll = tokio::spawn(async move { waiting.with("prefer", "wait=20").get(BUNDLE).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!poll.is_finished());
        let changed = Instant::now();
        it.root().put("projects/p/data/more", json!({})).await.is(201);
        let bundle = poll.await.unwrap();
        assert_eq!(
            (bundle.status, bundle.header("content-type")),
            (200, "application/vnd.openpolicyagent.bundles")
        );
        assert!(changed.elapsed() < Duration::from_secs(2), "{:?}", changed.elapsed());
        assert_ne!(bundle.header("etag"), tag);
    });
}
