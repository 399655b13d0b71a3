// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compare, then change: what concurrent callers rely on.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::{Factory, Failure, Verdict, absent, commit, ensure, equal, put, read};
use crate::store::{Condition, Outcome, Store, Transaction};

pub(super) async fn each_condition_is_judged(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "1").await?;
    put(&*store, "a", "2").await?;
    let holds =
        [Condition::Absent("b".into()), Condition::Present("a".into()), Condition::Unchanged("a".into(), 2)];
    let fails = [
        Condition::Absent("a".into()),
        Condition::Present("b".into()),
        Condition::Unchanged("a".into(), 1),
        Condition::Unchanged("b".into(), 0),
    ];
    for condition in holds {
        let outcome = store.transact(Transaction::new().when(condition.clone())).await?;
        ensure(matches!(outcome, Outcome::Committed { .. }), || {
            format!("{condition:?} should hold: {outcome:?}")
        })?;
    }
    for condition in fails {
        let outcome = store.transact(Transaction::new().when(condition.clone())).await?;
        ensure(outcome == Outcome::Conflict { failed: vec![0] }, || {
            format!("{condition:?} should fail: {outcome:?}")
        })?;
    }
    Ok(())
}

pub(super) async fn a_conflict_names_what_failed_and_changes_nothing(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "1").await?;
    let transaction = Transaction::new()
        .when(Condition::Absent("a".into()))
        .when(Condition::Present("a".into()))
        .when(Condition::Unchanged("a".into(), 7))
        .put("b", "1")
        .delete("a");
    equal("the outcome", store.transact(transaction).await?, Outcome::Conflict { failed: vec![0, 2] })?;
    absent(&*store, "b").await?;
    equal("the revision", (read(&*store, "a").await?.modified, store.revision().await?), (1, 1))
}

pub(super) async fn a_transaction_may_only_ask(factory: Factory) -> Verdict {
    let store = factory().await?;
    put(&*store, "a", "1").await?;
    let revision = commit(&*store, Transaction::new().when(Condition::Present("a".into()))).await?;
    equal("the revision", (revision, store.revision().await?), (1, 1))
}

pub(super) async fn racing_increments_lose_none(factory: Factory) -> Verdict {
    let store = factory().await?;
    let stores = vec![store.clone(); 8];
    increments(stores, 25).await
}

/// Counts one key up from several tasks at once, each through a store of its own.
pub(super) async fn increments(stores: Vec<Arc<dyn Store>>, each: usize) -> Verdict {
    let expected = stores.len() * each;
    let first = stores.first().cloned();
    let tasks = stores.into_iter().map(|store| async move {
        for _ in 0..each {
            increment(&*store).await?;
        }
        Ok::<_, Failure>(())
    });
    try_join_all(tasks).await?;
    let Some(store) = first else { return Ok(()) };
    let entry = read(&*store, "count").await?;
    equal("the count", String::from_utf8_lossy(&entry.value).into_owned(), expected.to_string())?;
    equal("the version", entry.version, expected as u64)
}

async fn increment(store: &dyn Store) -> Verdict {
    loop {
        let old = store.get("count").await?;
        let count: u64 = match &old {
            Some(entry) => String::from_utf8_lossy(&entry.value).parse().unwrap_or(0),
            None => 0,
        };
        let condition = Condition::as_read("count", old.as_ref());
        let change = Transaction::new().when(condition).put("count", (count + 1).to_string());
        if let Outcome::Committed { .. } = store.transact(change).await? {
            return Ok(());
        }
    }
}
