// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The service that reads the trail: listing, verifying and exporting, for those who may.
//!
//! Verifying and exporting are recorded themselves. Listing is not: a tail that is followed would
//! feed itself, and a refused reader is on the trail anyway.

use super::draft::NewRecord;
use super::export::{Export, export};
use super::query::{Filter, list};
use super::since::since;
use super::verify::{Progress, verify};
use crate::api::audit::{AuditQuery, AuditVerification, Record};
use crate::api::{Page, PageQuery};
use crate::auth::{Action, PrincipalKind, Target};
use crate::context::RequestContext;
use crate::error::Result;
use crate::ids::ProjectId;
use crate::kit::Kit;

/// Reads the audit trail. Cloning shares it.
#[derive(Debug, Clone)]
pub struct AuditLog {
    kit: Kit,
}

impl AuditLog {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit }
    }

    /// Lists records: newest first, or with `after` what was recorded since, in the order in which it was
    /// committed. Those who may read one project's trail only must name it; an API key means its own
    /// project.
    ///
    /// # Errors
    /// `Denied` or `NotFound` if the caller may not read that trail; `Invalid` for a bad filter;
    /// `Conflict` with the code `compacted` if `after` is too old to go on from.
    pub async fn list(&self, ctx: &RequestContext, query: &AuditQuery) -> Result<Page<Record>> {
        let mut filter = Filter::new(query)?;
        if let (None, PrincipalKind::Key { project, .. }) = (&filter.project, &ctx.principal.kind) {
            filter.project = Some(project.clone());
        }
        let target = match &filter.project {
            Some(project) => Target::new(project, "audit"),
            None => Target::platform("audit"),
        };
        self.kit.authorize(ctx, Action::AuditRead, target).await?;
        let page = PageQuery { limit: query.limit, cursor: query.cursor.clone() };
        match &query.after {
            Some(after) => since(&self.kit.db, &filter, after, &page).await,
            None => list(&self.kit.db, &filter, &page).await,
        }
    }

    /// Verifies every chain of the installation, from the first record to the head.
    ///
    /// # Errors
    /// `Denied` if the caller may not; a trail that does not verify is an answer, not an error.
    pub async fn verify(
        &self,
        ctx: &RequestContext,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<AuditVerification> {
        let proof = self.kit.authorize(ctx, Action::AuditVerify, Target::platform("audit")).await?;
        self.kit.audit.access(ctx, NewRecord::of(&proof).reason(Some("verify".to_owned()))).await?;
        verify(&self.kit.audit.shared, progress).await
    }

    /// Exports the trail, all of it or one project's records, as lines that prove themselves; see
    /// [`offline`](super::offline) for how they are verified.
    ///
    /// # Errors
    /// `Denied` or `NotFound` if the caller may not; `Unavailable` if the store does not answer.
    pub async fn export(&self, ctx: &RequestContext, project: Option<&ProjectId>) -> Result<Export> {
        let target = match project {
            Some(project) => Target::new(project, "audit"),
            None => Target::platform("audit"),
        };
        let proof = self.kit.authorize(ctx, Action::AuditVerify, target).await?;
        self.kit.audit.access(ctx, NewRecord::of(&proof).reason(Some("export".to_owned()))).await?;
        export(self.kit.audit.shared.clone(), project.cloned()).await
    }
}
