// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following changes: each once, whole, in order.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{try_join, try_join_all};

use super::{Factory, Failure, Verdict, commit, ensure, equal, put, read, refused, within};
use crate::store::{Batch, Revision, StoreErrorKind, Transaction, WatchStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// The next batch, which must come.
pub(super) async fn next(watch: &mut WatchStream) -> Result<Batch, Failure> {
    match within("a change", PATIENCE, watch.next()).await? {
        Some(batch) => Ok(batch?),
        None => Err(Failure("the watch ended".into())),
    }
}

async fn quiet(watch: &mut WatchStream) -> Verdict {
    match tokio::time::timeout(Duration::from_millis(60), watch.next()).await {
        Err(_) => Ok(()),
        Ok(batch) => Err(Failure(format!("nothing was changed, but the watch says {batch:?}"))),
    }
}

fn summary(batch: &Batch) -> (Revision, Vec<(&str, bool)>) {
    (batch.revision, batch.events.iter().map(|event| (event.key.as_str(), event.entry.is_some())).collect())
}

pub(super) async fn everything_comes_in_order(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "1").await?;
    let mut watch = store.watch("", 0).await?;
    put(&*store, "b", "2").await?;
    commit(&*store, Transaction::new().delete("a")).await?;
    let first = next(&mut watch).await?;
    equal("the first", summary(&first), (1, vec![("a", true)]))?;
    let second = next(&mut watch).await?;
    equal(
        "the second",
        second.events.first().and_then(|e| e.entry.clone()),
        Some(read(&*store, "b").await?),
    )?;
    equal("the third", summary(&next(&mut watch).await?), (3, vec![("a", false)]))?;
    quiet(&mut watch).await
}

pub(super) async fn only_the_prefix_is_watched(factory: Factory) -> Verdict {
    let store = factory().await?;
    let mut watch = store.watch("p/", 0).await?;
    commit(&*store, Transaction::new().put("p", "").put("p/a", "").put("p0", "")).await?;
    put(&*store, "q", "").await?;
    put(&*store, "p/b", "").await?;
    equal("the first", summary(&next(&mut watch).await?), (1, vec![("p/a", true)]))?;
    equal("the second", summary(&next(&mut watch).await?), (3, vec![("p/b", true)]))?;
    commit(&*store, Transaction::new().delete("p")).await?;
    quiet(&mut watch).await
}

pub(super) async fn it_resumes_without_gap_or_duplicate(factory: Factory) -> Verdict {
    let store = factory().await?;
    for number in 1..=30_u64 {
        put(&*store, "a", &number.to_string()).await?;
    }
    for after in [0, 1, 15, 29, 30] {
        let mut watch = store.watch("", after).await?;
        for revision in after + 1..=30 {
            equal("the revision", next(&mut watch).await?.revision, revision)?;
        }
        quiet(&mut watch).await?;
    }
    Ok(())
}

pub(super) async fn an_erased_value_is_not_delivered_again(factory: Factory) -> Verdict {
    let store = factory().await?;
    for value in ["one", "two"] {
        commit(&*store, Transaction::new().put("s/a", value).put("s/b", value).put("t", value)).await?;
    }
    let change = Transaction::new().delete("s/a").put("t", "three").erasing("s/").erasing("t");
    commit(&*store, change).await?;
    put(&*store, "s/a", "again").await?;
    let mut watch = if store.capabilities().keyed_history {
        let mut watch = store.watch("", 0).await?;
        for revision in 1..=2 {
            let batch = next(&mut watch).await?;
            let expected = (revision, vec![("s/a", false), ("s/b", true), ("t", false)]);
            equal("a revision before", summary(&batch), expected)?;
        }
        equal("the erasure", summary(&next(&mut watch).await?), (3, vec![("s/a", false), ("t", true)]))?;
        watch
    } else {
        for revision in 0..=2 {
            refused("before", store.watch("", revision).await.map(|_| ()), StoreErrorKind::Compacted)?;
        }
        store.watch("", 3).await?
    };
    equal("what follows", summary(&next(&mut watch).await?), (4, vec![("s/a", true)]))?;
    quiet(&mut watch).await?;
    equal("the value", read(&*store, "t").await?.value.as_ref(), b"three")?;
    Ok(store.check().await?)
}

