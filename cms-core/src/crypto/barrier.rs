// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The barrier: seals and opens values with the keys of their project, and knows when it may not.
//!
//! Creating, rotating and destroying keys is in `rotate.rs`. Nothing here commits: changes of keys
//! are answered as transactions, for the services to commit with their records.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};

use super::aead::{AeadError, Binding, KEY_BYTES, key_version};
use super::kdf::derive;
use super::keyring::{
    Keyring, ProjectRecord, ProjectState, ROOT_KEY, RootRecord, corrupt, decode_wrapped, key_destroyed,
    project_key,
};
use super::material::Material;
use super::places::is_place;
use super::seal::{SEAL_UNAVAILABLE, Seal, SealState};
use super::value::SealedValue;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;
use crate::store::{Condition, Db, Entry};

/// Encrypts what a store may hold of secrets. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Barrier(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: Db,
    pub(super) seal: RwLock<Arc<dyn Seal>>,
    clock: Arc<dyn Clock>,
    /// The keys in use; nothing while sealed.
    open: ArcSwapOption<Open>,
    /// Why the seal cannot be asked, while that is waited for.
    waiting: Mutex<Option<String>>,
    /// One loading of the root keyring at a time.
    loading: tokio::sync::Mutex<()>,
}

/// The keys of an unsealed installation. Dropping it wipes them.
pub(super) struct Open {
    root: RwLock<Arc<Root>>,
    projects: RwLock<HashMap<ProjectId, Arc<Keyring>>>,
    /// Keys of projects whose onboarding is not committed yet: usable by this process, so that the
    /// same transaction can hold sealed values.
    pending: Mutex<HashMap<ProjectId, Pending>>,
}

/// Opens values of one project, see [`Barrier::opener`].
#[derive(Debug)]
pub struct Opener {
    project: ProjectId,
    keyring: Arc<Keyring>,
}

/// The root keyring, ready for use.
pub(super) struct Root {
    pub(super) keyring: Keyring,
    secret: Sensitive<Vec<u8>>,
}

struct Pending {
    material: Arc<Material>,
    keyring: Arc<Keyring>,
    since: Timestamp,
}

/// How many keyrings of projects are kept ready.
const MAX_READY: usize = 16_384;
/// How many onboardings may be under way.
const MAX_PENDING: usize = 1_024;
/// After which time an onboarding that was not committed is given up, if there are too many.
const PENDING_TIME: std::time::Duration = std::time::Duration::from_secs(600);

