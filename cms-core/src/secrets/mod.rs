// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets: versioned sensitive material behind an engine. Values are sealed before they reach a
//! store, shown masked, and revealed only after the trail has taken the record.
//!
//! Writing is in `write`, removal of versions in `remove`, listing in `list`, checking everything in
//! `verify`; where values lie when not in the store is in `material`.

mod data;
pub mod engine;
mod generate;
mod limits;
mod list;
mod mask;
pub mod material;
mod quota;
mod record;
mod remove;
mod verify;
mod write;

use std::sync::Arc;

pub use data::SecretData;
pub use limits::{
    MAX_DEPTH, MAX_FIELD_NAME_BYTES, MAX_FIELDS, MAX_KEPT_VERSIONS, MAX_METADATA, MAX_METADATA_KEY_BYTES,
    MAX_METADATA_VALUE_BYTES, MAX_SECRET_BYTES, MAX_SECRETS, MAX_TEXT_CHARS,
};
use serde::{Deserialize, Serialize};
pub use verify::SecretsReport;

use crate::api::secrets::{
    ChangedVersions, MaskedSecret, PutSecret, RevealSecret, RevealedSecret, RotateSecret, Secret,
};
use crate::audit::{AuditOutcome, NewRecord};
use crate::auth::{Action, Authorized, Target};
use crate::context::RequestContext;
use crate::counts::End;
use crate::error::{Error, Result};
use crate::expected::Expected;
use crate::ids::{Name, ProjectId};
use crate::kit::Kit;
use crate::store::Scope;
use engine::{Engines, SecretEngine};
use quota::Quota;
use record::{Head, VersionRecord, head_key, value_key};
use remove::Removal;
use write::{Change, Expectation, Queues};

/// The secrets of all projects.
#[derive(Debug, Clone)]
pub struct Secrets {
    kit: Kit,
    engines: Engines,
    queues: Arc<Queues>,
    quota: Arc<Quota>,
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenSecret {
    /// The version that now stands.
    pub secret: Secret,
    /// Whether the secret is new.
    pub created: bool,
}

impl Secrets {
    pub(crate) fn new(kit: Kit, engines: Vec<Arc<dyn SecretEngine>>) -> Self {
        Self { kit, engines: Engines::new(engines), queues: Arc::default(), quota: Arc::default() }
    }

    /// Writes a new version. `expected` is the version that `If-Match` names; 0: none may exist.
    ///
    /// # Errors
    /// `Conflict` if `cas`, `Stale` if `expected` is not the present version; `Unprocessable`,
    /// `TooLarge` and `TooMany` past the limits.
    pub async fn put(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        put: PutSecret,
        expected: impl Into<Expected>,
    ) -> Result<WrittenSecret> {
        let proof = self.authorize(ctx, Action::SecretWrite, project, path).await?;
        limits::check_data(&put.data)?;
        limits::check_metadata(put.metadata.as_ref().unwrap_or(&Default::default()))?;
        limits::check_text("message", put.message.as_deref())?;
        let expectation = Expectation::new(put.cas, expected.into())?;
        self.write(ctx, &proof, path, Change::Put(&put), expectation).await
    }

    /// Writes a new version in which the engine has replaced a field.
    ///
    /// # Errors
    /// `NotFound` if there is no present value; otherwise as [`Secrets::put`].
    pub async fn rotate(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        rotation: RotateSecret,
        expected: impl Into<Expected>,
    ) -> Result<WrittenSecret> {
        let proof = self.authorize(ctx, Action::SecretWrite, project, path).await?;
        limits::check_text("message", rotation.message.as_deref())?;
        let expectation = Expectation::new(rotation.cas, expected.into())?;
        self.write(ctx, &proof, path, Change::Rotate(&rotation), expectation).await
    }

    /// Reads a version with masked values; the present one, unless one is named.
    ///
    /// # Errors
    /// `NotFound` if there is no such secret or version, or its value was deleted or destroyed.
    pub async fn masked(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        version: Option<u64>,
    ) -> Result<MaskedSecret> {
        let proof = self.authorize(ctx, Action::SecretRead, project, path).await?;
        let scope = self.kit.scope(&proof);
        let (head, version, data) = self.read(&scope, path, version).await?;
        Ok(MaskedSecret { secret: head.to_wire(path.as_str(), &version), data: mask::mask(&data)? })
    }

    /// Reads the values of a version. The record is on the trail when this returns; a reveal that
    /// finds nothing leaves one as well.
    ///
    /// # Errors
    /// As [`Secrets::masked`]; `Unavailable` if the trail does not take the record.
    pub async fn reveal(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        reveal: RevealSecret,
    ) -> Result<RevealedSecret> {
        let allowed = self.authorize(ctx, Action::SecretReveal, project, path).await;
        let proof = allowed.inspect_err(|_| self.kit.db.counts().revealed(End::Refused))?;
        limits::check_text("reason", reveal.reason.as_deref())?;
        let record = NewRecord::of(&proof);
        let counts = self.kit.db.counts();
        match self.hand_out(&self.kit.scope(&proof), path, reveal.version).await {
            Ok((version, data)) => {
                self.kit.audit.access(ctx, record.version(version).reason(reveal.reason)).await?;
                counts.revealed(End::Done);
                Ok(RevealedSecret { path: path.to_string(), version, data })
            }
            Err(error) => {
                counts.revealed(End::Failed);
                let mut record = record.outcome(AuditOutcome::Failure).reason(Some(error.code().to_owned()));
                record.version = reveal.version;
                self.kit.audit.access(ctx, record).await?;
                Err(error)
            }
        }
    }