pub(super) async fn a_batch_is_whole_and_in_key_order(factory: Factory) -> Verdict {
    let store = factory().await?;
    let mut watch = store.watch("", 0).await?;
    commit(&*store, Transaction::new().put("c", "").put("x/2", "").put("x/1", "").put("a", "")).await?;
    commit(&*store, Transaction::new().put("z", "").delete_prefix("x/").delete("a").put("b", "")).await?;
    let first = next(&mut watch).await?;
    equal("the first", summary(&first).1, vec![("a", true), ("c", true), ("x/1", true), ("x/2", true)])?;
    let second = next(&mut watch).await?;
    let expected = vec![("a", false), ("b", true), ("x/1", false), ("x/2", false), ("z", true)];
    equal("the second", summary(&second).1, expected)
}

pub(super) async fn a_forgotten_revision_is_an_error(factory: Factory) -> Verdict {
    let store = factory().await?;
    for _ in 0..10 {
        put(&*store, "a", "v").await?;
    }
    store.compact(5).await?;
    refused("before the mark", store.watch("", 4).await.map(|_| ()), StoreErrorKind::Compacted)?;
    let mut watch = store.watch("", 5).await?;
    equal("at the mark", next(&mut watch).await?.revision, 6)?;
    // The mark never goes back, and nothing is forgotten that has not happened.
    store.compact(2).await?;
    refused("before the mark", store.watch("", 4).await.map(|_| ()), StoreErrorKind::Compacted)?;
    store.compact(1000).await?;
    put(&*store, "a", "v").await?;
    let mut watch = store.watch("", 10).await?;
    equal("after everything", next(&mut watch).await?.revision, 11)
}

pub(super) async fn compaction_keeps_the_present_state(factory: Factory) -> Verdict {
    let store = factory().await?;
    for number in 0..20 {
        put(&*store, "often", &number.to_string()).await?;
    }
    put(&*store, "once", "1").await?;
    put(&*store, "gone", "1").await?;
    commit(&*store, Transaction::new().delete("gone")).await?;
    store.compact(store.revision().await?).await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let often = read(&*store, "often").await?;
    equal("often", (often.created, often.modified, often.version), (1, 20, 20))?;
    equal("once", read(&*store, "once").await?.modified, 21)?;
    equal("the revision", store.revision().await?, 23)?;
    equal("the next revision", put(&*store, "gone", "2").await?, 24)?;
    equal("gone", read(&*store, "gone").await?.created, 24)
}

pub(super) async fn a_revision_of_the_future_is_an_error(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "v").await?;
    refused("the future", store.watch("", 2).await.map(|_| ()), StoreErrorKind::Compacted)
}

pub(super) async fn nothing_is_missed_while_many_write(factory: Factory) -> Verdict {
    let store = factory().await?;
    let writers = try_join_all((0..8).map(|writer| {
        let store = &store;
        async move {
            for number in 0..50 {
                put(&**store, &format!("w{writer}"), &number.to_string()).await?;
            }
            Ok::<_, Failure>(())
        }
    }));
    let watching = async {
        let mut watch = store.watch("", 0).await?;
        for revision in 1..=400 {
            equal("the revision", next(&mut watch).await?.revision, revision)?;
        }
        Ok::<_, Failure>(())
    };
    try_join(writers, watching).await.map(|_| ())
}

pub(super) async fn one_that_lags_catches_up(factory: Factory) -> Verdict {
    let store = factory().await?;
    let mut lagging = store.watch("w", 0).await?;
    let writers = (0..16).map(|writer| {
        let store = &store;
        async move {
            for number in 0..200 {
                put(&**store, &format!("w{writer}"), &number.to_string()).await?;
            }
            Ok::<_, Failure>(())
        }
    });
    try_join_all(writers).await?;
    for revision in 1..=3200 {
        equal("the revision", next(&mut lagging).await?.revision, revision)?;
    }
    quiet(&mut lagging).await
}

pub(super) async fn many_watch_at_once(factory: Factory) -> Verdict {
    let store = factory().await?;
    let mut watches = Vec::new();
    for number in 0..300 {
        watches.push(store.watch(if number % 2 == 0 { "a" } else { "b" }, 0).await?);
    }
    for number in 0..10 {
        commit(&*store, Transaction::new().put("a", number.to_string()).put("b", number.to_string())).await?;
    }
    for mut watch in watches {
        for revision in 1..=10 {
            let batch = next(&mut watch).await?;
            ensure(batch.revision == revision && batch.events.len() == 1, || {
                format!("{batch:?} at {revision}")
            })?;
        }
    }
    Ok(())
}
