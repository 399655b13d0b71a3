// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Seals a project's secrets anew with its current data key, after a rotation.

use super::record::{HEAD_VERSION, HEADS, VALUES, split_value_key};
use super::{Secrets, write::pause};
use crate::audit::NewRecord;
use crate::auth::{Action, Authorized, Target};
use crate::context::RequestContext;
use crate::crypto::Barrier;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Condition, Entry, Scope, Transaction};

/// How many entries are sealed anew in one commit.
const BATCH: usize = 32;
const ATTEMPTS: u32 = 16;

impl Secrets {
    /// Seals everything anew that an older version of the project's data key has sealed. Nothing
    /// else changes; readers and writers go on meanwhile. Answers how many values were sealed anew;
    /// calls `progress` with that number as it grows.
    ///
    /// # Errors
    /// `Sealed`, or `Conflict` if others keep changing the same secrets.
    pub async fn reseal(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64> {
        let proof = self.kit.authorize(ctx, Action::SystemWrite, Target::new(project, "secret")).await?;
        let current = self.kit.barrier.current_key_version(project).await?;
        let mut done = 0;
        for prefix in [HEADS, VALUES] {
            let mut after: Option<String> = None;
            loop {
                let page = self.kit.scope(&proof).list(prefix, after.as_deref(), BATCH, false).await?;
                done += self.reseal_batch(ctx, &proof, page.entries.clone(), current).await?;
                progress(done);
                let scope = self.kit.scope(&proof);
                after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
                if !page.more {
                    break;
                }
            }
        }
        Ok(done)
    }

    async fn reseal_batch(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        mut entries: Vec<Entry>,
        current: u32,
    ) -> Result<u64> {
        let scope = self.kit.scope(proof);
        for attempt in 0..ATTEMPTS {
            let (change, count) = self.resealed(&scope, &entries, current).await?;
            if count == 0 {
                return Ok(0);
            }
            let record = NewRecord::of(proof).reason(Some(format!("sealed {count} entries anew")));
            if self.commit(ctx, &scope, record, change).await? {
                return Ok(count);
            }
            pause(attempt).await;
            entries = read_again(&scope, &entries).await?;
        }
        Err(Error::conflict("too_many_writers", "others keep changing these secrets; try again"))
    }

    async fn resealed(&self, scope: &Scope, entries: &[Entry], current: u32) -> Result<(Transaction, u64)> {
        let barrier = &self.kit.barrier;
        let (mut change, mut count) = (Transaction::new(), 0);
        for entry in entries {
            if Barrier::key_version(&entry.value)? >= current {
                continue;
            }
            let version =
                split_value_key(scope.relative(&entry.key)).map_or(HEAD_VERSION, |(_, version)| version);
            let opened = barrier.open(scope.project(), &entry.key, version, &entry.value).await?;
            let sealed = barrier.seal(scope.project(), &entry.key, version, opened.expose()).await?;
            let unchanged = Condition::as_read(&entry.key, Some(entry));
            change = change.when(unchanged).put(entry.key.clone(), sealed);
            count += 1;
        }
        Ok((change, count))
    }
}

async fn read_again(scope: &Scope, entries: &[Entry]) -> Result<Vec<Entry>> {
    let mut again = Vec::with_capacity(entries.len());
    for entry in entries {
        again.extend(scope.fresh(scope.relative(&entry.key)).await?);
    }
    Ok(again)
}
