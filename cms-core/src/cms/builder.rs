// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening an installation, and making a new one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Cms, Inner, background};
use crate::audit::{Audit, AuditLog, AuditSettings, NewRecord};
use crate::auth::{Auth, Authorizer, Principal};
use crate::clock::{Clock, SystemClock};
use crate::configs::{Configs, Parsed};
use crate::context::RequestContext;
use crate::crypto::{Barrier, SEAL_UNAVAILABLE, Seal};
use crate::decisions::Decisions;
use crate::documents::{Documents, Gate, Writer};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::idempotency::Idempotency;
use crate::ids::ProjectId;
use crate::keyrings::Keyrings;
use crate::kit::Kit;
use crate::lane::Lane;
use crate::mails::{Mailer, Mails};
use crate::policies::artifacts::Artifacts;
use crate::policies::trial::{InProcess, Trial};
use crate::projects::{Members, Projects, platform_project};
use crate::releases::Releases;
use crate::requests::Requests;
use crate::secrets::Secrets;
use crate::secrets::engine::builtin;
use crate::secrets::material::{Counted, Material};
use crate::sensitive::Sensitive;
use crate::store::{Db, Outcome, Store};
use crate::webhooks::{Notifier, Silent, Webhooks};

/// The label of the subkey that the audit trail is chained with.
pub(super) const AUDIT_KEY: &str = "audit";

/// Builds a [`Cms`].
#[derive(Debug)]
pub struct CmsBuilder {
    store: Arc<dyn Store>,
    seal: Arc<dyn Seal>,
    clock: Arc<dyn Clock>,
    audit: AuditSettings,
    issuer: String,
    root: Option<Sensitive<String>>,
    trial: Arc<dyn Trial>,
    notifier: Arc<dyn Notifier>,
    mailer: Option<Arc<dyn Mailer>>,
    material: Option<Arc<dyn Material>>,
    is_patient: bool,
}

impl CmsBuilder {
    pub(super) fn new(store: Arc<dyn Store>, seal: Arc<dyn Seal>) -> Self {
        Self {
            store,
            seal,
            clock: Arc::new(SystemClock),
            audit: AuditSettings::default(),
            issuer: String::from("cms"),
            root: None,
            trial: Arc::new(InProcess),
            notifier: Arc::new(Silent),
            mailer: None,
            material: None,
            is_patient: false,
        }
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how the audit trail works, and its sinks beside the store.
    #[must_use]
    pub fn audit(mut self, settings: AuditSettings) -> Self {
        self.audit = settings;
        self
    }

    /// Sets the issuer that access tokens name.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// Chooses the root credential of a new installation by hand: for throw-away installations.
    #[must_use]
    pub fn root_credential(mut self, text: Sensitive<String>) -> Self {
        self.root = Some(text);
        self
    }

    /// Sets where policies are compiled and tested before they are written: by default in this process.
    #[must_use]
    pub fn trial(mut self, trial: Arc<dyn Trial>) -> Self {
        self.trial = trial;
        self
    }

    /// Sets through what messages to webhooks leave: by default nothing leaves.
    #[must_use]
    pub fn notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = notifier;
        self
    }

    /// Sets through what mails to people leave: by default none is written.
    #[must_use]
    pub fn mailer(mut self, mailer: Arc<dyn Mailer>) -> Self {
        self.mailer = Some(mailer);
        self
    }

    /// Sets where new values of secrets lie: by default in the store. Those that lie elsewhere stay there.
    #[must_use]
    pub fn material(mut self, material: Arc<dyn Material>) -> Self {
        self.material = Some(material);
        self
    }

