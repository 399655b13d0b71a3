// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which of several processes does what one alone need do: whoever holds a lease of the store. What is
//! done under it must bear being done twice; the lease spares work, it is no lock.

use std::time::Duration;

use bytes::Bytes;

use crate::store::{Condition, Db, LeaseId, Operation, Outcome, StoreResult, Transaction};

/// How long the others wait for a leader that has died.
const TERM: Duration = Duration::from_secs(15);

/// A candidate for one kind of work.
#[derive(Debug)]
pub(crate) struct Lead {
    db: Db,
    key: String,
    held: Option<LeaseId>,
}

impl Lead {
    /// A candidate for the work of this name.
    pub(crate) fn new(db: Db, work: &str) -> Self {
        Self { db, key: format!("sys/lead/{work}"), held: None }
    }

    /// Whether the work is this process's now. To be asked again well within the term.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub(crate) async fn is_ours(&mut self) -> StoreResult<bool> {
        let store = self.db.store().clone();
        if !store.capabilities().leases {
            return Ok(true);
        }
        if let Some(lease) = self.held
            && store.keep_lease(lease).await.is_ok()
        {
            return Ok(true);
        }
        self.held = None;
        if self.db.fresh(&self.key).await?.is_some() {
            return Ok(false);
        }
        let lease = store.grant_lease(TERM).await?;
        let mut claim = Transaction::new().when(Condition::Absent(self.key.clone()));
        claim.operations.push(Operation::Put {
            key: self.key.clone(),
            value: Bytes::new(),
            lease: Some(lease),
        });
        match self.db.commit(claim).await? {
            Outcome::Committed { .. } => {
                self.held = Some(lease);
                Ok(true)
            }
            Outcome::Conflict { .. } => {
                store.revoke_lease(lease).await?;
                Ok(false)
            }
        }
    }

    /// Leaves the work to others at once.
    pub(crate) async fn leave(&mut self) {
        if let Some(lease) = self.held.take() {
            // If it fails, the term ends by itself.
            let _ = self.db.store().revoke_lease(lease).await;
        }
    }
}
