// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All or nothing, at one revision.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};

use super::{Factory, Failure, Verdict, commit, ensure, equal, put, read, refused};
use crate::store::{Durability, Range, StoreErrorKind, Transaction};

pub(super) async fn all_operations_share_one_revision(factory: Factory) -> Verdict {
    let store = factory().await?;
    commit(&*store, Transaction::new().put("x/1", "").put("x/2", "").put("y", "")).await?;
    let change = Transaction::new().put("a", "1").put("y", "2").delete_prefix("x/").put("b", "3");
    equal("the revision", commit(&*store, change).await?, 2)?;
    let page = store.range(Range::prefix("")).await?;
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.key.as_str(), entry.modified)).collect();
    equal("the keys", found, vec![("a", 2), ("b", 2), ("y", 2)])
}

pub(super) async fn touching_a_key_twice_is_refused(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a/b", "1").await?;
    let twice = [
        Transaction::new().put("a/b", "2").put("a/b", "3"),
        Transaction::new().put("a/b", "2").delete("a/b"),
        Transaction::new().delete("a/b").delete("a/b"),
        Transaction::new().delete_prefix("a/").put("a/c", "2"),
        Transaction::new().delete("a/b").delete_prefix("a/"),
        Transaction::new().delete_prefix("a/").delete_prefix("a/b"),
    ];
    for transaction in twice {
        let what = format!("{:?}", transaction.operations);
        refused(&what, store.transact(transaction).await, StoreErrorKind::Unsupported)?;
    }
    equal("the revision", (read(&*store, "a/b").await?.modified, store.revision().await?), (1, 1))
}

pub(super) async fn a_reader_never_sees_half_of_one(factory: Factory) -> Verdict {
    let store = factory().await?;
    let write = async {
        for number in 0..60 {
            let value = number.to_string();
            commit(&*store, Transaction::new().put("a", value.clone()).put("z", value)).await?;
        }
        Ok::<_, Failure>(())
    };
    let read = async {
        loop {
            let page = store.range(Range::prefix("")).await?;
            if let [a, z] = page.entries.as_slice() {
                equal("both halves", &a.value, &z.value)?;
                equal("the revision", (a.modified, z.modified), (page.revision, page.revision))?;
                if a.value == "59" {
                    return Ok::<_, Failure>(());
                }
            }
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::try_join(write, read).await.map(|_| ())
}

pub(super) async fn racing_ones_get_revisions_without_gap(factory: Factory) -> Verdict {
    let store = factory().await?;
    let racing = (0..120).map(|number| {
        let store = &store;
        async move {
            let mut change = Transaction::new().put(format!("k{number}"), "v");
            if number % 3 == 0 {
                change.durability = Durability::Process;
            }
            let revision = commit(&**store, change).await?;
            let entry = read(&**store, &format!("k{number}")).await?;
            equal("modified", entry.modified, revision)?;
            Ok::<_, Failure>(revision)
        }
    });
    let mut revisions = try_join_all(racing).await?;
    revisions.sort_unstable();
    equal("the revisions", revisions, (1..=120).collect())
}

pub(super) async fn a_dropped_call_leaves_all_or_nothing(factory: Factory) -> Verdict {
    let store = factory().await?;
    for number in 0..40_u32 {
        let change = Transaction::new().put(format!("a{number}"), "v").put(format!("z{number}"), "v");
        let call = store.transact(change);
        if number % 2 == 0 {
            // Polled once, then dropped.
            drop(call.now_or_never());
        } else {
            drop(tokio::time::timeout(Duration::from_micros(u64::from(number) * 20), call).await);
        }
    }
    put(&*store, "end", "").await?;
    let halves = join_all((0..40).map(|number| {
        let store = &store;
        async move {
            let a = store.get(&format!("a{number}")).await?;
            let z = store.get(&format!("z{number}")).await?;
            equal("both halves", a.is_some(), z.is_some())
        }
    }));
    halves.await.into_iter().collect()
}

pub(super) async fn a_check_finds_nothing(factory: Factory) -> Verdict {
    let store = factory().await?;
    for number in 0..50 {
        put(&*store, &format!("k{}", number % 7), &number.to_string()).await?;
        commit(&*store, Transaction::new().delete(format!("k{}", number % 5))).await?;
    }
    store.check().await?;
    store.compact(30).await?;
    for number in 0..50 {
        put(&*store, &format!("k{}", number % 9), &number.to_string()).await?;
    }
    store.check().await?;
    let revision = store.revision().await?;
    store.compact(revision).await?;
    store.check().await?;
    ensure(revision > 100, || format!("the revision is {revision}"))
}