    /// Opens the installation sealed where its seal cannot be asked now, and unseals it as soon as it can.
    #[must_use]
    pub fn wait_for_seal(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Opens an installation, within a Tokio runtime.
    ///
    /// # Errors
    /// `Sealed` with the code `not_initialized` on an empty store, or what the seal answers.
    pub async fn build(self) -> Result<Cms> {
        let is_patient = self.is_patient;
        let parts = self.parts()?;
        match parts.kit.barrier.unseal().await {
            Err(error) if is_patient && error.code() == SEAL_UNAVAILABLE => {
                tracing::warn!(%error, "starting sealed: the seal cannot be asked now");
                parts.kit.barrier.wait_for(Some(error.message().to_owned()));
            }
            unsealed => {
                unsealed?;
                parts.kit.audit.unseal(&parts.kit.barrier.derive(AUDIT_KEY)?)?;
            }
        }
        parts.start().await
    }

    /// Makes a new installation on an empty store and opens it. The root credential in the answer is
    /// shown this once.
    ///
    /// # Errors
    /// `Conflict` with the code `already_initialized` if the store holds an installation.
    pub async fn initialize(mut self) -> Result<(Cms, Sensitive<String>)> {
        let root = self.root.take();
        let parts = self.parts()?;
        let kit = &parts.kit;
        let keys = kit.barrier.initialize().await?;
        kit.audit.unseal(&kit.barrier.derive(AUDIT_KEY)?)?;
        let (credential, text) = parts.auth.root_credential(root, kit.now()).await?;
        let platform = platform_project(kit).await?;
        let ctx = RequestContext::new(Principal::system());
        let record = NewRecord::new("system:initialize", "installation", ProjectId::platform());
        let outcome = kit.audit.commit(&ctx, record, keys.and(credential).and(platform)).await;
        match outcome {
            Ok(Outcome::Committed { .. }) => {}
            Ok(Outcome::Conflict { .. }) => {
                kit.barrier.seal_up();
                return Err(Error::conflict(
                    "already_initialized",
                    "the store holds an installation already",
                ));
            }
            Err(error) => {
                kit.barrier.seal_up();
                return Err(error);
            }
        }
        kit.barrier.unseal().await?;
        Ok((parts.start().await?, text))
    }

    fn parts(self) -> Result<Parts> {
        let db = Db::new(self.store);
        let barrier = Barrier::new(db.clone(), self.seal, self.clock.clone());
        let audit = Audit::open_sealed(db.clone(), self.clock.clone(), self.audit);
        let authorizer = Authorizer::new(db.clone(), audit.clone())?;
        let material = self.material.map(|material| Counted::new(material, db.counts().clone()));
        let kit = Kit { db, clock: self.clock, barrier, audit, authorizer, lane: Lane::new()?, material };
        Ok(Parts {
            auth: Auth::new(kit.clone(), &self.issuer),
            kit,
            trial: self.trial,
            notifier: self.notifier,
            mailer: self.mailer,
        })
    }
}

struct Parts {
    kit: Kit,
    auth: Auth,
    trial: Arc<dyn Trial>,
    notifier: Arc<dyn Notifier>,
    mailer: Option<Arc<dyn Mailer>>,
}

impl Parts {
    async fn start(self) -> Result<Cms> {
        let Self { kit, auth, trial, notifier, mailer } = self;
        let artifacts = Artifacts::new();
        let parsed = Parsed::default();
        let gate = Gate::new(artifacts.clone(), trial, parsed.clone());
        let writer = Arc::new(Writer::new(kit.clone(), gate.clone()));
        let secrets = Secrets::new(kit.clone(), builtin());
        let mails = Mails::new(kit.clone(), mailer);
        let idempotency = Idempotency::new(kit.clone());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let inner = Inner {
            projects: Projects::new(kit.clone(), auth.keys().clone()),
            members: Members::new(kit.clone()),
            documents: Documents::new(kit.clone(), writer.clone()),
            releases: Releases::new(kit.clone(), gate),
            webhooks: Webhooks::new(kit.clone(), notifier),
            requests: Requests::new(kit.clone(), writer, mails.clone()),
            mails,
            decisions: Decisions::new(kit.clone(), artifacts.clone(), tasks.clone(), stop.clone()),
            events: Events::new(kit.clone()),
            configs: Configs::new(kit.clone(), secrets.clone(), parsed),
            secrets,
            keyrings: Keyrings::new(kit.clone(), idempotency.clone()),
            idempotency,
            audit: AuditLog::new(kit.clone()),
            auth,
            kit,
            tasks,
            stop,
        };
        let cms = Cms(Arc::new(inner));
        background::start(&cms, artifacts).await?;
        Ok(cms)
    }
}