    /// Deletes versions so that they can be brought back; the present one if none is named.
    ///
    /// # Errors
    /// `NotFound` if there is no such secret or version; `Stale` if `expected` is not the present one.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        versions: Option<Vec<u64>>,
        expected: impl Into<Expected>,
    ) -> Result<ChangedVersions> {
        let proof = self.authorize(ctx, Action::SecretDelete, project, path).await?;
        self.remove(ctx, &proof, path, Removal::Delete, versions, expected.into()).await
    }

    /// Brings deleted versions back; the present one if none is named.
    ///
    /// # Errors
    /// `Conflict` with the code `version_destroyed` for those whose value is gone.
    pub async fn undelete(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        versions: Option<Vec<u64>>,
        expected: impl Into<Expected>,
    ) -> Result<ChangedVersions> {
        let proof = self.authorize(ctx, Action::SecretDelete, project, path).await?;
        self.remove(ctx, &proof, path, Removal::Undelete, versions, expected.into()).await
    }

    /// Destroys the values of versions for good.
    ///
    /// # Errors
    /// As [`Secrets::delete`].
    pub async fn destroy(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        versions: Vec<u64>,
        expected: impl Into<Expected>,
    ) -> Result<ChangedVersions> {
        let proof = self.authorize(ctx, Action::SecretDestroy, project, path).await?;
        self.remove(ctx, &proof, path, Removal::Destroy, Some(versions), expected.into()).await
    }

    async fn authorize(
        &self,
        ctx: &RequestContext,
        action: Action,
        project: &ProjectId,
        path: &Name,
    ) -> Result<Authorized> {
        self.kit.authorize(ctx, action, Target::new(project, "secret").path(path)).await
    }

    async fn hand_out(&self, scope: &Scope, path: &Name, version: Option<u64>) -> Result<(u64, SecretData)> {
        let (head, version, stored) = self.read(scope, path, version).await?;
        let engine = self.engines.find(&head.engine)?;
        Ok((version.version, engine.hand_out(stored).await?))
    }

    /// Reads the stored fields of a version through the cache.
    async fn read(
        &self,
        scope: &Scope,
        path: &Name,
        version: Option<u64>,
    ) -> Result<(Arc<Head>, VersionRecord, SecretData)> {
        let head = self.head(scope, path).await?;
        let found = head.live(path, version)?.clone();
        if let Some(data) = self.value(scope, path, &found, Look::Cached).await? {
            return Ok((head, found, data));
        }
        // Another process may have destroyed it, or laid it elsewhere, since the head was cached.
        let head = Arc::new(self.present(scope, path).await?.into_head(path)?);
        let found = head.live(path, version)?.clone();
        let data = self.value(scope, path, &found, Look::Fresh).await?;
        let data = data.ok_or_else(|| missing_value(scope, path, &found))?;
        Ok((head, found, data))
    }

    /// The stored fields of a version, wherever they lie.
    async fn value(
        &self,
        scope: &Scope,
        path: &Name,
        version: &VersionRecord,
        look: Look,
    ) -> Result<Option<SecretData>> {
        let relative = value_key(path.as_str(), version.version);
        let sealed = match (&version.laid, look) {
            (Some(laid), _) => {
                let material = self.kit.material.as_ref().ok_or_else(material::missing)?;
                // No value is waited for that could not be opened.
                self.refuse_sealed()?;
                material.get(scope.project(), &laid.id).await?
            }
            (None, Look::Cached) => scope.cached(&relative).await?.entry().map(|entry| entry.value.clone()),
            (None, Look::Fresh) => scope.fresh(&relative).await?.map(|entry| entry.value),
        };
        let Some(sealed) = sealed else { return Ok(None) };
        let key = scope.key(&relative);
        let opened = self.kit.barrier.open(scope.project(), &key, version.version, &sealed).await?;
        SecretData::from_stored(opened).map(Some)
    }

    /// The head of a secret through the cache, where it is kept opened: it holds no values.
    async fn head(&self, scope: &Scope, path: &Name) -> Result<Arc<Head>> {
        let cached = scope.cached(&head_key(path.as_str())).await?;
        if let Some(entry) = cached.entry() {
            let opener = self.kit.barrier.opener(scope.project(), &entry.value).await?;
            if let Some(head) = cached.parsed(|entry| Head::open(&opener, entry))? {
                return Ok(head);
            }
        }
        self.refuse_sealed()?;
        Err(not_found(path))
    }

    /// A sealed installation tells nobody which secrets exist.
    fn refuse_sealed(&self) -> Result<()> {
        if self.kit.barrier.is_sealed() { Err(self.kit.barrier.sealed()) } else { Ok(()) }
    }
}

/// Whether a value may come from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Cached,
    Fresh,
}

/// The error for a value that is not where it must be.
fn missing_value(scope: &Scope, path: &Name, version: &VersionRecord) -> Error {
    let key = scope.key(&value_key(path.as_str(), version.version));
    Error::internal(format!("the value at `{key}` is missing"))
}

/// The error for a secret that does not exist.
fn not_found(path: &Name) -> Error {
    Error::not_found(format!("the secret `{path}`"))
}