impl Barrier {
    /// A barrier over a store, sealed until [`Barrier::unseal`] or [`Barrier::initialize`].
    pub fn new(db: Db, seal: Arc<dyn Seal>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            db,
            seal: RwLock::new(seal),
            clock,
            open: ArcSwapOption::empty(),
            waiting: Mutex::default(),
            loading: tokio::sync::Mutex::new(()),
        }))
    }

    /// Seals a value with the project's current data key, bound to its full store key and version.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed or the project's key is destroyed; `Internal` for a key
    /// where rotation would not find the value.
    pub async fn seal(
        &self,
        project: &ProjectId,
        key: &str,
        version: u64,
        plaintext: &[u8],
    ) -> Result<SealedValue> {
        let open = self.opened()?;
        if !is_place(project, key) {
            return Err(Error::internal(format!("`{key}` is no place for a sealed value")));
        }
        let keyring = self.keyring(&open, project).await?;
        let current = keyring.current();
        current.count()?;
        let binding = Binding { project: project.as_str(), key, version };
        let bytes = current.key.seal(current.number, binding, plaintext).map_err(Error::internal)?;
        Ok(SealedValue::new(bytes, keyring.unchanged(&project_key(project.as_str()))))
    }

    /// Opens a sealed value; fails if it was altered, moved to another key or is another version.
    ///
    /// # Errors
    /// `Sealed` as above; `Internal` with the code `internal` if the bytes are not what was sealed.
    pub async fn open(
        &self,
        project: &ProjectId,
        key: &str,
        version: u64,
        sealed: &[u8],
    ) -> Result<Sensitive<Vec<u8>>> {
        self.opener(project, sealed).await?.open(key, version, sealed)
    }

    /// What opens values of a project without waiting: this one, and others that were sealed with the
    /// same or an older version of the key. Holds the keys, so it must not be kept.
    ///
    /// # Errors
    /// As [`Barrier::open`].
    pub async fn opener(&self, project: &ProjectId, sealed: &[u8]) -> Result<Opener> {
        let open = self.opened()?;
        let number = key_version(sealed).map_err(Error::internal)?;
        let mut keyring = self.keyring(&open, project).await?;
        if keyring.find(number).is_none() {
            // Another process may have rotated a moment ago: look past the cache.
            let entry = self.0.db.fresh(&project_key(project.as_str())).await?;
            keyring = self.settle(&open, project, entry.as_ref()).await?;
        }
        Ok(Opener { project: project.clone(), keyring })
    }

    /// The version of the key that sealed a value.
    ///
    /// # Errors
    /// `Internal` if the bytes are no sealed value.
    pub fn key_version(sealed: &[u8]) -> Result<u32> {
        key_version(sealed).map_err(Error::internal)
    }

    /// The version of the project's data key that seals now.
    ///
    /// # Errors
    /// `Sealed` as in [`Barrier::seal`].
    pub async fn current_key_version(&self, project: &ProjectId) -> Result<u32> {
        let open = self.opened()?;
        Ok(self.keyring(&open, project).await?.current().number)
    }

    /// A subkey of the installation secret (HKDF-SHA256). The same label gives the same subkey for as
    /// long as the installation lives, whatever is rotated.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed.
    pub fn derive(&self, label: &str) -> Result<Sensitive<[u8; KEY_BYTES]>> {
        let root = self.opened()?.root();
        let mut subkey = Sensitive::new([0_u8; KEY_BYTES]);
        derive(b"cms installation secret", root.secret.expose(), label.as_bytes(), subkey.expose_mut())?;
        Ok(subkey)
    }

    /// Whether the installation is sealed.
    pub fn is_sealed(&self) -> bool {
        self.0.open.load().is_none()
    }

    /// Whether the store holds an installation.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn is_initialized(&self) -> Result<bool> {
        Ok(self.0.db.fresh(ROOT_KEY).await?.is_some())
    }

    /// The kind of seal, and whether it waits for something.
    pub fn seal_state(&self) -> (&'static str, SealState) {
        let seal = self.0.seal.read();
        (seal.name(), seal.state())
    }

    /// Why the seal cannot be asked, if this process waits for it.
    pub fn waits_for(&self) -> Option<String> {
        self.0.waiting.lock().clone()
    }

    /// Notes why this process waits for the seal; `None` once it does not any more.
    pub(crate) fn wait_for(&self, because: Option<String>) {
        *self.0.waiting.lock() = because;
    }

    /// Opens the installation: loads the root keyring through the seal. Does nothing more if it is
    /// open already.
    ///
    /// # Errors
    /// `Sealed` with the code `not_initialized` on an empty store, `wrong_seal_key` with another
    /// installation's key, or what the seal answers; nothing is changed then.
    pub async fn unseal(&self) -> Result<()> {
        let root = Arc::new(self.load_root(None).await?);
        match self.0.open.load_full() {
            Some(open) => *open.root.write() = root,
            None => self.0.open.store(Some(Arc::new(Open::new(root)))),
        }
        self.wait_for(None);
        Ok(())
    }

    /// Seals the installation in this process: every key is forgotten and wiped as soon as the last
    /// operation that is under way has ended.
    pub fn seal_up(&self) {
        self.0.open.store(None);
        self.0.seal.read().forget();
    }

    /// Whether a project's data key should be rotated, as far as this process has used it.
    pub fn is_rotation_due(&self, project: &ProjectId) -> bool {
        let now = self.now();
        self.0.open.load().as_ref().is_some_and(|open| {
            open.projects.read().get(project).is_some_and(|keyring| keyring.current().is_due(now))
        })
    }

    /// The projects whose data key this process has used and should rotate.
    pub fn rotations_due(&self) -> Vec<ProjectId> {
        let now = self.now();
        let open = self.0.open.load();
        let Some(open) = open.as_ref() else { return Vec::new() };
        let projects = open.projects.read();
        projects
            .iter()
            .filter(|(_, keyring)| keyring.current().is_due(now))
            .map(|(project, _)| project.clone())
            .collect()
    }

    #[cfg(test)]
    pub(super) fn set_seals(&self, project: &ProjectId, seals: u64) {
        let open = self.opened().unwrap();
        open.projects.read().get(project).unwrap().current().set_seals(seals);
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn opened(&self) -> Result<Arc<Open>> {
        self.0.open.load_full().ok_or_else(|| self.sealed())
    }

    /// The error while sealed; with what is waited for, where something is.
    pub(crate) fn sealed(&self) -> Error {
        match self.waits_for() {
            Some(because) => Error::sealed().with_hint(because),
            None => Error::sealed(),
        }
    }

    /// Puts a root keyring in use that is not committed yet.
    pub(super) fn begin(&self, root: Root) -> Arc<Open> {
        let open = Arc::new(Open::new(Arc::new(root)));
        self.0.open.store(Some(open.clone()));
        open
    }

    /// The root keyring as the store has it now, as far as the cache knows.
    pub(super) async fn fresh_root(&self, open: &Open) -> Result<Arc<Root>> {
        let root = open.root();
        let entry = self.0.db.cached(ROOT_KEY).await?;
        if root.keyring.seen >= entry.entry().map(|entry| entry.modified) {
            return Ok(root);
        }
        self.reload_root(open).await
    }

    /// The keys of a project in the clear, out of its record.
    pub(super) async fn unwrap_project(
        &self,
        open: &Open,
        project: &ProjectId,
        record: &ProjectRecord,
    ) -> Result<Material> {
        let ProjectState::Active { root: number, wrapped } = &record.state else {
            return Err(key_destroyed(project.as_str()));
        };
        let key = project_key(project.as_str());
        let wrapped = decode_wrapped(wrapped, &key)?;
        let mut root = open.root();
        if root.keyring.find(*number).is_none() {
            root = self.reload_root(open).await?;
        }
        let root_key = root.keyring.find(*number).ok_or_else(|| corrupt(&key))?;
        let binding = Binding { project: project.as_str(), key: &key, version: record.generation };
        let bytes = root_key.key.open(binding, &wrapped).map_err(|error| corrupt(&key).with_source(error))?;
        Material::decode(bytes.expose()).ok_or_else(|| corrupt(&key))
    }

    async fn keyring(&self, open: &Open, project: &ProjectId) -> Result<Arc<Keyring>> {
        let cached = self.0.db.cached(&project_key(project.as_str())).await?;
        self.settle(open, project, cached.entry()).await
    }

    /// The keyring for a state of the project's record: the one that is ready, if it is as new.
    async fn settle(&self, open: &Open, project: &ProjectId, entry: Option<&Entry>) -> Result<Arc<Keyring>> {
        let ready = open.projects.read().get(project).cloned();
        if let Some(ready) = ready.clone().filter(|ready| ready.seen >= entry.map(|entry| entry.modified)) {
            return Ok(ready);
        }
        let Some(entry) = entry else { return Err(Error::not_found(format!("project `{project}`"))) };
        let record = ProjectRecord::parse(entry)?;
        let material = match self.unwrap_project(open, project, &record).await {
            Ok(material) => material,
            Err(error) => {
                if error.code() == "key_destroyed" {
                    open.forget(project);
                }
                return Err(error);
            }
        };
        let keyring =
            Keyring::new(&material, Some(entry.modified), ready.as_deref()).map_err(Error::internal)?;
        Ok(open.keep(project, Arc::new(keyring)))
    }

    async fn reload_root(&self, open: &Open) -> Result<Arc<Root>> {
        let before = open.root();
        let _one = self.0.loading.lock().await;
        let now = open.root();
        if now.keyring.seen > before.keyring.seen {
            return Ok(now);
        }
        // The seal's own words may name a path; here they would reach whoever asked for a secret.
        let root = self.load_root(Some(&before)).await.map_err(|error| {
            Error::unavailable(SEAL_UNAVAILABLE, "the seal does not give the root key").with_source(error)
        })?;
        let root = Arc::new(root);
        *open.root.write() = root.clone();
        Ok(root)
    }

    async fn load_root(&self, before: Option<&Root>) -> Result<Root> {
        let entry = self.0.db.fresh(ROOT_KEY).await?.ok_or_else(not_initialized)?;
        let material = self.unwrap_root(&entry).await?.1;
        Root::new(material, Some(entry.modified), before)
    }

    /// The root keyring in the clear, with its generation.
    pub(super) async fn unwrap_root(&self, entry: &Entry) -> Result<(u64, Material)> {
        let record = RootRecord::parse(entry)?;
        let seal = self.0.seal.read().clone();
        if record.seal != seal.name() {
            return Err(Error::new(
                ErrorKind::Sealed,
                "wrong_seal",
                format!("the installation is sealed by `{}`, not by `{}`", record.seal, seal.name()),
            )
            .with_hint("start it with the seal that it was initialised with; nothing was changed"));
        }
        let context = RootRecord::context(record.generation);
        let bytes = seal.unwrap(&record.wrapped()?, &context).await?;
        let material = Material::decode(bytes.expose()).ok_or_else(|| corrupt(ROOT_KEY))?;
        Ok((record.generation, material))
    }
}

