// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Creating, rotating, rewrapping and destroying keys. Everything here answers a transaction and
//! leaves the commit, with its record, to a service; until then nothing in the store has changed,
//! and a crash between two steps leaves every value readable.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::aead::Binding;
use super::barrier::{Barrier, Root};
use super::keyring::{
    MAX_VERSIONS, ProjectRecord, ProjectState, ROOT_KEY, RootRecord, encode_record, project_key,
};
use super::material::Material;
use super::seal::Seal;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Condition, Entry, Range, Transaction};

/// A change of a keyring, ready to be committed.
#[derive(Debug, Clone)]
pub struct KeyChange {
    /// The change; its conditions fail if somebody else changed the keyring meanwhile.
    pub transaction: Transaction,
    /// The version of the key that is current afterwards.
    pub version: u32,
}

impl Barrier {
    /// The part of the first transaction that gives the installation its root key, its installation
    /// secret and the data key of the project `platform`. The keys are in use in this process from
    /// here on, so that the same transaction can hold sealed values; call [`Barrier::unseal`] after
    /// the commit, and [`Barrier::seal_up`] if it failed.
    ///
    /// # Errors
    /// `Conflict` with the code `already_initialized` if the store holds an installation.
    pub async fn initialize(&self) -> Result<Transaction> {
        if self.is_initialized().await? {
            return Err(already_initialized());
        }
        let material = Material::generate(self.now(), true).map_err(Error::internal)?;
        let put = self.wrap_root(1, &material).await?;
        let open = self.begin(Root::new(material, None, None)?);
        let platform = ProjectId::platform();
        let keys = open.pend(&platform, None, self.now())?;
        let record = open.root().wrap_project(&platform, 1, &keys)?;
        let key = project_key(platform.as_str());
        Ok(Transaction::new()
            .when(Condition::Absent(ROOT_KEY.to_owned()))
            .when(Condition::Absent(key.clone()))
            .put(ROOT_KEY, put)
            .put(key, record))
    }

    /// The part of an onboarding transaction that gives a project its data key. The key is in use in
    /// this process from here on, so that the same transaction can hold sealed values.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed, `Conflict` if the project has a key already.
    pub async fn create_project_key(&self, project: &ProjectId) -> Result<Transaction> {
        let open = self.opened()?;
        let root = self.fresh_root(&open).await?;
        let key = project_key(project.as_str());
        let entry = self.inner().db.fresh(&key).await?;
        if let Some(entry) = &entry
            && matches!(ProjectRecord::parse(entry)?.state, ProjectState::Active { .. })
        {
            return Err(Error::conflict("project_exists", format!("the project `{project}` exists already")));
        }
        let keys = open.pend(project, entry.as_ref().map(|entry| entry.modified), self.now())?;
        let record = root.wrap_project(project, 1, &keys)?;
        Ok(Transaction::new()
            .when(Condition::as_read(&key, entry.as_ref()))
            .when(root.unchanged())
            .put(key, record))
    }

    /// The part of an offboarding transaction that destroys a project's data key: what it sealed can
    /// never be opened again, wherever copies of it are. The wrapped key leaves the history as well.
    pub fn destroy_project_key(&self, project: &ProjectId) -> Transaction {
        let record = ProjectRecord::destroyed(self.now());
        // A record of two plain fields always encodes; an empty value would destroy the key as well.
        let value = encode_record(&record).unwrap_or_default();
        let key = project_key(project.as_str());
        Transaction::new().put(key.clone(), value).erasing(key)
    }

    /// Gives a project a new data key. Older versions stay for reading until they are retired.
    ///
    /// # Errors
    /// `Sealed`, or `NotFound` if the project has no key.
    pub async fn rotate_project_key(&self, project: &ProjectId) -> Result<KeyChange> {
        let open = self.opened()?;
        let root = self.fresh_root(&open).await?;
        let (entry, record) = self.project_record(project).await?;
        let mut keys = self.unwrap_project(&open, project, &record).await?;
        refuse_too_many(&keys, &format!("the project `{project}`"))?;
        let version = keys.rotate(self.now()).map_err(Error::internal)?;
        let transaction = replace_project(&root, project, &entry, record.generation + 1, &keys)?;
        Ok(KeyChange { transaction, version })
    }

