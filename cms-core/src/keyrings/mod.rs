// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealing, unsealing and the rotation of keys, online and on the trail. What keys are and how they
//! are kept is in `crypto`; what follows on a new data key is in `renew`.

mod renew;

use std::sync::Arc;
use std::time::Duration;

use crate::api::keyrings::{ProjectKeyState, RotatedProjectKey, RotatedRootKey};
use crate::audit::{AuditOutcome, NewRecord};
use crate::auth::{Action, Authorized, Principal, Target};
use crate::context::RequestContext;
use crate::crypto::{KeyChange, Seal};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Outcome, Transaction};

/// How often a change of a keyring is tried again when another process makes one.
const ATTEMPTS: u32 = 16;

/// The keyrings of the installation and of all projects.
#[derive(Debug, Clone)]
pub struct Keyrings {
    kit: Kit,
    idempotency: Idempotency,
}

impl Keyrings {
    pub(crate) fn new(kit: Kit, idempotency: Idempotency) -> Self {
        Self { kit, idempotency }
    }

    /// Gives a project a new data key, seals everything anew that older ones have sealed, and drops
    /// those. Everything stays readable at every moment; what is left after a crash is done in the
    /// background. Calls `progress` with how many values are sealed anew.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed or the project's key is destroyed.
    pub async fn rotate_project(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<RotatedProjectKey> {
        let proof = self.authorize(ctx, project).await?;
        let version = self.new_data_key(ctx, &proof, project).await?;
        let renewed = self.renew(ctx, &proof, project, progress).await?;
        Ok(RotatedProjectKey {
            project: project.to_string(),
            version,
            resealed: renewed.values,
            retired: renewed.retired,
        })
    }

    /// A project's data key, and how many values each of its versions has sealed.
    ///
    /// # Errors
    /// `Sealed` as above.
    pub async fn project_state(&self, ctx: &RequestContext, project: &ProjectId) -> Result<ProjectKeyState> {
        self.kit.authorize(ctx, Action::SystemRead, Target::new(project, "keyring")).await?;
        self.generations(project).await
    }

    /// Gives the installation a new root key, wraps every keyring with it and drops the older ones.
    /// May be stopped at any point and called again. Calls `progress` with how many keyrings are
    /// done, and of how many.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed or the seal does not answer.
    pub async fn rotate_root(
        &self,
        ctx: &RequestContext,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<RotatedRootKey> {
        let proof = self.authorize(ctx, &ProjectId::platform()).await?;
        let version = self.new_root(ctx, &proof).await?;
        let projects = self.kit.barrier.keyring_projects().await?;
        let (mut rewrapped, mut done) = (0, 0);
        for project in &projects {
            rewrapped += u64::from(self.rewrap(ctx, &proof, project).await?);
            done += 1;
            progress(done, projects.len() as u64);
        }
        let retired = self.retire(ctx, &proof).await?;
        if retired {
            // The keyrings as the older root keys wrapped them.
            self.forget_history().await?;
        }
        Ok(RotatedRootKey { version, rewrapped, retired })
    }

    /// Rotates the data keys that this process has used often or long enough, and finishes rotations
    /// that were left. For the background.
    ///
    /// # Errors
    /// The first error that a rotation met.
    pub async fn rotate_due(&self) -> Result<usize> {
        let due = self.kit.barrier.rotations_due();
        let ctx = RequestContext::new(Principal::system());
        for project in self.unfinished().await? {
            let proof = self.authorize(&ctx, &project).await?;
            match self.renew(&ctx, &proof, &project, &|_| ()).await {
                Ok(renewed) => tracing::info!(%project, values = renewed.values, "finished a rotation"),
                // The project was offboarded meanwhile.
                Err(error) if error.code() == "key_destroyed" => self.unmark(&project).await?,
                Err(error) => return Err(error),
            }
        }
        for project in &due {
            match self.rotate_project(&ctx, project, &|_| ()).await {
                Ok(rotated) => {
                    tracing::info!(%project, version = rotated.version, "the data key was due and is rotated")
                }
                Err(error) if error.code() == "key_destroyed" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(due.len())
    }

    /// Wraps the root keyring with another seal, and uses that from now on. Other processes must be
    /// started again with it.
    ///
    /// # Errors
    /// What either seal answers; nothing is changed then.
    pub async fn reseal(&self, ctx: &RequestContext, seal: Arc<dyn Seal>) -> Result<()> {
        let proof = self.authorize(ctx, &ProjectId::platform()).await?;
        for attempt in 0..ATTEMPTS {
            let change = self.kit.barrier.reseal(&seal).await?;
            if self.commit(ctx, record(&proof, "changed the seal"), change).await? {
                self.kit.barrier.adopt_seal(seal);
                return Ok(());
            }
            pause(attempt).await;
        }
        Err(contended())
    }

    /// Seals the installation in this process: every key is forgotten. The record is kept before.
    ///
    /// # Errors
    /// `Unavailable` if the trail does not take the record.
    pub async fn seal_up(&self, ctx: &RequestContext) -> Result<()> {
        let proof = self.authorize(ctx, &ProjectId::platform()).await?;
        self.kit.audit.access(ctx, record(&proof, "sealed the installation in this process")).await?;
        self.kit.barrier.seal_up();
        self.kit.audit.seal_up();
        Ok(())
    }

    /// Unseals the installation in this process. The record is kept after, since a sealed trail has
    /// no key; if it cannot be kept, the installation is sealed again.
    ///
    /// # Errors
    /// What the seal answers.
    pub async fn unseal(&self, ctx: &RequestContext) -> Result<()> {
        let proof = self.authorize(ctx, &ProjectId::platform()).await?;
        let was_sealed = self.kit.barrier.is_sealed();
        self.kit.barrier.unseal().await?;
        self.kit.audit.unseal(&self.kit.barrier.derive("audit")?)?;
        let kept =
            self.kit.audit.access(ctx, record(&proof, "unsealed the installation in this process")).await;
        if kept.is_err() && was_sealed {
            self.kit.barrier.seal_up();
            self.kit.audit.seal_up();
        }
        kept
    }

    async fn authorize(&self, ctx: &RequestContext, project: &ProjectId) -> Result<Authorized> {
        self.kit.authorize(ctx, Action::SystemWrite, Target::new(project, "keyring")).await
    }

    async fn new_data_key(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        project: &ProjectId,
    ) -> Result<u32> {
        for attempt in 0..ATTEMPTS {
            let KeyChange { transaction, version } = self.kit.barrier.rotate_project_key(project).await?;
            let record = record(proof, "rotated the data key").version(u64::from(version));
            if self.commit(ctx, record, transaction.and(renew::mark(project))).await? {
                return Ok(version);
            }
            pause(attempt).await;
        }
        Err(contended())
    }

    async fn new_root(&self, ctx: &RequestContext, proof: &Authorized) -> Result<u32> {
        for attempt in 0..ATTEMPTS {
            let KeyChange { transaction, version } = self.kit.barrier.rotate_root_key().await?;
            let record = record(proof, "rotated the root key").version(u64::from(version));
            if self.commit(ctx, record, transaction).await? {
                return Ok(version);
            }
            pause(attempt).await;
        }
        Err(contended())
    }

    async fn rewrap(&self, ctx: &RequestContext, proof: &Authorized, project: &ProjectId) -> Result<bool> {
        for attempt in 0..ATTEMPTS {
            let Some(change) = self.kit.barrier.rewrap_project_keys(project).await? else { return Ok(false) };
            let text = format!("wrapped the keyring of the project `{project}` anew");
            if self.commit(ctx, record(proof, text), change).await? {
                return Ok(true);
            }
            pause(attempt).await;
        }
        Err(contended())
    }

    /// Drops the older root keys, unless something uses them again already.
    async fn retire(&self, ctx: &RequestContext, proof: &Authorized) -> Result<bool> {
        match self.kit.barrier.retire_root_keys().await {
            Ok(None) => Ok(true),
            Ok(Some(change)) => self.commit(ctx, record(proof, "retired the older root keys"), change).await,
            Err(error) if error.code() == "root_key_in_use" => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn commit(&self, ctx: &RequestContext, record: NewRecord, change: Transaction) -> Result<bool> {
        Ok(matches!(self.kit.commit_quietly(ctx, &[record], change).await?, Outcome::Committed { .. }))
    }
}

fn record(proof: &Authorized, reason: impl Into<String>) -> NewRecord {
    NewRecord::of(proof).outcome(AuditOutcome::Success).reason(Some(reason.into()))
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(u64::from(attempt))).await;
}

fn contended() -> Error {
    Error::conflict("too_many_writers", "others keep changing the keyrings; try again")
        .with_retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
