// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit trail: one record for every change, in the transaction of the change, and for every
//! access, before its answer leaves; chained, so that nothing is removed or altered unseen.

use std::borrow::Cow;

use crate::auth::Authorized;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Outcome, Transaction};

/// How the recorded operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Success,
    /// It was refused.
    Denied,
    /// It was allowed, but failed.
    Failure,
}

/// What the caller of the trail says; time, actor, request id, address and chain are added.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The action's stable text, such as `policy:write` or `auth:login`.
    pub action: Cow<'static, str>,
    /// The resource, such as `projects/rag/policy/rag/authz`.
    pub resource: String,
    /// The project whose record it is; `platform` for what belongs to none.
    pub project: ProjectId,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Why it was refused or failed, or the reason that the caller gave.
    pub reason: Option<String>,
    /// The release that was involved.
    pub release: Option<String>,
    /// The version that was written or read.
    pub version: Option<u64>,
}

impl NewRecord {
    /// A successful operation that was authorized.
    pub fn of(proof: &Authorized) -> Self {
        Self {
            action: Cow::Borrowed(proof.action().as_str()),
            resource: proof.target().to_string(),
            project: proof.project().clone(),
            outcome: AuditOutcome::Success,
            reason: None,
            release: None,
            version: None,
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the release.
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// Sets how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// The trail. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Audit {}

impl Audit {
    /// Commits a change together with its record. The places in a conflict count the caller's
    /// conditions only.
    ///
    /// # Errors
    /// `Unavailable` if the store or a required sink does not take the record in time.
    pub async fn commit(
        &self,
        ctx: &RequestContext,
        record: NewRecord,
        change: Transaction,
    ) -> Result<Outcome> {
        let _ = (ctx, record, change);
        Err(Error::internal("the audit trail is not built yet"))
    }

    /// Records an access; returns when the record is kept, so that the answer may leave.
    ///
    /// # Errors
    /// `Unavailable` if no sink takes the record in time.
    pub async fn access(&self, ctx: &RequestContext, record: NewRecord) -> Result<()> {
        let _ = (ctx, record);
        Err(Error::internal("the audit trail is not built yet"))
    }
}