    /// Drops the versions of a project's data key that are older than `oldest`, and never the current
    /// one; `None` if there are none. What they sealed must have been sealed anew before: a value that
    /// was sealed with an older version cannot reach the store once the newer one is there.
    ///
    /// # Errors
    /// `Sealed`, or `NotFound` if the project has no key.
    pub async fn retire_project_keys(&self, project: &ProjectId, oldest: u32) -> Result<Option<Transaction>> {
        let open = self.opened()?;
        let root = self.fresh_root(&open).await?;
        let (entry, record) = self.project_record(project).await?;
        let mut keys = self.unwrap_project(&open, project, &record).await?;
        let (current, before) = (keys.current(), keys.keys.len());
        keys.keys.retain(|key| key.number >= oldest || key.number == current);
        if keys.keys.len() == before {
            return Ok(None);
        }
        replace_project(&root, project, &entry, record.generation + 1, &keys).map(Some)
    }

    /// The versions of a project's data key, as the store has them now; the last one seals.
    ///
    /// # Errors
    /// `Sealed`, or `NotFound` if the project has no key.
    pub async fn project_key_versions(&self, project: &ProjectId) -> Result<Vec<u32>> {
        let open = self.opened()?;
        let (_, record) = self.project_record(project).await?;
        let keys = self.unwrap_project(&open, project, &record).await?;
        Ok(keys.keys.iter().map(|key| key.number).collect())
    }

    /// Gives the installation a new root key. Keyrings that an older one wrapped stay readable until
    /// they are rewrapped ([`Barrier::rewrap_project_keys`]) and the older one is retired.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed or the seal does not answer.
    pub async fn rotate_root_key(&self) -> Result<KeyChange> {
        self.opened()?;
        let (entry, generation, mut keys) = self.root_material().await?;
        refuse_too_many(&keys, "the installation")?;
        let version = keys.rotate(self.now()).map_err(Error::internal)?;
        let put = self.wrap_root(generation + 1, &keys).await?;
        Ok(KeyChange { transaction: replace_root(&entry, put), version })
    }

    /// Wraps a project's keyring with the current root key; `None` if it is already.
    ///
    /// # Errors
    /// `Sealed` if the installation is sealed.
    pub async fn rewrap_project_keys(&self, project: &ProjectId) -> Result<Option<Transaction>> {
        let open = self.opened()?;
        let root = self.fresh_root(&open).await?;
        let (entry, record) = self.project_record(project).await?;
        match record.state {
            ProjectState::Destroyed { .. } => return Ok(None),
            ProjectState::Active { root: number, .. } if number == root.keyring.current().number => {
                return Ok(None);
            }
            ProjectState::Active { .. } => {}
        }
        let keys = self.unwrap_project(&open, project, &record).await?;
        replace_project(&root, project, &entry, record.generation + 1, &keys).map(Some)
    }

    /// Drops every root key but the current one; `None` if there is no other.
    ///
    /// # Errors
    /// `Conflict` with the code `root_key_in_use` if a keyring is still wrapped by an older one.
    pub async fn retire_root_keys(&self) -> Result<Option<Transaction>> {
        self.opened()?;
        let (entry, generation, mut keys) = self.root_material().await?;
        let current = keys.current();
        // Read after the root keyring: whoever wraps with an older key from now on fails on the
        // condition that the root keyring is unchanged.
        let in_use = self.root_keys_in_use().await?;
        if in_use.iter().any(|number| *number != current) {
            return Err(Error::conflict(
                "root_key_in_use",
                "keyrings of projects are still wrapped by an older root key; rewrap them first",
            ));
        }
        if keys.keys.len() == 1 {
            return Ok(None);
        }
        keys.keys.retain(|key| key.number == current);
        let put = self.wrap_root(generation + 1, &keys).await?;
        Ok(Some(replace_root(&entry, put)))
    }

