// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Somebody with write access to the store, but without the key, changes the trail: each kind of
//! damage is seen and the first broken record is named.

use super::*;
use crate::api::audit::Damage;
use crate::audit::chain::HEADS;

/// A trail of two processes: one chain of changes, then another, and a group of accesses.
async fn trail(store: &MemoryStore) -> Audit {
    let first = open(store, AuditSettings::default());
    for n in 0..10 {
        first.commit(&root(), record("a:b"), put(format!("k/{n}"))).await.unwrap();
    }
    let second = open(store, AuditSettings::default());
    let ctx = root();
    let accesses = (0..10).map(|_| second.access(&ctx, record("c:d")));
    futures_util::future::join_all(accesses).await.into_iter().for_each(Result::unwrap);
    assert!(verified(&second).await.ok);
    second
}

async fn set(store: &MemoryStore, key: &str, value: Vec<u8>) {
    store.transact(Transaction::new().put(key, value)).await.unwrap();
}

/// The segments of the longer-standing chain, which hold one record each.
async fn singles(store: &MemoryStore) -> Vec<(Entry, Record)> {
    let entries = all(store, SEGMENTS).await;
    let read = |entry: Entry| {
        let record = super::super::chain::parse_record(&entry.value).ok()?;
        Some((entry, record))
    };
    entries.into_iter().filter_map(read).filter(|(_, record)| record.action == "a:b").collect()
}

#[tokio::test]
async fn every_flipped_byte_is_seen() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let (entry, record) = singles(&store).await.swap_remove(4);
    for place in 0..entry.value.len() {
        let mut value = entry.value.to_vec();
        value[place] ^= 1;
        set(&store, &entry.key, value).await;
        let broken = broken(&audit).await;
        assert_eq!((broken.chain.as_str(), broken.seq), (record.chain.as_str(), record.seq), "{broken:?}");
        assert_eq!(broken.damage, Damage::Altered);
    }
    set(&store, &entry.key, entry.value.to_vec()).await;
    assert!(verified(&audit).await.ok);
}

#[tokio::test]
async fn every_removed_record_is_seen() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    for (place, (entry, record)) in singles(&store).await.into_iter().enumerate() {
        store.transact(Transaction::new().delete(&entry.key)).await.unwrap();
        let broken = broken(&audit).await;
        assert_eq!((broken.chain.as_str(), broken.seq), (record.chain.as_str(), record.seq));
        assert_eq!(broken.damage, if place == 9 { Damage::Truncated } else { Damage::Removed });
        set(&store, &entry.key, entry.value.to_vec()).await;
    }
}

#[tokio::test]
async fn a_line_removed_from_a_group_is_seen() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let group = all(&store, SEGMENTS).await.into_iter().find(|entry| entry.value.contains(&b'\n')).unwrap();
    let lines: Vec<&[u8]> = super::super::verify::lines(&group).collect();
    for left_out in 0..lines.len() {
        let mut kept = lines.clone();
        kept.remove(left_out);
        set(&store, &group.key, kept.join(&b'\n')).await;
        broken(&audit).await;
    }
}

#[tokio::test]
async fn exchanged_records_are_seen() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let records = singles(&store).await;
    let ((a, first), (b, _)) = (&records[2], &records[6]);
    set(&store, &a.key, b.value.to_vec()).await;
    set(&store, &b.key, a.value.to_vec()).await;
    let broken = broken(&audit).await;
    assert_eq!((broken.damage, &broken.chain), (Damage::Reordered, &first.chain));
}

#[tokio::test]
async fn a_chain_cut_off_together_with_its_head_is_seen_from_the_others() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let records = singles(&store).await;
    let mut cut = Transaction::new();
    for (entry, _) in &records[5..] {
        cut = cut.delete(&entry.key);
    }
    let last = &records[4].1;
    let head = serde_json::json!({"v": 1, "seq": last.seq, "hash": last.hash, "id": last.id});
    cut = cut.put(format!("{HEADS}{}", last.chain), head.to_string());
    store.transact(cut).await.unwrap();
    let broken = broken(&audit).await;
    assert_eq!((broken.damage, &broken.chain, broken.seq), (Damage::Truncated, &last.chain, 6));
}

#[tokio::test]
async fn a_chain_removed_whole_is_seen_from_the_others() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    let records = singles(&store).await;
    let mut cut = Transaction::new().delete(format!("{HEADS}{}", records[0].1.chain));
    for (entry, _) in &records {
        cut = cut.delete(&entry.key);
    }
    store.transact(cut).await.unwrap();
    assert_eq!(broken(&audit).await.damage, Damage::Truncated);
}

#[tokio::test]
async fn a_head_that_is_missing_altered_or_put_back_is_seen() {
    let store = MemoryStore::new();
    let audit = trail(&store).await;
    for head in all(&store, HEADS).await {
        store.transact(Transaction::new().delete(&head.key)).await.unwrap();
        assert_eq!(broken(&audit).await.damage, Damage::Truncated);
        set(&store, &head.key, b"{}".to_vec()).await;
        assert_eq!(broken(&audit).await.damage, Damage::Altered);
        let text = std::str::from_utf8(&head.value).unwrap();
        set(&store, &head.key, text.replacen("\"hash\":\"", "\"hash\":\"f", 1).into_bytes()).await;
        assert_eq!(broken(&audit).await.damage, Damage::Unlinked);
        set(&store, &head.key, head.value.to_vec()).await;
    }
    assert!(verified(&audit).await.ok);
}

#[tokio::test]
async fn a_record_of_another_installation_is_not_accepted() {
    let store = MemoryStore::new();
    let db = Db::new(Arc::new(store.clone()));
    let other =
        Audit::open(db, Arc::new(SystemClock), &Sensitive::new([8; 32]), AuditSettings::default()).unwrap();
    other.access(&root(), record("a:b")).await.unwrap();
    let audit = open(&store, AuditSettings::default());
    assert_eq!(broken(&audit).await.damage, Damage::Altered);
}
