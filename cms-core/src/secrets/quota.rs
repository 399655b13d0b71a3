// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many secrets a project has, counted so that creating many at once does not make them wait for
//! each other: the count is spread over several keys, of which each creation raises one at random.
//!
//! Near the limit every creation adds all of them up. Creations that run at the same moment do not
//! see each other there, so a project can pass its limit by as many as run at once, and no more.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::limits::{MAX_SECRETS, too_many_secrets};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Condition, Entry, Scope, Transaction};

/// Where the counts lie.
pub(super) const COUNTS: &str = "quota/secret/";
/// Over how many keys a count is spread.
const SHARDS: u8 = 64;
/// From which count on every creation adds up.
const NEAR: u64 = MAX_SECRETS / 10 * 9;
/// How long a sum that is not near the limit is trusted.
const TRUSTED_MILLIS: i64 = 1_000;
/// How many projects' sums are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What is known of the counts.
#[derive(Debug, Default)]
pub(super) struct Quota {
    sums: Mutex<HashMap<ProjectId, (Timestamp, u64)>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CountRecord {
    v: u32,
    count: u64,
}

impl Quota {
    /// The part of a creating transaction that counts the new secret.
    pub(super) async fn admit(&self, scope: &Scope, now: Timestamp) -> Result<Transaction> {
        if self.sum(scope, now).await? >= MAX_SECRETS {
            return Err(too_many_secrets());
        }
        let relative = format!("{COUNTS}{:02}", shard()?);
        let entry = scope.fresh(&relative).await?;
        let count = entry.as_ref().map_or(Ok(0), count_of)? + 1;
        let value = serde_json::to_vec(&CountRecord { v: 1, count }).map_err(Error::internal)?;
        let key = scope.key(&relative);
        Ok(Transaction::new().when(Condition::as_read(&key, entry.as_ref())).put(key, value))
    }

    async fn sum(&self, scope: &Scope, now: Timestamp) -> Result<u64> {
        let known = self.sums.lock().get(scope.project()).copied();
        if let Some((at, sum)) = known
            && sum < NEAR
            && (0..TRUSTED_MILLIS).contains(&(now.as_millis() - at.as_millis()))
        {
            return Ok(sum);
        }
        let sum = count(scope).await?;
        let mut sums = self.sums.lock();
        if sums.len() >= MAX_REMEMBERED {
            sums.clear();
        }
        sums.insert(scope.project().clone(), (now, sum));
        Ok(sum)
    }
}

/// Adds up the counts of a project.
pub(super) async fn count(scope: &Scope) -> Result<u64> {
    let page = scope.list(COUNTS, None, usize::from(SHARDS), false).await?;
    page.entries.iter().map(count_of).sum()
}

fn count_of(entry: &Entry) -> Result<u64> {
    let record: CountRecord = serde_json::from_slice(&entry.value)
        .map_err(|error| Error::internal(format!("the count at `{}` is damaged: {error}", entry.key)))?;
    Ok(record.count)
}

fn shard() -> Result<u8> {
    let mut byte = [0_u8; 1];
    aws_lc_rs::rand::fill(&mut byte).map_err(Error::internal)?;
    Ok(u8::from_ne_bytes(byte) % SHARDS)
}
