// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one handle that HTTP, the command line and Python hold: everything that CMS can do.
//!
//! Opening and initialising are in `builder`, what runs beside requests is in `background`.

mod background;
mod builder;

use std::sync::Arc;

pub use builder::CmsBuilder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::AuditLog;
use crate::auth::{Action, Auth, Target};
use crate::configs::Configs;
use crate::context::RequestContext;
use crate::counts::Measured;
use crate::crypto::Seal;
use crate::decisions::{Decisions, verify as verify_decisions};
use crate::documents::Documents;
use crate::error::Result;
use crate::events::Events;
use crate::idempotency::Idempotency;
use crate::keyrings::Keyrings;
use crate::kit::Kit;
use crate::mails::Mails;
use crate::projects::{Members, Projects};
use crate::releases::Releases;
use crate::requests::Requests;
use crate::secrets::{Secrets, SecretsReport};
use crate::store::{Capabilities, Store, StoreErrorKind};
use crate::verify::{VerifyReport, projects, verify_look_ups, verify_project};
use crate::webhooks::Webhooks;

/// How long a backend may take to tell how it is.
const HEALTH: std::time::Duration = std::time::Duration::from_secs(2);

/// A running CMS. Cloning shares it; two of them in one process never meet.
#[derive(Debug, Clone)]
pub struct Cms(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kit: Kit,
    auth: Auth,
    projects: Projects,
    members: Members,
    documents: Documents,
    releases: Releases,
    requests: Requests,
    webhooks: Webhooks,
    mails: Mails,
    decisions: Decisions,
    events: Events,
    configs: Configs,
    secrets: Secrets,
    keyrings: Keyrings,
    idempotency: Idempotency,
    audit: AuditLog,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What health checks want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether the installation is sealed.
    pub sealed: bool,
    /// The kind of seal.
    pub seal: &'static str,
    /// Why the seal cannot be asked, if that is what this process waits for.
    pub seal_error: Option<String>,
    /// The name of the storage backend.
    pub store: &'static str,
    /// Whether the store answers; if not, why, without anything that only an operator may know.
    pub store_error: Option<String>,
    /// What should be mended about the store's engine.
    pub store_warning: Option<String>,
    /// The store's revision.
    pub revision: u64,
    /// The last revision that this process's cache reflects.
    pub seen_revision: u64,
    /// Where the values of secrets lie, if not in the store, and what is wrong there.
    pub material: Option<(&'static str, Result<(), String>)>,
}

impl Cms {
    /// Begins to build a CMS over a store, with the seal that guards its keys.
    pub fn builder(store: Arc<dyn Store>, seal: Arc<dyn Seal>) -> CmsBuilder {
        CmsBuilder::new(store, seal)
    }

    /// Users, sessions, API keys and authentication.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// Projects: onboarding, settings, offboarding.
    pub fn projects(&self) -> &Projects {
        &self.0.projects
    }

    /// The members of projects.
    pub fn members(&self) -> &Members {
        &self.0.members
    }

    /// Policies, data and other documents.
    pub fn documents(&self) -> &Documents {
        &self.0.documents
    }

    /// Releases and environments.
    pub fn releases(&self) -> &Releases {
        &self.0.releases
    }

    /// Change requests.
    pub fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Webhooks.
    pub fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    /// Mails to people.
    pub fn mails(&self) -> &Mails {
        &self.0.mails
    }

    /// Decisions.
    pub fn decisions(&self) -> &Decisions {
        &self.0.decisions
    }

    /// What happens in projects, as streams.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Configs, as services read them.
    pub fn configs(&self) -> &Configs {
        &self.0.configs
    }

    /// Secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// Rotation of keys, sealing and unsealing.
    pub fn keyrings(&self) -> &Keyrings {
        &self.0.keyrings
    }

    /// First answers to requests that may be sent twice.
    pub fn idempotency(&self) -> &Idempotency {
        &self.0.idempotency
    }

    /// Opens the files of the audit trail anew, after they were rotated.
    ///
    /// # Errors
    /// `Unavailable` if one cannot be opened.
    pub async fn reopen_audit(&self) -> Result<()> {
        self.0.kit.audit.reopen().await
    }

    /// Checks that the caller may see the state of the system in detail, such as its metrics.
    ///
    /// # Errors
    /// `Denied` for whoever may not.
    pub async fn allow_system_read(&self, ctx: &RequestContext) -> Result<()> {
        self.0.kit.authorize(ctx, Action::SystemRead, Target::platform("metrics")).await?;
        Ok(())
    }

    /// What this CMS has counted of its own work since it was opened.
    pub fn measured(&self) -> Vec<Measured> {
        self.0.kit.db.counts().read()
    }

    /// The audit trail: query, verification, export.
    pub fn audit(&self) -> &AuditLog {
        &self.0.audit
    }

    /// The time, as this CMS has it.
    pub fn now(&self) -> crate::clock::Timestamp {
        self.0.kit.now()
    }

    /// What the storage backend promises.
    pub fn capabilities(&self) -> Capabilities {
        self.0.kit.db.store().capabilities()
    }

    /// The state of the seal and the store, without secrets and without asking who wants to know.
    pub async fn health(&self) -> Health {
        let kit = &self.0.kit;
        let store = kit.db.store();
        let (seal, _) = kit.barrier.seal_state();
        let read = tokio::time::timeout(HEALTH, store.revision()).await;
        let material = match &kit.material {
            Some(material) => {
                let asked = tokio::time::timeout(HEALTH, material.health()).await;
                let slow = || Err(String::from("it does not answer within 2 s"));
                Some((material.name(), asked.unwrap_or_else(|_| slow())))
            }
            None => None,
        };
        let (revision, store_error) = match read {
            Ok(Ok(revision)) => (revision, None),
            Ok(Err(error)) => (0, Some(state_of(error.kind()).to_owned())),
            Err(_) => (0, Some(String::from("it does not answer within 2 s"))),
        };
        Health {
            sealed: kit.barrier.is_sealed(),
            seal,
            seal_error: kit.barrier.waits_for(),
            store: store.name(),
            store_error,
            store_warning: store.warning().map(str::to_owned),
            revision,
            seen_revision: kit.db.seen(),
            material,
        }
    }

    /// Verifies everything: the medium, every hash and index, every sealed value, the audit trail.
    /// Reports what it is at through `progress`.
    ///
    /// # Errors
    /// What kept it from going on; what it finds wrong is in the report.
    pub async fn verify(
        &self,
        ctx: &RequestContext,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<VerifyReport> {
        let kit = &self.0.kit;
        kit.authorize(ctx, Action::AuditVerify, Target::platform("installation")).await?;
        let mut report = VerifyReport::default();
        if let Err(error) = kit.db.store().check().await {
            report.problem(error.to_string());
        }
        for project in projects(&kit.db).await? {
            progress(project.as_str());
            let scope = kit.db.internal(&project);
            verify_project(&kit.db, &scope, &mut report).await?;
            let mut secrets = SecretsReport::default();
            self.0.secrets.verify(&scope, &mut secrets).await?;
            report.add_secrets(secrets);
            match self.0.releases.verify_signing(&project).await {
                Ok(found) => report.sealed_values += u64::from(found),
                Err(error) => {
                    report.problem(format!("the bundle keys of `{project}` cannot be read: {error}"));
                }
            }
            verify_decisions(kit, &scope, &mut report).await?;
            match self.0.keyrings.generations(&project).await {
                Ok(state) => report.add_key(state),
                Err(error) => report.problem(format!("the data key of `{project}` cannot be read: {error}")),
            }
        }
        verify_look_ups(&kit.db, &mut report).await?;
        progress("identity");
        report.add_identity(self.0.auth.verify().await?);
        progress("audit trail");
        let trail = self.0.audit.verify(ctx, &|_| ()).await?;
        report.audit_records = trail.records;
        if let Some(broken) = trail.broken_at {
            report.problem(format!("the audit trail is broken: {broken}"));
        }
        report.ok = report.problem_count == 0;
        Ok(report)
    }

    /// Opens the audit sinks beside the store anew, after their files were rotated.
    pub async fn reopen_sinks(&self) {
        if let Err(error) = self.0.kit.audit.reopen().await {
            tracing::warn!(%error, "an audit sink could not be opened anew");
        }
    }

    /// The shared parts.
    #[cfg(test)]
    pub(crate) fn kit(&self) -> &Kit {
        &self.0.kit
    }

    /// Ends what runs beside requests and waits for it, at most 10 s. Use nothing of it afterwards.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), self.0.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!("background tasks did not end within 10 s");
        }
        self.0.kit.barrier.seal_up();
        self.0.kit.audit.seal_up();
    }
}

/// What a failed read says of the store; the log says more.
fn state_of(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Unavailable | StoreErrorKind::Unknown => "it does not answer, or refuses to",
        StoreErrorKind::Full => "it has no room left",
        StoreErrorKind::Corrupt => "it holds what cannot be, or went back to an older state",
        StoreErrorKind::Compacted | StoreErrorKind::TooLarge | StoreErrorKind::Unsupported => {
            "it answers what cannot be"
        }
    }
}

#[cfg(test)]
mod tests;
