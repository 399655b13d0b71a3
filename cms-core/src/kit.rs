// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every service is given: the store, the clock, the barrier, the trail and the authorizer.

use std::sync::Arc;

use crate::audit::{Audit, NewRecord};
use crate::auth::{Action, Authorized, Authorizer, Target};
use crate::clock::{Clock, Timestamp};
use crate::context::RequestContext;
use crate::crypto::Barrier;
use crate::error::Result;
use crate::lane::Lane;
use crate::secrets::material::Counted;
use crate::store::{Db, Outcome, Scope, Transaction};
use crate::webhooks;

/// The shared parts of one `Cms`. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Kit {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) barrier: Barrier,
    pub(crate) audit: Audit,
    pub(crate) authorizer: Authorizer,
    pub(crate) lane: Lane,
    /// Where values of secrets lie, if not in the store.
    pub(crate) material: Option<Counted>,
}

impl Kit {
    /// Asks the authorizer; see [`Authorizer::authorize`].
    pub(crate) async fn authorize(
        &self,
        ctx: &RequestContext,
        action: Action,
        target: Target,
    ) -> Result<Authorized> {
        self.authorizer.authorize(ctx, action, target).await
    }

    /// The keys of the project that the proof is about.
    pub(crate) fn scope(&self, proof: &Authorized) -> Scope {
        self.db.scope(proof)
    }

    /// Commits a change with its record; see [`Audit::commit`]. Where the request is run once for a key,
    /// that it was run is part of the same transaction.
    pub(crate) async fn commit(
        &self,
        ctx: &RequestContext,
        record: NewRecord,
        change: Transaction,
    ) -> Result<Outcome> {
        self.commit_all(ctx, &[record], change).await
    }

    /// Commits a change with several records, as [`Kit::commit`] does with one. Webhooks are told of what it
    /// does.
    pub(crate) async fn commit_all(
        &self,
        ctx: &RequestContext,
        records: &[NewRecord],
        change: Transaction,
    ) -> Result<Outcome> {
        let told = webhooks::told(self, &change).await?;
        let change = change.and(told);
        let is_told = change.operations.iter().any(webhooks::is_told);
        let outcome = self.commit_quietly(ctx, records, change).await?;
        if is_told && let Err(error) = webhooks::spread(self).await {
            // Whoever follows up does it then.
            tracing::warn!(%error, "webhooks could not be told of a change at once");
        }
        Ok(outcome)
    }

    /// Commits what changes nothing that others would want to hear of, such as sealing anew.
    pub(crate) async fn commit_quietly(
        &self,
        ctx: &RequestContext,
        records: &[NewRecord],
        change: Transaction,
    ) -> Result<Outcome> {
        let conditions = change.conditions.len();
        let Some(once) = &ctx.once else { return self.audit.commit_all(ctx, records, change).await };
        match once.join(change.clone()).await? {
            Some((joined, next)) => {
                let outcome = self.audit.commit_all(ctx, records, joined).await?;
                once.ended(outcome, next, conditions)
            }
            None => self.audit.commit_all(ctx, records, change).await,
        }
    }

    /// The current time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
