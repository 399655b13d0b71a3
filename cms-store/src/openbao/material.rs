// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealed values as entries of a KV engine, version 2.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use cms_core::ids::ProjectId;
use cms_core::secrets::material::Material;
use cms_core::{Error, Result};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use vaultrs::api::kv2::requests::SetSecretRequestOptions;
use vaultrs::client::VaultClient;
use vaultrs::{kv2, token};

use super::OpenBao;
use super::config::is_path;
use super::error::Trouble;

/// For how long an answer about the health counts.
const LOOK: Duration = Duration::from_secs(1);
const CODE: &str = "material_unavailable";

/// Keeps the values of secrets in OpenBao.
#[derive(Debug)]
pub struct OpenBaoMaterial {
    bao: OpenBao,
    mount: String,
    prefix: String,
    health: tokio::sync::Mutex<Option<(Instant, Result<(), String>)>>,
}

/// What an entry holds.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    sealed: String,
}

impl OpenBaoMaterial {
    /// Keeps values under `{mount}/{prefix}/{project}/`, where `mount` is a KV engine of version 2.
    ///
    /// # Errors
    /// `Invalid` if mount or prefix cannot be one.
    pub fn new(bao: OpenBao, mount: &str, prefix: &str) -> Result<Self> {
        for path in [mount, prefix] {
            if !is_path(path) {
                return Err(Error::invalid(format!(
                    "`{path}` is no path at OpenBao: write it as `cms` or `team/cms`"
                )));
            }
        }
        let (mount, prefix) = (mount.to_owned(), prefix.to_owned());
        Ok(Self { bao, mount, prefix, health: tokio::sync::Mutex::default() })
    }

    fn path(&self, project: &ProjectId, id: &str) -> String {
        format!("{}/{project}/{id}", self.prefix)
    }
}

#[async_trait]
impl Material for OpenBaoMaterial {
    fn name(&self) -> &'static str {
        "openbao"
    }

    fn ready(&self) -> Result<()> {
        self.bao.check().map_err(unavailable)
    }

    async fn put(&self, project: &ProjectId, id: &str, value: Bytes) -> Result<()> {
        let (path, entry) = (self.path(project, id), Entry { sealed: BASE64.encode(&value) });
        let put = |client: Arc<VaultClient>| {
            let (mount, path, entry) = (&self.mount, &path, &entry);
            async move {
                kv2::set_with_options(&*client, mount, path, entry, SetSecretRequestOptions { cas: 0 }).await
            }
        };
        self.bao.call(put).await.map_err(unavailable)?;
        Ok(())
    }

    async fn get(&self, project: &ProjectId, id: &str) -> Result<Option<Bytes>> {
        let path = self.path(project, id);
        let get = |client: Arc<VaultClient>| {
            let (mount, path) = (&self.mount, &path);
            async move { kv2::read::<Entry>(&*client, mount, path).await }
        };
        match self.bao.call(get).await {
            Ok(entry) => {
                let damaged = |_| Error::internal("an entry at OpenBao is not what CMS has written");
                BASE64.decode(entry.sealed.as_bytes()).map(|bytes| Some(bytes.into())).map_err(damaged)
            }
            Err(Trouble::Absent) => Ok(None),
            Err(trouble) => Err(unavailable(trouble)),
        }
    }

    async fn destroy(&self, project: &ProjectId, id: &str) -> Result<()> {
        let path = self.path(project, id);
        let destroy = |client: Arc<VaultClient>| {
            let (mount, path) = (&self.mount, &path);
            async move { kv2::delete_metadata(&*client, mount, path).await }
        };
        match self.bao.call(destroy).await {
            Ok(()) | Err(Trouble::Absent) => Ok(()),
            Err(trouble) => Err(unavailable(trouble)),
        }
    }

    async fn list(&self, project: &ProjectId) -> Result<Vec<String>> {
        let path = format!("{}/{project}", self.prefix);
        let list = |client: Arc<VaultClient>| {
            let (mount, path) = (&self.mount, &path);
            async move { kv2::list(&*client, mount, path).await }
        };
        match self.bao.call(list).await {
            // A folder is nothing that CMS makes here.
            Ok(ids) => Ok(ids.into_iter().filter(|id| !id.ends_with('/')).collect()),
            Err(Trouble::Absent) => Ok(Vec::new()),
            Err(trouble) => Err(unavailable(trouble)),
        }
    }

    async fn health(&self) -> Result<(), String> {
        let mut known = self.health.lock().await;
        if let Some((at, health)) = &*known
            && at.elapsed() < LOOK
        {
            return health.clone();
        }
        let asked = self.bao.call(|client| async move { token::lookup_self(&*client).await }).await;
        let health = asked.map(|_| ()).map_err(|trouble| format!("OpenBao {trouble}"));
        *known = Some((Instant::now(), health.clone()));
        health
    }
}

fn unavailable(trouble: Trouble) -> Error {
    trouble.unavailable(CODE)
}
