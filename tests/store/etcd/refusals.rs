// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What etcd or the store before it refuses, in words; and that others in the cluster are let alone.

use cms_core::store::{Range, StoreErrorKind, Transaction};
use cms_tests::Etcd;
use futures_util::StreamExt;
use libtest_mimic::Failed;

use super::open;
use crate::{ensure, put, wait};

pub fn nobody_there() -> Result<(), Failed> {
    wait(async {
        let Err(error) = cms_store::open("etcd://127.0.0.1:1,127.0.0.1:2/cms").await else {
            return Err("nobody is there".into());
        };
        let text = error.to_string();
        ensure(error.kind() == StoreErrorKind::Unavailable, || format!("{error:?}"))?;
        ensure(["127.0.0.1:1", "127.0.0.1:2", "majority"].iter().all(|part| text.contains(part)), || {
            text.clone()
        })
    })
}

pub fn past_a_limit() -> Result<(), Failed> {
    let etcd = Etcd::single();
    wait(async {
        let store = open(&etcd).await?;
        let many = (0..129).fold(Transaction::new(), |all, number| all.put(format!("k{number}"), ""));
        let large =
            (0..2).fold(Transaction::new(), |all, number| all.put(format!("k{number}"), vec![0; 1 << 20]));
        for (transaction, flag) in [(many, "--max-txn-ops"), (large, "--max-request-bytes")] {
            let Err(error) = store.transact(transaction).await else { return Err("it was taken".into()) };
            ensure(error.kind() == StoreErrorKind::TooLarge && error.to_string().contains(flag), || {
                format!("{error}")
            })?;
        }
        // Nothing of it was done, not even a part.
        ensure(store.revision().await? == 0, || "something was written".to_owned())
    })
}

pub fn other_users() -> Result<(), Failed> {
    let etcd = Etcd::single();
    wait(async {
        let ours = open(&etcd).await?;
        let others = cms_store::open(&etcd.url("test2")).await?;
        let mut watch = ours.watch("", 0).await?;
        put(&*others, "a", "theirs").await?;
        let first = put(&*ours, "a", "ours").await?;
        put(&*others, "b", "theirs").await?;
        let second = put(&*ours, "b", "ours").await?;
        for expected in [first, second] {
            let batch = watch.next().await.ok_or("the watch ended")??;
            ensure(batch.revision == expected && batch.events.len() == 1, || {
                format!("{batch:?}, {expected}")
            })?;
        }
        let all = ours.range(Range::prefix("")).await?;
        ensure(all.entries.len() == 2, || format!("{all:?}"))?;
        let mut gone = Transaction::new();
        for entry in &all.entries {
            gone = gone.delete(entry.key.clone());
        }
        ours.transact(gone).await?;
        let kept = others.range(Range::prefix("")).await?;
        ensure(
            kept.entries.iter().all(|entry| &entry.value[..] == b"theirs") && kept.entries.len() == 2,
            || format!("{kept:?}"),
        )
    })
}
