// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys that go when their lease ends.

use std::time::Duration;

use super::watch::next;
use super::{Factory, Failure, Verdict, absent, commit, equal, put, read, refused, within};
use crate::store::{LeaseId, Operation, Revision, Store, StoreErrorKind, Transaction};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn leased(key: &str, lease: LeaseId) -> Transaction {
    let mut change = Transaction::new();
    change.operations.push(Operation::Put { key: key.to_owned(), value: "v".into(), lease: Some(lease) });
    change
}

async fn hold(store: &dyn Store, key: &str, lease: LeaseId) -> Result<Revision, Failure> {
    commit(store, leased(key, lease)).await
}

/// Waits until the key is gone.
pub(super) async fn gone(store: &dyn Store, key: &str, limit: Duration) -> Verdict {
    let wait = async {
        while store.get(key).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Failure>(())
    };
    within(&format!("the end of `{key}`"), limit, wait).await?
}

pub(super) async fn keys_go_when_a_lease_ends(factory: Factory) -> Verdict {
    let store = factory().await?;
    let lease = store.grant_lease(SECOND).await?;
    hold(&*store, "a", lease).await?;
    hold(&*store, "b", lease).await?;
    put(&*store, "c", "v").await?;
    let mut watch = store.watch("", 3).await?;
    tokio::time::sleep(SECOND / 2).await;
    read(&*store, "a").await?;
    gone(&*store, "a", SECOND * 4).await?;
    absent(&*store, "b").await?;
    read(&*store, "c").await?;
    let batch = next(&mut watch).await?;
    let keys: Vec<_> = batch.events.iter().map(|event| (event.key.as_str(), event.entry.is_some())).collect();
    equal("the change", (batch.revision, keys), (4, vec![("a", false), ("b", false)]))
}

pub(super) async fn a_kept_lease_goes_on(factory: Factory) -> Verdict {
    let store = factory().await?;
    let lease = store.grant_lease(SECOND).await?;
    hold(&*store, "a", lease).await?;
    for _ in 0..6 {
        tokio::time::sleep(SECOND * 2 / 5).await;
        store.keep_lease(lease).await?;
        read(&*store, "a").await?;
    }
    gone(&*store, "a", SECOND * 4).await
}

pub(super) async fn a_revoked_lease_takes_its_keys(factory: Factory) -> Verdict {
    let store = factory().await?;
    let (first, second) = (store.grant_lease(SECOND * 60).await?, store.grant_lease(SECOND * 60).await?);
    hold(&*store, "a", first).await?;
    hold(&*store, "b", second).await?;
    store.revoke_lease(first).await?;
    absent(&*store, "a").await?;
    read(&*store, "b").await?;
    refused("the second end", store.revoke_lease(first).await, StoreErrorKind::Unsupported)
}

pub(super) async fn a_rewritten_key_is_free(factory: Factory) -> Verdict {
    let store = factory().await?;
    let lease = store.grant_lease(SECOND * 60).await?;
    let other = store.grant_lease(SECOND * 60).await?;
    for key in ["a", "b", "c"] {
        hold(&*store, key, lease).await?;
    }
    put(&*store, "a", "free").await?;
    hold(&*store, "b", other).await?;
    store.revoke_lease(lease).await?;
    equal("the version of `a`", read(&*store, "a").await?.version, 2)?;
    read(&*store, "b").await?;
    absent(&*store, "c").await
}

pub(super) async fn an_ended_lease_is_refused(factory: Factory) -> Verdict {
    let store = factory().await?;
    let lease = store.grant_lease(SECOND * 60).await?;
    store.revoke_lease(lease).await?;
    for lease in [lease, LeaseId(1_000_000_007)] {
        refused(
            "a key",
            store.transact(leased("a", lease).put("b", "1")).await,
            StoreErrorKind::Unsupported,
        )?;
        refused("keeping", store.keep_lease(lease).await, StoreErrorKind::Unsupported)?;
    }
    absent(&*store, "b").await
}
