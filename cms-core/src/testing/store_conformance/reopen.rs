// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What must still be there when a durable store is opened again.

use super::watch::next;
use super::{Factory, Verdict, absent, commit, equal, put, read, refused};
use crate::store::{Range, StoreErrorKind, Transaction};

pub(super) async fn everything_is_still_there(factory: Factory) -> Verdict {
    let store = factory().await?;
    let names: Vec<String> = (0..200).map(|number| format!("k{number:03}")).collect();
    for name in &names {
        put(&*store, name, name).await?;
    }
    commit(&*store, Transaction::new().delete("k007")).await?;
    let before = store.range(Range::prefix("")).await?;
    drop(store);
    let store = factory().await?;
    equal("the entries", store.range(Range::prefix("")).await?, before)?;
    absent(&*store, "k007").await?;
    equal("the next revision", put(&*store, "k007", "again").await?, 202)?;
    store.check().await?;
    Ok(())
}

pub(super) async fn a_watch_goes_on_where_it_was(factory: Factory) -> Verdict {
    let store = factory().await?;
    for number in 0..10 {
        put(&*store, "a", &number.to_string()).await?;
    }
    drop(store);
    let store = factory().await?;
    put(&*store, "a", "more").await?;
    let mut watch = store.watch("", 4).await?;
    for revision in 5..=11 {
        equal("the revision", next(&mut watch).await?.revision, revision)?;
    }
    Ok(())
}

pub(super) async fn compaction_is_remembered(factory: Factory) -> Verdict {
    let store = factory().await?;
    for number in 0..10 {
        put(&*store, "a", &number.to_string()).await?;
    }
    commit(&*store, Transaction::new().delete("a")).await?;
    store.compact(11).await?;
    drop(store);
    let store = factory().await?;
    refused("before the mark", store.watch("", 10).await.map(|_| ()), StoreErrorKind::Compacted)?;
    equal("the present revision", store.revision().await?, 11)?;
    put(&*store, "b", "v").await?;
    equal("the value", &read(&*store, "b").await?.value[..], b"v")?;
    let mut watch = store.watch("", 11).await?;
    equal("the next change", next(&mut watch).await?.revision, 12)
}