impl Opener {
    /// Opens a sealed value, see [`Barrier::open`].
    ///
    /// # Errors
    /// `Internal` if the bytes are not what was sealed.
    pub fn open(&self, key: &str, version: u64, sealed: &[u8]) -> Result<Sensitive<Vec<u8>>> {
        let unreadable = |error: AeadError| {
            Error::internal(format!("the value sealed at `{key}` cannot be opened: {error}"))
        };
        let number = key_version(sealed).map_err(unreadable)?;
        let version_key = self.keyring.find(number).ok_or_else(|| unreadable(AeadError::Mismatch))?;
        let binding = Binding { project: self.project.as_str(), key, version };
        version_key.key.open(binding, sealed).map_err(unreadable)
    }
}

impl Root {
    pub(super) fn new(
        material: Material,
        seen: Option<crate::store::Revision>,
        before: Option<&Self>,
    ) -> Result<Self> {
        let keyring =
            Keyring::new(&material, seen, before.map(|root| &root.keyring)).map_err(Error::internal)?;
        let secret = material.secret.ok_or_else(|| corrupt(ROOT_KEY))?;
        Ok(Self { keyring, secret })
    }

    /// That the root keyring is still the one that something was wrapped with. Without it, a keyring
    /// could be written under a root key that another process retires at the same moment.
    pub(super) fn unchanged(&self) -> Condition {
        self.keyring.unchanged(ROOT_KEY)
    }
}

