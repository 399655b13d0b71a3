// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An environment's active release as an OPA bundle
//! (<https://www.openpolicyagent.org/docs/management-bundles>).

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::json;

use super::canonical::canonical;
use super::record::{EnvironmentRecord, ReleaseRecord};
use super::signing::SigningKey;
use super::{Releases, read_release};
use crate::api::documents::Kind;
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::documents::record::decode;
use crate::documents::set::{hash, read_text};
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::releases::activate::environment_key;
use crate::store::Scope;

/// The longest wait of a long poll.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How many bytes of bundles are kept.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// A bundle, or that nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The release; it is the manifest's revision.
    pub release: String,
    /// What changes with the bundle: the release, and the key that signed it.
    pub tag: String,
    /// The tar file, compressed with gzip; `None` if the caller has this one.
    pub archive: Option<Bytes>,
}

/// The bundles that were made last, by project and tag. A signature is another one each time: what is
/// kept is the same file for all who fetch it.
#[derive(Debug, Clone)]
pub(super) struct Archives(Arc<Cache<(ProjectId, String), Bytes, BySize>>);

/// Weighs a bundle by its size.
#[derive(Debug, Clone)]
struct BySize;

impl Weighter<(ProjectId, String), Bytes> for BySize {
    fn weight(&self, _: &(ProjectId, String), archive: &Bytes) -> u64 {
        archive.len() as u64
    }
}

impl Archives {
    pub(super) fn new() -> Self {
        Self(Arc::new(Cache::with_weighter(64, KEPT_BYTES, BySize)))
    }
}

impl Releases {
    /// Exports the active release, signed by the project's key if that is wanted. With `have`, the tag of
    /// what the caller holds, it waits up to `wait` for another one.
    ///
    /// # Errors
    /// `NotFound` if there is no such environment, or nothing was ever activated there.
    pub async fn bundle(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &EnvironmentId,
        have: Option<&str>,
        wait: Duration,
        signed: bool,
    ) -> Result<Bundle> {
        let target = Target::new(project, "bundle").environment(Some(name)).named(name.as_str());
        let proof = self.kit.authorize(ctx, Action::BundleRead, target).await?;
        let scope = self.kit.scope(&proof);
        let deadline = tokio::time::Instant::now() + wait.min(MAX_WAIT);
        let (mut environments, mut keys_rotate) =
            (self.kit.db.bell(project, "env"), self.kit.db.bell(project, "sign"));
        loop {
            let release = active_release(&scope, name).await?;
            let keys = if signed { Some(self.signing_keys(project).await?) } else { None };
            let key = keys.as_ref().map(|keys| keys.current(self.kit.now())).transpose()?;
            let tag = key.map_or_else(|| release.clone(), |key| format!("{release}.{}", key.kid()));
            if have != Some(tag.as_str()) {
                let archive = Some(self.archive(&scope, &release, &tag, key).await?);
                return Ok(Bundle { release, tag, archive });
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(Bundle { release, tag, archive: None }),
                _ = environments.changed() => {}
                _ = keys_rotate.changed() => {}
            }
        }
    }

    /// The tar file of a release: from memory, or made now.
    async fn archive(
        &self,
        scope: &Scope,
        release: &str,
        tag: &str,
        key: Option<&SigningKey>,
    ) -> Result<Bytes> {
        let place = (scope.project().clone(), tag.to_owned());
        // Many wait for the same release: one of them makes it.
        let made = async {
            let mut files = files(scope, &read_release(scope, release).await?).await?;
            if let Some(key) = key {
                files.insert(0, (String::from(".signatures.json"), signatures(&files, key)?));
            }
            let made = tokio::task::spawn_blocking(move || compress(&files)).await;
            made.map_err(Error::internal)?.map_err(Error::internal)
        };
        self.archives.0.get_or_insert_async(&place, made).await
    }
}

async fn active_release(scope: &Scope, name: &EnvironmentId) -> Result<String> {
    let cached = scope.cached(&environment_key(name.as_str())).await?;
    let Some(entry) = cached.entry() else { return Err(Error::not_found(format!("environment `{name}`"))) };
    let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
    record.release.ok_or_else(|| Error::not_found(format!("an active release of `{name}`")))
}

/// A file of a bundle: its path and its text.
type File = (String, Bytes);

/// What a bundle of a release holds, signatures aside.
async fn files(scope: &Scope, record: &ReleaseRecord) -> Result<Vec<File>> {
    let mut files = vec![(String::from(".manifest"), manifest(&record.id))];
    for member in record.set.members(scope, None).await? {
        let text = read_text(scope, &member.hash).await?;
        match member.kind {
            Kind::Policy => files.push((format!("{}.rego", member.name), text)),
            Kind::Data => files.push((format!("{}/data.json", member.name), text)),
            Kind::Config | Kind::Schema | Kind::Template | Kind::Variable => {}
        }
    }
    Ok(files)
}

/// The signature of a bundle: a JWT over the hashes of its files. JSON is hashed in a form of its own, so
/// that the signature does not depend on white space.
fn signatures(files: &[File], key: &SigningKey) -> Result<Bytes> {
    let hashed = |(path, text): &File| {
        let is_policy = path.ends_with(".rego");
        let hash = if is_policy { hash(text) } else { hash(&canonical(text).map_err(Error::internal)?) };
        Ok(json!({"name": path, "hash": hash, "algorithm": "SHA-256"}))
    };
    let hashes = files.iter().map(hashed).collect::<Result<Vec<_>>>()?;
    let payload = json!({"files": hashes, "keyid": key.kid()}).to_string();
    Ok(Bytes::from(json!({"signatures": [key.sign(payload.as_bytes())?]}).to_string()))
}

fn manifest(release: &str) -> Bytes {
    Bytes::from(json!({"revision": release, "roots": [""], "rego_version": 1}).to_string())
}

/// Writes the tar file: the same files give the same bytes.
fn compress(files: &[File]) -> std::io::Result<Bytes> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, path, text.as_ref())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    Ok(Bytes::from(gzip.finish()?))
}