    /// Wraps the root keyring with another seal. Call [`Barrier::adopt_seal`] after the commit.
    ///
    /// # Errors
    /// What either seal answers.
    pub async fn reseal(&self, seal: &Arc<dyn Seal>) -> Result<Transaction> {
        self.opened()?;
        let (entry, generation, keys) = self.root_material().await?;
        let put = wrap_root_with(&**seal, generation + 1, &keys).await?;
        Ok(replace_root(&entry, put))
    }

    /// Uses another seal from now on, see [`Barrier::reseal`].
    pub fn adopt_seal(&self, seal: Arc<dyn Seal>) {
        *self.inner().seal.write() = seal;
    }

    /// Every project that has, or had, a keyring.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn keyring_projects(&self) -> Result<Vec<ProjectId>> {
        let entries = self.keyring_entries().await?;
        entries.iter().map(|entry| ProjectId::parse(entry.key.trim_start_matches(PREFIX))).collect()
    }

    async fn root_keys_in_use(&self) -> Result<BTreeSet<u32>> {
        let mut in_use = BTreeSet::new();
        for entry in self.keyring_entries().await? {
            if let ProjectState::Active { root, .. } = ProjectRecord::parse(&entry)?.state {
                in_use.insert(root);
            }
        }
        Ok(in_use)
    }

    async fn keyring_entries(&self) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let mut range = Range::prefix(PREFIX);
            if let Some(last) = entries.last() {
                range = range.after(&last.key);
            }
            let page = self.inner().db.range(range).await?;
            entries.extend(page.entries);
            if !page.more {
                return Ok(entries);
            }
        }
    }

    async fn project_record(&self, project: &ProjectId) -> Result<(Entry, ProjectRecord)> {
        let entry = self.inner().db.fresh(&project_key(project.as_str())).await?;
        let entry = entry.ok_or_else(|| Error::not_found(format!("project `{project}`")))?;
        let record = ProjectRecord::parse(&entry)?;
        Ok((entry, record))
    }

    async fn root_material(&self) -> Result<(Entry, u64, Material)> {
        let entry = self.inner().db.fresh(ROOT_KEY).await?.ok_or_else(super::barrier::not_initialized)?;
        let (generation, keys) = self.unwrap_root(&entry).await?;
        Ok((entry, generation, keys))
    }

    async fn wrap_root(&self, generation: u64, keys: &Material) -> Result<Vec<u8>> {
        let seal = self.inner().seal.read().clone();
        wrap_root_with(&*seal, generation, keys).await
    }
}

const PREFIX: &str = "keys/";

impl Root {
    fn wrap_project(&self, project: &ProjectId, generation: u64, keys: &Material) -> Result<Vec<u8>> {
        let key = project_key(project.as_str());
        let binding = Binding { project: project.as_str(), key: &key, version: generation };
        let root = self.keyring.current();
        let wrapped = root.key.seal(root.number, binding, keys.encode().expose()).map_err(Error::internal)?;
        encode_record(&ProjectRecord::active(generation, root.number, &wrapped))
    }
}

async fn wrap_root_with(seal: &dyn Seal, generation: u64, keys: &Material) -> Result<Vec<u8>> {
    let wrapped = seal.wrap(keys.encode().expose(), &RootRecord::context(generation)).await?;
    encode_record(&RootRecord::new(generation, seal.name(), &wrapped))
}

fn replace_root(entry: &Entry, put: Vec<u8>) -> Transaction {
    Transaction::new().when(Condition::as_read(ROOT_KEY, Some(entry))).put(ROOT_KEY, put)
}

fn replace_project(
    root: &Root,
    project: &ProjectId,
    entry: &Entry,
    generation: u64,
    keys: &Material,
) -> Result<Transaction> {
    Ok(Transaction::new()
        .when(Condition::as_read(&entry.key, Some(entry)))
        .when(root.unchanged())
        .put(entry.key.clone(), root.wrap_project(project, generation, keys)?))
}

fn refuse_too_many(keys: &Material, whose: &str) -> Result<()> {
    if keys.keys.len() < MAX_VERSIONS {
        return Ok(());
    }
    Err(Error::conflict(
        "too_many_key_versions",
        format!("{whose} has {MAX_VERSIONS} versions of its key already"),
    ))
}

fn already_initialized() -> Error {
    Error::conflict("already_initialized", "the store holds an installation already")
}
