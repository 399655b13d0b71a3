// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The active release as an OPA bundle.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
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

/// The claims of a bundle's signature, after checking that one of the keys made it.
fn verified(files: &BTreeMap<String, String>, keys: &Value) -> (String, Value) {
    let signatures: Value = serde_json::from_str(&files[".signatures.json"]).unwrap();
    let [token] = signatures["signatures"].as_array().unwrap().as_slice() else { panic!("{signatures}") };
    let (message, signature) = token.as_str().unwrap().rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let decode = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header["alg"], "ES256");
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let point: Vec<u8> =
        [vec![4], decode(key["x"].as_str().unwrap()), decode(key["y"].as_str().unwrap())].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(message.as_bytes(), &decode(signature)).expect("the signature is the key's");
    (header["kid"].as_str().unwrap().to_owned(), serde_json::from_slice(&decode(payload)).unwrap())
}

#[test]
fn a_signature_covers_every_file_of_a_bundle() {
    served(async |it| {
        it.empty_project("p").await;
        it.root()
            .send("PUT", "projects/p/data/a", "application/json", "{ \"z\": 1.0, \"b\": [] }")
            .await
            .is(201);
        it.root().put_text("projects/p/policies/p", "package p\n").await.is(201);
        let reader = it.holder(&it.key("p", json!(["bundle:read"])).await);
        let bundle = reader.get(BUNDLE).await;
        let files = unpack(&bundle.body);
        let keys = reader.get("projects/p/bundle-keys").await.is(200);
        let (kid, claims) = verified(&files, &keys);
        assert_eq!((&claims["keyid"], &keys["keys"][0]["kid"]), (&json!(kid), &json!(kid)));
        assert!(keys["keys"][0]["pem"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));
        let sha256 = |text: &str| {
            data_encoding::HEXLOWER
                .encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
        };
        let hash = |name: &str| {
            let found = claims["files"].as_array().unwrap().iter().find(|file| file["name"] == name).unwrap();
            assert_eq!(found["algorithm"], "SHA-256");
            found["hash"].as_str().unwrap().to_owned()
        };
        assert_eq!(hash("p.rego"), sha256("package p\n"));
        assert_eq!(
            hash("a/data.json"),
            sha256(r#"{"b":[],"z":1.0}"#),
            "JSON is hashed in order, without white space"
        );
        assert!(!hash(".manifest").is_empty());
        assert_eq!(
            claims["files"].as_array().unwrap().len(),
            files.len() - 1,
            "all but the signatures themselves"
        );
        let unsigned = reader.get(&format!("{BUNDLE}?signed=false")).await;
        assert!(!unpack(&unsigned.body).contains_key(".signatures.json"));
        assert_ne!(unsigned.header("etag"), bundle.header("etag"));
        assert!(!bundle.text().contains("PRIVATE"));
    });
}

#[test]
fn keys_of_signatures_are_replaced_at_once_or_after_a_notice() {
    served(async |it| {
        it.project("p").await;
        let root = it.root();
        let first = root.get(BUNDLE).await;
        let signed_by = async |bundle: &[u8]| {
            let keys = root.get("projects/p/bundle-keys").await.is(200);
            verified(&unpack(bundle), &keys).0
        };
        let old = signed_by(&first.body).await;
        let waiting = root.with("if-none-match", first.header("etag")).with("prefer", "wait=20");
        let poll = tokio::spawn(async move { waiting.get(BUNDLE).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let rotated = root.post("projects/p/bundle-keys/rotate", json!({})).await.is(200);
        let second = poll.await.unwrap();
        assert_eq!(second.status, 200, "another key makes another bundle");
        let new = signed_by(&second.body).await;
        assert!(new != old && rotated["keys"][0]["kid"] == new.as_str(), "{rotated}");
        assert_eq!(signed_by(&first.body).await, old, "the old public key is still shown");
        let noticed =
            root.post("projects/p/bundle-keys/rotate", json!({"notice_seconds": 3600})).await.is(200);
        assert_eq!((noticed["keys"].as_array().unwrap().len(), &noticed["keys"][0]["kid"]), (3, &json!(new)));
        assert_eq!(signed_by(&root.get(BUNDLE).await.body).await, new);
        root.post("projects/p/data-key/rotate", Value::Null).await.is(200);
        assert_eq!(signed_by(&root.get(BUNDLE).await.body).await, new, "the keys are sealed anew");
        root.post("projects/p/bundle-keys/rotate", json!({"notice_seconds": 100_000_000})).await.is(400);
        let reader = it.holder(&it.key("p", json!(["bundle:read"])).await);
        reader.post("projects/p/bundle-keys/rotate", json!({})).await.is(403);
    });
}
