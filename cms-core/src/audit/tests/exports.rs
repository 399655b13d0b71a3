// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Exports prove themselves: away from the installation, with more or fewer keys.

use futures_util::TryStreamExt;

use super::*;
use crate::api::audit::ExportVerification;
use crate::audit::export::export;
use crate::audit::offline::{self, Trust};

async fn trail(store: &MemoryStore) -> Audit {
    let audit = open(store, AuditSettings::default());
    let ctx = root();
    for n in 0..12 {
        audit.commit(&ctx, record("a:b").version(n), put(format!("k/{n}"))).await.unwrap();
    }
    let accesses = (0..12).map(|_| audit.access(&ctx, record("c:d")));
    futures_util::future::join_all(accesses).await.into_iter().for_each(Result::unwrap);
    let other = open(store, AuditSettings::default());
    let mut elsewhere = record("a:b");
    elsewhere.project = ProjectId::parse("other").unwrap();
    other.access(&ctx, elsewhere).await.unwrap();
    other
}

async fn exported(audit: &Audit, project: Option<&str>) -> String {
    let project = project.map(|project| ProjectId::parse(project).unwrap());
    let lines: Vec<_> = export(audit.shared.clone(), project).await.unwrap().try_collect().await.unwrap();
    String::from_utf8(lines.concat()).unwrap()
}

fn verify_offline(export: &[u8], trust: &Trust) -> ExportVerification {
    offline::verify(export, trust, &|_| {}).unwrap()
}

fn signed_by(audit: &Audit) -> Trust {
    Trust { signing_key: Some(audit.shared.keys().unwrap().export.public()), trail_key: None }
}

#[tokio::test]
async fn an_export_verifies_with_and_without_keys() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let export = exported(&audit, None).await;
    let nothing = verify_offline(export.as_bytes(), &Trust::default());
    assert!(nothing.ok && !nothing.trusted && !nothing.rehashed, "{nothing:?}");
    assert_eq!(nothing.records, 25);
    let public = verify_offline(export.as_bytes(), &signed_by(&audit));
    assert!(public.ok && public.trusted, "{public:?}");
    let trail_key = Some(Sensitive::new(KEY));
    let all = verify_offline(export.as_bytes(), &Trust { trail_key, ..signed_by(&audit) });
    assert!(all.ok && all.trusted && all.rehashed, "{all:?}");
    assert_eq!(verified(&audit).await.signing_key, all.signed_by.unwrap());
}

#[tokio::test]
async fn an_export_of_a_project_holds_its_records_only() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let export = exported(&audit, Some("rag")).await;
    assert!(!export.contains("\"other\""), "{export}");
    assert!(!export.lines().next().unwrap().contains("heads"));
    let trail_key = Some(Sensitive::new(KEY));
    let report = verify_offline(export.as_bytes(), &Trust { trail_key, ..signed_by(&audit) });
    assert!(report.ok && report.records == 24, "{report:?}");
    assert_eq!(report.project.as_deref(), Some("rag"));
    assert_eq!(verify_offline(exported(&audit, Some("none")).await.as_bytes(), &Trust::default()).records, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_of_an_export_is_seen_without_any_key() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    for project in [None, Some("rag")] {
        let export = exported(&audit, project).await;
        edit::every_edit_of(&export, 1_000, |edited| !verify_offline(edited, &Trust::default()).ok);
    }
}

#[tokio::test]
async fn the_first_edited_line_is_named() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let export = exported(&audit, None).await;
    let lines: Vec<&str> = export.split_inclusive('\n').collect();
    for number in 1..lines.len() - 1 {
        let record: serde_json::Value = serde_json::from_str(lines[number]).unwrap();
        let mut edited = lines.clone();
        let changed = lines[number].replace("projects/rag", "projects/gar").replace("\"other\"", "\"othre\"");
        edited[number] = &changed;
        let report = verify_offline(edited.concat().as_bytes(), &Trust::default());
        let broken = report.broken_at.unwrap();
        assert_eq!(report.line, Some(number as u64 + 1));
        assert_eq!(broken.seq, record["record"]["seq"].as_u64().unwrap(), "{broken:?}");
        assert_eq!(broken.chain, record["record"]["chain"].as_str().unwrap());
    }
}

/// Somebody who makes an export anew from edited records, digests and all, has no key to sign it.
#[tokio::test]
async fn a_forged_export_is_seen_with_the_public_key_and_with_the_trail_key() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let forger = MemoryStore::new();
    let db = Db::new(Arc::new(forger.clone()));
    let forged = Audit::open(db, Arc::new(SystemClock), &Sensitive::new([9; 32]), AuditSettings::default());
    let forged = forged.unwrap();
    forged.access(&root(), record("a:b")).await.unwrap();
    let export = exported(&forged, None).await;
    assert!(verify_offline(export.as_bytes(), &Trust::default()).ok);
    let report = verify_offline(export.as_bytes(), &signed_by(&audit));
    assert!(!report.ok && report.line == Some(1), "{report:?}");
    let trail_key = Some(Sensitive::new(KEY));
    assert!(!verify_offline(export.as_bytes(), &Trust { trail_key, signing_key: None }).ok);
}

#[tokio::test]
async fn a_broken_trail_is_exported_as_evidence_and_says_so() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let entry = all(&store, SEGMENTS).await.swap_remove(3);
    let value = String::from_utf8(entry.value.to_vec()).unwrap().replace("a:b", "a:x");
    store.transact(Transaction::new().put(&entry.key, value)).await.unwrap();
    let export = exported(&audit, None).await;
    assert!(export.contains("a:x"));
    let report = verify_offline(export.as_bytes(), &signed_by(&audit));
    assert!(!report.ok && report.trusted, "{report:?}");
    assert_eq!(report.broken_at.unwrap().seq, 4);
}

#[tokio::test]
async fn what_is_no_export_is_told_apart() {
    for text in ["", "\n", "{}\n", "not json", "{\"format\":\"other\"}\n", &"x".repeat(2_000_000)] {
        let report = verify_offline(text.as_bytes(), &Trust::default());
        assert!(!report.ok && report.line == Some(1), "{report:?}");
    }
}
