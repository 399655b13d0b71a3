// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many writers, several processes, restarts: no gap, no fork, no contention that does not end.

use std::collections::BTreeSet;

use super::*;
use crate::error::ErrorKind;
use crate::store::{Condition, Outcome};

#[tokio::test]
async fn a_change_and_its_record_are_one() {
    let store = MemoryStore::new();
    let audit = open(&store, AuditSettings::default());
    let done = audit.commit(&root(), record("a:b"), put("k")).await.unwrap();
    assert_eq!(done, Outcome::Committed { revision: 1 });
    assert_eq!(store.revision().await.unwrap(), 1);
    let change = put("m").when(Condition::Present("k".into())).when(Condition::Absent("k".into()));
    let done = audit.commit(&root(), record("a:b"), change).await.unwrap();
    assert_eq!(done, Outcome::Conflict { failed: vec![1] });
    assert_eq!(verified(&audit).await.records, 1);
    audit.commit(&root(), record("a:b"), put("m")).await.unwrap();
    let verification = verified(&audit).await;
    assert!(verification.ok && verification.records == 2, "{verification:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_write_at_once_and_every_chain_verifies() {
    let store = MemoryStore::new();
    let processes = [open(&store, AuditSettings::default()), open(&store, AuditSettings::default())];
    let mut writers = tokio::task::JoinSet::new();
    for (process, audit) in processes.iter().enumerate() {
        for writer in 0..10 {
            let audit = audit.clone();
            writers.spawn(async move {
                for n in 0..100 {
                    let key = format!("{process}/{writer}/{n}");
                    audit.commit(&root(), record("a:b"), put(key)).await.unwrap();
                    audit.access(&root(), record("c:d")).await.unwrap();
                }
            });
        }
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let verification = verified(&processes[0]).await;
    assert!(verification.ok, "{verification:?}");
    assert_eq!(verification.records, 4_000);
    assert!(verification.chains <= 64);
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_chains() {
    let store = MemoryStore::new();
    let clock = Arc::new(crate::clock::ManualClock::new(crate::clock::Timestamp::from_millis(1)));
    let mut names = BTreeSet::new();
    for n in 0..5 {
        let db = Db::new(Arc::new(store.clone()));
        let audit = Audit::open(db, clock.clone(), &Sensitive::new(KEY), AuditSettings::default()).unwrap();
        audit.commit(&root(), record("a:b"), put(format!("{n}"))).await.unwrap();
        audit.access(&root(), record("c:d")).await.unwrap();
        clock.advance(std::time::Duration::from_secs(10));
        assert!(verified(&audit).await.ok);
        names.extend(chains(&store).await.into_keys());
    }
    assert_eq!(names.len(), 1, "a lone writer keeps to one chain");
    assert_eq!(chains(&store).await.into_values().next().unwrap().len(), 10);
}

#[tokio::test]
async fn processes_share_even_a_single_chain() {
    let store = MemoryStore::new();
    let one = AuditSettings { max_chains: 1, ..AuditSettings::default() };
    let (a, b) = (open(&store, one.clone()), open(&store, one));
    for n in 0..20 {
        let audit = if n % 2 == 0 { &a } else { &b };
        audit.commit(&root(), record("a:b"), put(format!("{n}"))).await.unwrap();
    }
    let verification = verified(&a).await;
    assert_eq!((verification.ok, verification.chains, verification.records), (true, 1, 20));
}

#[tokio::test]
async fn chains_link_to_each_other() {
    let store = MemoryStore::new();
    let audits: Vec<Audit> = (0..4).map(|_| open(&store, AuditSettings::default())).collect();
    for (n, audit) in audits.iter().enumerate() {
        audit.commit(&root(), record("a:b"), put(format!("{n}"))).await.unwrap();
    }
    let links: Vec<usize> = {
        let mut firsts: Vec<Record> =
            chains(&store).await.into_values().filter_map(|records| records.into_iter().next()).collect();
        firsts.sort_by(|a, b| a.id.cmp(&b.id));
        firsts.iter().map(|record| record.links.len()).collect()
    };
    assert_eq!(links.iter().sum::<usize>(), 6, "each new chain knows of all before it: {links:?}");
}

#[tokio::test]
async fn a_writer_that_is_cancelled_leaves_no_gap() {
    let store = MemoryStore::new();
    let audit = open(&store, AuditSettings::default());
    for n in 0..200 {
        let ctx = root();
        let write = audit.commit(&ctx, record("a:b"), put(format!("{n}")));
        tokio::pin!(write);
        // Polls a few times only, so that it is dropped wherever it happens to be.
        for _ in 0..n % 5 {
            if futures_util::poll!(&mut write).is_ready() {
                break;
            }
        }
    }
    audit.commit(&root(), record("a:b"), put("last")).await.unwrap();
    assert!(verified(&audit).await.ok);
}

#[tokio::test]
async fn while_sealed_nothing_is_done_unrecorded() {
    let store = MemoryStore::new();
    let db = Db::new(Arc::new(store.clone()));
    let audit = Audit::open_sealed(db, Arc::new(SystemClock), AuditSettings::default());
    let sealed = |error: crate::Error| error.kind() == ErrorKind::Sealed;
    assert!(audit.commit(&root(), record("a:b"), put("k")).await.is_err_and(sealed));
    assert!(audit.access(&root(), record("a:b")).await.is_err_and(sealed));
    assert_eq!(store.revision().await.unwrap(), 0);
    audit.unseal(&Sensitive::new(KEY)).unwrap();
    audit.access(&root(), record("a:b")).await.unwrap();
    audit.seal_up();
    assert!(audit.access(&root(), record("a:b")).await.is_err_and(sealed));
}