impl Open {
    fn new(root: Arc<Root>) -> Self {
        Self { root: RwLock::new(root), projects: RwLock::default(), pending: Mutex::default() }
    }

    pub(super) fn root(&self) -> Arc<Root> {
        self.root.read().clone()
    }

    /// The keys of a project that is being onboarded. Whoever onboards the same project meanwhile is
    /// given the same keys, so that whichever commits first, all that was sealed for it opens.
    pub(super) fn pend(
        &self,
        project: &ProjectId,
        seen: Option<crate::store::Revision>,
        now: Timestamp,
    ) -> Result<Arc<Material>> {
        let mut pending = self.pending.lock();
        if let Some(known) = pending.get(project).filter(|known| known.keyring.seen == seen) {
            return Ok(known.material.clone());
        }
        if pending.len() >= MAX_PENDING {
            pending.retain(|_, known| now.since(known.since) < PENDING_TIME);
        }
        if pending.len() >= MAX_PENDING {
            return Err(Error::new(
                ErrorKind::TooMany,
                "too_many_onboardings",
                format!("more than {MAX_PENDING} projects are being created at once; try again later"),
            ));
        }
        let material = Arc::new(Material::generate(now, false).map_err(Error::internal)?);
        let keyring = Arc::new(Keyring::new(&material, seen, None).map_err(Error::internal)?);
        self.projects.write().insert(project.clone(), keyring.clone());
        pending.insert(project.clone(), Pending { material: material.clone(), keyring, since: now });
        Ok(material)
    }

    /// Keeps a keyring ready, unless a newer one is.
    fn keep(&self, project: &ProjectId, keyring: Arc<Keyring>) -> Arc<Keyring> {
        let onboarding: Vec<ProjectId> = {
            let mut pending = self.pending.lock();
            if pending.get(project).is_some_and(|known| known.keyring.seen < keyring.seen) {
                pending.remove(project);
            }
            pending.keys().cloned().collect()
        };
        let mut projects = self.projects.write();
        if let Some(newer) = projects.get(project).filter(|ready| ready.seen > keyring.seen) {
            return newer.clone();
        }
        if projects.len() >= MAX_READY {
            projects.retain(|project, _| onboarding.contains(project));
        }
        projects.insert(project.clone(), keyring.clone());
        keyring
    }

    fn forget(&self, project: &ProjectId) {
        self.projects.write().remove(project);
        self.pending.lock().remove(project);
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("projects", &self.projects.read().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("versions", &self.keyring.len()).finish_non_exhaustive()
    }
}

pub(super) fn not_initialized() -> Error {
    Error::new(ErrorKind::Sealed, "not_initialized", "the store holds no installation yet")
        .with_hint("initialise it first: `cms init`")
}
