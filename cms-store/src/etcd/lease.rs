// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Leases. etcd counts in whole seconds, and by its election time-out may give a few more than were asked for.

use std::time::Duration;

use cms_core::store::{LeaseId, StoreErrorKind, StoreResult};

use super::calls::{Grant, Keep, Revoke};
use super::client::{Again, Client};
use super::error::fail;

pub(super) async fn grant(client: &Client, ttl: Duration) -> StoreResult<LeaseId> {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let ttl = i64::try_from(seconds.max(1)).unwrap_or(i64::MAX);
    // One that was granted twice ends by itself.
    let answer = client.call(Grant(ttl), Again::Safe).await?;
    Ok(LeaseId(u64::try_from(answer.id).unwrap_or(0)))
}

pub(super) async fn keep(client: &Client, lease: LeaseId) -> StoreResult<()> {
    let answer = client.call(Keep(id(lease)), Again::Safe).await?;
    if answer.0 { Ok(()) } else { Err(fail(StoreErrorKind::Unsupported, "the lease has ended")) }
}

pub(super) async fn revoke(client: &Client, lease: LeaseId) -> StoreResult<()> {
    let answered = client.try_call(Revoke(id(lease)), Again::Safe).await;
    answered.map(|_| ())
}

fn id(LeaseId(id): LeaseId) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
