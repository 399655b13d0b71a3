// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two openings of one store, as two processes would have them.

use std::time::{Duration, Instant};

use futures_util::future::{try_join, try_join_all};

use super::conditions::increments;
use super::leases::{gone, leased};
use super::watch::next;
use super::{Factory, Failure, Verdict, commit, ensure, equal, put, read};

pub(super) async fn commits_of_the_other_are_seen(factory: Factory) -> Verdict {
    let (one, other) = (factory().await?, factory().await?);
    for number in 1..=20 {
        let value = number.to_string();
        let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        equal("the revision", put(&**writer, "a", &value).await?, number)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let entry = read(&**reader, "a").await?;
        equal("the value", (&entry.value[..], entry.modified), (value.as_bytes(), number))?;
    }
    Ok(())
}

pub(super) async fn a_watch_sees_the_other_within_50_ms(factory: Factory) -> Verdict {
    let (one, other) = (factory().await?, factory().await?);
    let mut watch = one.watch("", 0).await?;
    let mut waits = Vec::new();
    for number in 1..=20 {
        let writer = if number % 3 == 0 { &one } else { &other };
        put(&**writer, "a", "v").await?;
        let begun = Instant::now();
        equal("the revision", next(&mut watch).await?.revision, number)?;
        waits.push(begun.elapsed());
    }
    waits.sort_unstable();
    // The median: a machine under load may hold up single ones.
    let median = waits.get(10).copied().unwrap_or_default();
    ensure(median <= Duration::from_millis(50), || format!("half of the changes took longer than {median:?}"))
}

pub(super) async fn watches_miss_nothing_of_two_writers(factory: Factory) -> Verdict {
    let (one, other) = (factory().await?, factory().await?);
    let writers = [&one, &other, &one, &other].into_iter().enumerate().map(|(writer, store)| async move {
        for number in 0..50 {
            put(&**store, &format!("w{writer}"), &number.to_string()).await?;
        }
        Ok::<_, Failure>(())
    });
    let watches = [&one, &other].into_iter().map(|store| async move {
        let mut watch = store.watch("", 0).await?;
        for revision in 1..=200 {
            equal("the revision", next(&mut watch).await?.revision, revision)?;
        }
        Ok::<_, Failure>(())
    });
    try_join(try_join_all(writers), try_join_all(watches)).await.map(|_| ())
}

pub(super) async fn racing_increments_lose_none(factory: Factory) -> Verdict {
    let (one, other) = (factory().await?, factory().await?);
    increments(vec![one.clone(), other.clone(), one, other], 20).await
}

pub(super) async fn the_other_ends_a_lease(factory: Factory) -> Verdict {
    let (one, other) = (factory().await?, factory().await?);
    let lease = one.grant_lease(Duration::from_secs(1)).await?;
    commit(&*one, leased("a", lease)).await?;
    read(&*other, "a").await?;
    // The owner goes without a word.
    drop(one);
    gone(&*other, "a", Duration::from_secs(5)).await
}
