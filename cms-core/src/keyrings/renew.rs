// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What follows on a new data key: everything that older ones sealed is sealed anew, a batch at a
//! time; then the older ones are dropped, and the history that they could open is forgotten.
//!
//! A mark in the store says that this is under way for a project. It goes last, so that whoever finds
//! it after a crash does what is left. Readers and writers go on meanwhile.

use std::collections::BTreeMap;

use super::{ATTEMPTS, Keyrings, contended, pause, record};
use crate::api::keyrings::{KeyGeneration, ProjectKeyState};
use crate::auth::Authorized;
use crate::context::RequestContext;
use crate::crypto::{Barrier, FIRST_ANSWERS, Place, places};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::secrets::material;
use crate::store::{Condition, Entry, Outcome, Range, Transaction};

/// How many values are sealed anew in one commit.
const BATCH: usize = 32;
/// How many entries are read at a time to count them.
const PAGE: usize = 500;
/// Where the marks lie.
const MARKS: &str = "sys/rotating/";

/// How far the sealing anew of a project is.
pub(super) struct Renewed {
    pub(super) values: u64,
    pub(super) retired: bool,
}

/// The part of a rotation that notes that there is work left.
pub(super) fn mark(project: &ProjectId) -> Transaction {
    Transaction::new().put(format!("{MARKS}{project}"), "1")
}

impl Keyrings {
    /// Does everything that follows on a rotation, from wherever it was left.
    pub(super) async fn renew(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        project: &ProjectId,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Renewed> {
        let oldest = self.newest_version(project).await?;
        let mut values = 0;
        for place in self.places(project).await? {
            let mut range = Range::prefix(&place.prefix).limit(BATCH);
            loop {
                let page = self.kit.db.range(range.clone()).await?;
                let last = page.entries.last().map(|entry| entry.key.clone());
                values += self.renew_batch(ctx, proof, project, &place, page.entries, oldest).await?;
                progress(values);
                match last {
                    Some(last) if page.more => range = range.after(&last),
                    _ => break,
                }
            }
        }
        // Whatever lies outside of the store; the old keys stay if it cannot be reached.
        let scope = self.kit.db.internal(project);
        values += material::renew(&self.kit, ctx, record(proof, ""), &scope, oldest).await?;
        let retired = self.retire_data_keys(ctx, proof, project, oldest).await?;
        if retired {
            self.forget_history().await?;
            self.unmark(project).await?;
        }
        Ok(Renewed { values, retired })
    }

    /// The projects whose rotation is not finished, as far as the marks tell.
    pub(super) async fn unfinished(&self) -> Result<Vec<ProjectId>> {
        let page = self.kit.db.range(Range::prefix(MARKS)).await?;
        page.entries.iter().map(|entry| ProjectId::parse(entry.key.trim_start_matches(MARKS))).collect()
    }

    pub(super) async fn unmark(&self, project: &ProjectId) -> Result<()> {
        self.kit.db.commit(Transaction::new().delete(format!("{MARKS}{project}"))).await?;
        Ok(())
    }

    /// Forgets old values: they are in the history still, as older keys sealed them.
    pub(super) async fn forget_history(&self) -> Result<()> {
        let store = self.kit.db.store();
        Ok(store.compact(store.revision().await?).await?)
    }

    /// How many values each version of a project's data key has sealed.
    pub(crate) async fn generations(&self, project: &ProjectId) -> Result<ProjectKeyState> {
        let held = self.kit.barrier.project_key_versions(project).await?;
        let mut found: BTreeMap<u32, u64> = held.iter().map(|version| (*version, 0)).collect();
        for place in self.places(project).await? {
            let mut range = Range::prefix(&place.prefix).limit(PAGE);
            loop {
                let page = self.kit.db.range(range.clone()).await?;
                for entry in &page.entries {
                    *found.entry(Barrier::key_version(&entry.value)?).or_default() += 1;
                }
                match page.entries.last() {
                    Some(last) if page.more => range = range.after(&last.key),
                    _ => break,
                }
            }
        }
        material::count(&self.kit, &self.kit.db.internal(project), &mut found).await?;
        let generations = found.into_iter().map(|(version, values)| KeyGeneration {
            version,
            values,
            held: held.contains(&version),
        });
        Ok(ProjectKeyState {
            project: project.to_string(),
            version: held.last().copied().unwrap_or_default(),
            generations: generations.collect(),
        })
    }

    async fn places(&self, project: &ProjectId) -> Result<Vec<Place>> {
        let all = match project.is_platform() {
            true => self.kit.barrier.keyring_projects().await?,
            false => Vec::new(),
        };
        Ok(places(project, &all))
    }

    async fn newest_version(&self, project: &ProjectId) -> Result<u32> {
        let versions = self.kit.barrier.project_key_versions(project).await?;
        versions.last().copied().ok_or_else(|| Error::internal("a keyring is empty"))
    }

    async fn renew_batch(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        project: &ProjectId,
        place: &Place,
        mut entries: Vec<Entry>,
        oldest: u32,
    ) -> Result<u64> {
        for attempt in 0..ATTEMPTS {
            let (change, count) = self.renewed(project, place, &entries, oldest).await?;
            if count == 0 {
                return Ok(0);
            }
            if self.commit(ctx, record(proof, format!("sealed {count} values anew")), change).await? {
                return Ok(count);
            }
            pause(attempt).await;
            entries = self.read_again(&entries).await?;
        }
        Err(contended())
    }

    async fn renewed(
        &self,
        project: &ProjectId,
        place: &Place,
        entries: &[Entry],
        oldest: u32,
    ) -> Result<(Transaction, u64)> {
        let barrier = &self.kit.barrier;
        let (mut change, mut count) = (Transaction::new(), 0);
        for entry in entries {
            if Barrier::key_version(&entry.value)? >= oldest {
                continue;
            }
            let damaged = || Error::internal(format!("`{}` is no key of a sealed value", entry.key));
            let (version, next) = place.versions(entry).ok_or_else(damaged)?;
            let opened = barrier.open(project, &entry.key, version, &entry.value).await?;
            let sealed = barrier.seal(project, &entry.key, next, opened.expose()).await?;
            let put = match place.prefix.as_str() {
                // These go by themselves after a while; only a lease of today may carry them on.
                FIRST_ANSWERS => sealed.put_leased(entry.key.clone(), self.idempotency.lease().await?),
                _ => sealed.put(entry.key.clone()),
            };
            change = change.when(Condition::as_read(&entry.key, Some(entry))).and(put);
            count += 1;
        }
        Ok((change, count))
    }

    async fn read_again(&self, entries: &[Entry]) -> Result<Vec<Entry>> {
        let mut again = Vec::with_capacity(entries.len());
        for entry in entries {
            again.extend(self.kit.db.fresh(&entry.key).await?);
        }
        Ok(again)
    }

    /// Drops the data keys older than `oldest`; tells whether only one is left.
    async fn retire_data_keys(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        project: &ProjectId,
        oldest: u32,
    ) -> Result<bool> {
        for attempt in 0..ATTEMPTS {
            let Some(change) = self.kit.barrier.retire_project_keys(project, oldest).await? else {
                return Ok(self.kit.barrier.project_key_versions(project).await?.len() == 1);
            };
            let record = record(proof, "dropped the older data keys").version(u64::from(oldest));
            if let Outcome::Committed { .. } = self.kit.commit(ctx, record, change).await? {
                continue;
            }
            pause(attempt).await;
        }
        Err(contended())
    }
}
