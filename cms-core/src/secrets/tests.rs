// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The service from where its callers stand, over the memory store: what each operation answers,
//! what it leaves in the store and on the trail, and what a store may not get away with.

use std::collections::BTreeMap;

use super::fixture::{Fixture, path, put_text, rag};
use super::*;
use crate::api::secrets::{Generator, SecretState};
use crate::api::{Page, PageQuery};
use crate::crypto::Barrier;
use crate::error::ErrorKind;
use crate::sensitive::Sensitive;
use crate::store::{Range, Transaction};

const CANARY: &str = "sk-live-canary-4242424242";

async fn reveal(fixture: &Fixture, name: &str, version: Option<u64>) -> Result<String> {
    let request = RevealSecret { version, reason: None };
    let revealed = fixture.secrets.reveal(&fixture.ctx, &rag(), &path(name), request).await?;
    Ok(revealed.data.expose().to_owned())
}

#[tokio::test]
async fn a_secret_is_put_masked_and_revealed() {
    let fixture = Fixture::new().await;
    let written = fixture.put("llm/openai", &put_text(CANARY)).await.unwrap();
    assert!(written.created);
    assert_eq!((written.secret.version, written.secret.state), (1, SecretState::Live));
    assert_eq!(written.secret.author, "root");

    let masked = fixture.secrets.masked(&fixture.ctx, &rag(), &path("llm/openai"), None).await.unwrap();
    assert_eq!(masked.data, BTreeMap::from([("key".to_owned(), "sk-••••4242".to_owned())]));
    assert!(!serde_json::to_string(&masked).unwrap().contains("canary"));

    let request = RevealSecret { version: None, reason: Some("deploy".to_owned()) };
    let revealed = fixture.secrets.reveal(&fixture.ctx, &rag(), &path("llm/openai"), request).await.unwrap();
    assert_eq!(revealed.data.expose(), format!("{{\"key\":\"{CANARY}\"}}"));
    assert_eq!(revealed.version, 1);
}

#[tokio::test]
async fn every_change_and_every_reveal_is_on_the_trail_without_values() {
    let fixture = Fixture::new().await;
    fixture.put("llm/openai", &put_text(CANARY)).await.unwrap();
    let request = RevealSecret { version: Some(1), reason: Some("deploy".to_owned()) };
    fixture.secrets.reveal(&fixture.ctx, &rag(), &path("llm/openai"), request).await.unwrap();
    assert!(reveal(&fixture, "llm/openai", Some(7)).await.is_err());
    assert!(reveal(&fixture, "llm/nothing", None).await.is_err());
    let (secrets, ctx) = (&fixture.secrets, &fixture.ctx);
    secrets.delete(ctx, &rag(), &path("llm/openai"), None, None).await.unwrap();
    secrets.undelete(ctx, &rag(), &path("llm/openai"), None, None).await.unwrap();
    secrets.rotate(ctx, &rag(), &path("llm/openai"), RotateSecret::default(), None).await.unwrap();
    secrets.destroy(ctx, &rag(), &path("llm/openai"), vec![1, 2], None).await.unwrap();
    let records = fixture.records().await;
    let seen: Vec<_> = records
        .iter()
        .map(|record| (&*record.action, record.version, record.outcome.as_str(), record.reason.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("secret:write", Some(1), "success", None),
            ("secret:reveal", Some(1), "success", Some("deploy")),
            ("secret:reveal", Some(7), "failure", Some("version_not_found")),
            ("secret:reveal", None, "failure", Some("not_found")),
            ("secret:delete", Some(1), "success", Some("deleted version 1")),
            ("secret:delete", Some(1), "success", Some("brought back version 1")),
            ("secret:write", Some(2), "success", None),
            ("secret:destroy", Some(2), "success", Some("destroyed version 1, 2")),
        ]
    );
    assert!(records.iter().all(|record| record.resource.starts_with("projects/rag/secret/llm/")));
    assert!(!format!("{records:?}").contains("canary"));
}

#[tokio::test]
async fn compare_and_swap_keeps_lost_updates_out() {
    let fixture = Fixture::new().await;
    let with = |cas| PutSecret { cas: Some(cas), ..put_text("x") };
    let code =
        |result: Result<WrittenSecret>| result.map(|written| written.secret.version).map_err(|e| e.code());
    assert_eq!(code(fixture.put("a", &with(1)).await), Err("cas_mismatch"));
    assert_eq!(code(fixture.put("a", &with(0)).await), Ok(1));
    assert_eq!(code(fixture.put("a", &with(0)).await), Err("cas_mismatch"));
    assert_eq!(code(fixture.put("a", &with(1)).await), Ok(2));
    let (project, name) = (rag(), path("a"));
    let header = |expected| fixture.secrets.put(&fixture.ctx, &project, &name, put_text("x"), Some(expected));
    let stale = header(1).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Stale);
    assert_eq!(header(0).await.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(code(header(2).await), Ok(3));
    let both = fixture.secrets.put(&fixture.ctx, &project, &name, with(3), Some(2)).await.unwrap_err();
    assert_eq!(both.kind(), ErrorKind::Invalid);
    // A deleted version still counts: only who knows it may write over it.
    fixture.secrets.delete(&fixture.ctx, &project, &name, None, Some(3)).await.unwrap();
    assert_eq!(code(fixture.put("a", &with(0)).await), Err("cas_mismatch"));
    assert_eq!(code(fixture.put("a", &with(3)).await), Ok(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_with_the_same_expectation_one_wins() {
    let fixture = Fixture::new().await;
    let mut writers = Vec::new();
    for n in 0..50 {
        let fixture = fixture.clone();
        writers.push(tokio::spawn(async move {
            let put = PutSecret { cas: Some(0), ..put_text(&n.to_string()) };
            fixture.put("contended", &put).await.map_err(|error| error.code())
        }));
    }
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(_) => won += 1,
            Err(code) => assert_eq!(code, "cas_mismatch"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_without_an_expectation_all_get_a_version() {
    let fixture = Fixture::new().await;
    let other = fixture.another_process().await;
    let mut writers = Vec::new();
    for n in 0..40 {
        let fixture = if n % 2 == 0 { fixture.clone() } else { other.clone() };
        writers.push(tokio::spawn(async move { fixture.put("shared", &put_text(&n.to_string())).await }));
    }
    let mut versions = Vec::new();
    for writer in writers {
        versions.push(writer.await.unwrap().unwrap().secret.version);
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=40).collect::<Vec<u64>>());
    fixture.verify().await;
}

#[tokio::test]
async fn deleted_versions_come_back_and_destroyed_ones_do_not() {
    let fixture = Fixture::new().await;
    let (secrets, ctx) = (&fixture.secrets, &fixture.ctx);
    for n in 1..=3 {
        fixture.put("db", &put_text(&format!("value-{n}"))).await.unwrap();
    }
    let changed = secrets.delete(ctx, &rag(), &path("db"), None, None).await.unwrap();
    assert_eq!((changed.version, changed.versions[0].state), (3, SecretState::Deleted));
    for error in [
        reveal(&fixture, "db", None).await.unwrap_err(),
        secrets.masked(ctx, &rag(), &path("db"), None).await.unwrap_err(),
        secrets.delete(ctx, &rag(), &path("db"), None, None).await.unwrap_err(),
        secrets.rotate(ctx, &rag(), &path("db"), RotateSecret::default(), None).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "version_deleted"));
    }
    assert_eq!(reveal(&fixture, "db", Some(2)).await.unwrap(), r#"{"key":"value-2"}"#);
    secrets.undelete(ctx, &rag(), &path("db"), Some(vec![3]), None).await.unwrap();
    assert_eq!(reveal(&fixture, "db", None).await.unwrap(), r#"{"key":"value-3"}"#);

    secrets.destroy(ctx, &rag(), &path("db"), vec![2, 3], None).await.unwrap();
    let error = reveal(&fixture, "db", Some(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "version_destroyed"));
    let error = secrets.undelete(ctx, &rag(), &path("db"), Some(vec![3]), None).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "version_destroyed"));
    assert_eq!(reveal(&fixture, "db", Some(1)).await.unwrap(), r#"{"key":"value-1"}"#);
    let keys: Vec<String> = fixture.dump().await.into_iter().map(|entry| entry.key).collect();
    assert!(keys.contains(&"p/rag/secv/db@00000001".to_owned()));
    assert!(!keys.contains(&"p/rag/secv/db@00000002".to_owned()), "the bytes go with the destruction");
    // Destroying again changes nothing and leaves no record.
    let before = fixture.records().await.len();
    secrets.destroy(ctx, &rag(), &path("db"), vec![2], None).await.unwrap();
    assert_eq!(fixture.records().await.len(), before);
    fixture.verify().await;
}

#[tokio::test]
async fn versions_that_do_not_exist_are_told_apart() {
    let fixture = Fixture::new().await;
    let (secrets, ctx) = (&fixture.secrets, &fixture.ctx);
    fixture.put("db", &put_text("x")).await.unwrap();
    assert_eq!(reveal(&fixture, "db", Some(2)).await.unwrap_err().code(), "version_not_found");
    assert_eq!(reveal(&fixture, "nothing", None).await.unwrap_err().code(), "not_found");
    let error = secrets.destroy(ctx, &rag(), &path("db"), vec![9], None).await.unwrap_err();
    assert_eq!(error.code(), "version_not_found");
    let error = secrets.destroy(ctx, &rag(), &path("db"), vec![], None).await.unwrap_err();
    assert_eq!(error.code(), "no_versions");
    let error = secrets.destroy(ctx, &rag(), &path("db"), (1..=51).collect(), None).await.unwrap_err();
    assert_eq!(error.code(), "too_many_versions");
    let error = secrets.versions(ctx, &rag(), &path("nothing"), &PageQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn only_so_many_versions_are_kept() {
    let fixture = Fixture::new().await;
    let last = MAX_KEPT_VERSIONS as u64 + 3;
    for n in 1..=last {
        fixture.put("db", &put_text(&n.to_string())).await.unwrap();
    }
    assert_eq!(reveal(&fixture, "db", Some(3)).await.unwrap_err().code(), "version_not_kept");
    assert_eq!(reveal(&fixture, "db", Some(4)).await.unwrap(), r#"{"key":"4"}"#);
    let values = fixture.dump().await.iter().filter(|entry| entry.key.starts_with("p/rag/secv/")).count();
    assert_eq!(values, MAX_KEPT_VERSIONS);
    let mut page = PageQuery { limit: Some(20), cursor: None };
    let mut versions = Vec::new();
    loop {
        let found = fixture.secrets.versions(&fixture.ctx, &rag(), &path("db"), &page).await.unwrap();
        versions.extend(found.items.iter().map(|version| version.version));
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(versions, (4..=last).rev().collect::<Vec<u64>>());
    fixture.verify().await;
}

#[tokio::test]
async fn metadata_stays_until_it_is_replaced() {
    let fixture = Fixture::new().await;
    let owner = BTreeMap::from([("owner".to_owned(), "rag team".to_owned())]);
    let put = PutSecret { metadata: Some(owner.clone()), message: Some("first".into()), ..put_text("x") };
    assert_eq!(fixture.put("db", &put).await.unwrap().secret.metadata, owner);
    let second = fixture.put("db", &put_text("y")).await.unwrap().secret;
    assert_eq!((second.metadata, second.message), (owner, None));
    let put = PutSecret { metadata: Some(BTreeMap::new()), ..put_text("z") };
    assert!(fixture.put("db", &put).await.unwrap().secret.metadata.is_empty());
    let versions =
        fixture.secrets.versions(&fixture.ctx, &rag(), &path("db"), &PageQuery::default()).await.unwrap();
    let messages: Vec<_> = versions.items.into_iter().map(|version| version.message).collect();
    assert_eq!(messages, [None, None, Some("first".to_owned())]);
}

#[tokio::test]
async fn rotation_replaces_one_field() {
    let fixture = Fixture::new().await;
    let data = SecretData::parse(Sensitive::new(r#"{"user":"app","password":"old"}"#.to_owned())).unwrap();
    fixture.put("db", &PutSecret { data, ..put_text("") }).await.unwrap();
    let rotation = |field: Option<&str>, kind: &str| RotateSecret {
        field: field.map(str::to_owned),
        generator: Some(Generator { kind: kind.to_owned(), length: Some(40), classes: None }),
        ..RotateSecret::default()
    };
    let (project, name) = (rag(), path("db"));
    let rotate = |rotation| fixture.secrets.rotate(&fixture.ctx, &project, &name, rotation, None);
    assert_eq!(rotate(rotation(None, "hex")).await.unwrap_err().code(), "field_required");
    assert_eq!(rotate(rotation(Some("port"), "hex")).await.unwrap_err().code(), "unknown_field");
    assert_eq!(rotate(rotation(Some("password"), "magic")).await.unwrap_err().code(), "unknown_generator");
    let written = rotate(rotation(Some("password"), "hex")).await.unwrap();
    assert_eq!((written.secret.version, written.created), (2, false));
    let text = reveal(&fixture, "db", None).await.unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let password = value["password"].as_str().unwrap();
    assert!(password.len() == 40 && password.chars().all(|c| c.is_ascii_hexdigit()));
    assert_eq!(value["user"], "app");
    assert_eq!(reveal(&fixture, "db", Some(1)).await.unwrap(), r#"{"user":"app","password":"old"}"#);
    let missing =
        fixture.secrets.rotate(&fixture.ctx, &rag(), &path("no"), RotateSecret::default(), None).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn lists_page_within_their_prefix() {
    let fixture = Fixture::new().await;
    for name in ["db/a", "llm", "llm-other", "llm.old", "llm/azure", "llm/openai", "z"] {
        fixture.put(name, &put_text("x")).await.unwrap();
    }
    fixture.secrets.delete(&fixture.ctx, &rag(), &path("z"), None, None).await.unwrap();
    let all = fixture.list(None, 3).await;
    assert_eq!(all, ["db/a", "llm", "llm-other", "llm.old", "llm/azure", "llm/openai", "z"]);
    assert_eq!(
        fixture.list(Some("llm"), 2).await,
        ["llm", "llm-other", "llm.old", "llm/azure", "llm/openai"]
    );
    assert_eq!(fixture.list(Some("llm/"), 1).await, ["llm/azure", "llm/openai"]);
    // A key's range ends at segment borders, whatever sorts in between.
    let key = fixture.clone().by_key();
    assert_eq!(key.list(Some("llm"), 1).await, ["llm", "llm/azure", "llm/openai"]);
    assert_eq!(key.list(Some("llm/"), 2).await, ["llm", "llm/azure", "llm/openai"]);
    // The range is what must be allowed, not what it happens to hold.
    for prefix in [None, Some("llm-other"), Some("z")] {
        let refused = key.secrets.list(&key.ctx, &rag(), prefix, &PageQuery::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{prefix:?}");
    }
    // A cursor of another listing leads nowhere.
    for cursor in ["db/a", "z", "llm-other"] {
        let page = PageQuery { limit: None, cursor: Page::<()>::new(Vec::new(), Some(cursor)).next_cursor };
        let error = key.secrets.list(&key.ctx, &rag(), Some("llm"), &page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{cursor}");
    }
}

#[tokio::test]
async fn limits_are_enforced_before_anything_is_stored() {
    let fixture = Fixture::new().await;
    let before = fixture.dump().await.len();
    let long = put_text(&"x".repeat(MAX_SECRET_BYTES));
    assert_eq!(fixture.put("a", &long).await.unwrap_err().kind(), ErrorKind::TooLarge);
    let empty = SecretData::parse(Sensitive::new("{}".to_owned())).unwrap();
    let error = fixture.put("a", &PutSecret { data: empty, ..put_text("") }).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unprocessable, "no_fields"));
    let wordy = PutSecret { message: Some("m".repeat(1001)), ..put_text("x") };
    assert_eq!(fixture.put("a", &wordy).await.unwrap_err().code(), "text_too_long");
    assert_eq!(fixture.dump().await.len(), before);
}

#[tokio::test]
async fn a_project_holds_only_so_many_secrets() {
    let fixture = Fixture::new().await;
    fixture.put("one", &put_text("x")).await.unwrap();
    // Most of the count stands as if it were made by others.
    let count = format!(r#"{{"v":1,"count":{}}}"#, MAX_SECRETS - 2);
    fixture.store.transact(Transaction::new().put("p/rag/quota/secret/99", count)).await.unwrap();
    fixture.clock.advance(std::time::Duration::from_secs(2));
    fixture.put("two", &put_text("x")).await.unwrap();
    let error = fixture.put("three", &put_text("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooMany, "quota_exceeded"));
    assert!(error.message().contains("10000"));
    fixture.put("two", &put_text("a new version is no new secret")).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_secret_is_in_the_store() {
    let fixture = Fixture::new().await;
    let metadata = BTreeMap::from([("hint".to_owned(), "canary-metadata".to_owned())]);
    let put =
        PutSecret { metadata: Some(metadata), message: Some("canary-message".into()), ..put_text(CANARY) };
    fixture.put("llm/openai", &put).await.unwrap();
    let rotation = RotateSecret::default();
    fixture.secrets.rotate(&fixture.ctx, &rag(), &path("llm/openai"), rotation, None).await.unwrap();
    let generated = reveal(&fixture, "llm/openai", None).await.unwrap();
    for entry in fixture.dump().await.iter().filter(|entry| entry.key.starts_with("p/")) {
        let text = String::from_utf8_lossy(&entry.value);
        assert!(!text.contains("canary"), "{}", entry.key);
        assert!(!text.contains(&generated[8..30]), "{}", entry.key);
    }
}

#[tokio::test]
async fn a_sealed_installation_answers_nothing() {
    let fixture = Fixture::new().await;
    fixture.put("db", &put_text(CANARY)).await.unwrap();
    reveal(&fixture, "db", None).await.unwrap();
    fixture.barrier.seal_up();
    let (secrets, ctx, page) = (&fixture.secrets, &fixture.ctx, PageQuery::default());
    for error in [
        fixture.put("db", &put_text("x")).await.unwrap_err(),
        fixture.put("new", &put_text("x")).await.unwrap_err(),
        reveal(&fixture, "db", None).await.unwrap_err(),
        reveal(&fixture, "nothing", None).await.unwrap_err(),
        secrets.masked(ctx, &rag(), &path("db"), None).await.unwrap_err(),
        secrets.list(ctx, &rag(), None, &page).await.unwrap_err(),
        secrets.versions(ctx, &rag(), &path("db"), &page).await.unwrap_err(),
        secrets.delete(ctx, &rag(), &path("db"), None, None).await.unwrap_err(),
        secrets.destroy(ctx, &rag(), &path("nothing"), vec![1], None).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Sealed);
    }
    fixture.barrier.unseal().await.unwrap();
    assert!(reveal(&fixture, "db", None).await.unwrap().contains(CANARY));
}

#[tokio::test]
async fn what_a_store_alters_is_an_error_and_is_found() {
    let fixture = Fixture::new().await;
    for name in ["a", "b"] {
        fixture.put(name, &put_text(&format!("{name}-value-1"))).await.unwrap();
        fixture.put(name, &put_text(&format!("{name}-value-2"))).await.unwrap();
    }
    fixture.verify().await;
    let whole = fixture.dump().await;
    let value = |key: &str| whole.iter().find(|entry| entry.key == key).unwrap().value.clone();
    let attacks = [
        // Another secret's value, another version's value, another secret's head.
        Transaction::new().put("p/rag/secv/a@00000002", value("p/rag/secv/b@00000002")),
        Transaction::new().put("p/rag/secv/a@00000002", value("p/rag/secv/a@00000001")),
        Transaction::new().put("p/rag/sec/a", value("p/rag/sec/b")),
        Transaction::new().put("p/rag/secv/a@00000002", "no envelope at all, but long enough for one"),
        Transaction::new().put("p/rag/secv/a@00000002", ""),
        Transaction::new().delete("p/rag/secv/a@00000002"),
    ];
    for attack in attacks {
        fixture.store.transact(attack.clone()).await.unwrap();
        let fresh = fixture.another_process().await;
        let error = reveal(&fresh, "a", None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{attack:?}");
        assert!(!fresh.report().await.problems.is_empty(), "{attack:?}");
        assert_eq!(reveal(&fresh, "b", None).await.unwrap(), r#"{"key":"b-value-2"}"#);
        for key in ["p/rag/secv/a@00000002", "p/rag/sec/a"] {
            fixture.store.transact(Transaction::new().put(key, value(key))).await.unwrap();
        }
    }
    // A value that no head knows, and a count that is not true.
    fixture
        .store
        .transact(Transaction::new().put("p/rag/secv/c@00000001", value("p/rag/secv/a@00000001")))
        .await
        .unwrap();
    fixture
        .store
        .transact(Transaction::new().put("p/rag/quota/secret/99", r#"{"v":1,"count":1}"#))
        .await
        .unwrap();
    assert_eq!(fixture.another_process().await.report().await.problems.len(), 2);
}

#[tokio::test]
async fn resealing_moves_everything_to_the_new_key() {
    let fixture = Fixture::new().await;
    for n in 0..70 {
        fixture.put(&format!("s/{n}"), &put_text(&format!("value-{n}"))).await.unwrap();
    }
    let old = fixture.dump().await;
    fixture.keyrings.rotate_project(&fixture.ctx, &rag()).await.unwrap();
    let steps = std::sync::Mutex::new(Vec::new());
    let done =
        fixture.secrets.reseal(&fixture.ctx, &rag(), &|n| steps.lock().unwrap().push(n)).await.unwrap();
    assert_eq!(done, 140);
    assert!(steps.lock().unwrap().is_sorted() && steps.lock().unwrap().last() == Some(&140));
    for entry in fixture.dump().await.iter().filter(|entry| entry.key.starts_with("p/rag/sec")) {
        assert_eq!(Barrier::key_version(&entry.value).unwrap(), 2, "{}", entry.key);
    }
    assert_eq!(fixture.secrets.reseal(&fixture.ctx, &rag(), &|_| ()).await.unwrap(), 0);
    assert_eq!(reveal(&fixture, "s/42", None).await.unwrap(), r#"{"key":"value-42"}"#);
    fixture.verify().await;
    // What was sealed with the old key still opens where it was.
    let entry = old.iter().find(|entry| entry.key == "p/rag/secv/s/1@00000001").unwrap();
    assert!(fixture.barrier.open(&rag(), &entry.key, 1, &entry.value).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_of_every_key_under_use_loses_no_secret() {
    let fixture = Fixture::new().await;
    let other = fixture.another_process().await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let fixture = if writer % 2 == 0 { fixture.clone() } else { other.clone() };
        writers.push(tokio::spawn(async move {
            for n in 0..25 {
                let name = format!("w{writer}/{n}");
                fixture.put(&name, &put_text(&name)).await.unwrap();
                assert!(reveal(&fixture, &name, None).await.unwrap().contains(&name));
            }
        }));
    }
    for _ in 0..4 {
        fixture.keyrings.rotate_project(&fixture.ctx, &rag()).await.unwrap();
        other.keyrings.rotate_root(&other.ctx, &|_, _| ()).await.unwrap();
        fixture.secrets.reseal(&fixture.ctx, &rag(), &|_| ()).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let fresh = fixture.another_process().await;
    assert_eq!(fresh.list(None, 200).await.len(), 100);
    fresh.verify().await;
}

#[tokio::test]
async fn a_destroyed_project_key_takes_the_secrets_with_it() {
    let fixture = Fixture::new().await;
    fixture.put("db", &put_text(CANARY)).await.unwrap();
    fixture.store.transact(fixture.barrier.destroy_project_key(&rag())).await.unwrap();
    let error = reveal(&fixture, "db", None).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Sealed, "key_destroyed"));
}

#[tokio::test]
async fn nobody_writes_to_a_project_that_is_gone() {
    let fixture = Fixture::new().await;
    fixture.store.transact(Transaction::new().delete("p/rag/meta")).await.unwrap();
    let error = fixture.put("db", &put_text("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(fixture.store.range(Range::prefix("p/rag/sec")).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn without_a_trail_nothing_is_changed_and_nothing_revealed() {
    let fixture = Fixture::new().await;
    fixture.put("db", &put_text(CANARY)).await.unwrap();
    let before = fixture.dump().await;
    fixture.break_trail();
    assert_eq!(reveal(&fixture, "db", None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(fixture.put("db", &put_text("x")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(fixture.dump().await, before);
}
