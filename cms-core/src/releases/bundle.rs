// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An environment's active release as an OPA bundle
//! (<https://www.openpolicyagent.org/docs/management-bundles>).

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::record::{EnvironmentRecord, ReleaseRecord};
use super::{Releases, read_release};
use crate::api::documents::Kind;
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::documents::record::decode;
use crate::documents::set::read_text;
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::releases::activate::environment_key;
use crate::store::Scope;

/// The longest wait of a long poll.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A bundle, or that nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The release; it is the ETag and the manifest's revision.
    pub release: String,
    /// The tar file, compressed with gzip; `None` if the caller has this release.
    pub archive: Option<Bytes>,
}

impl Releases {
    /// Exports the active release. With `have`, the release that the caller holds, it waits up to
    /// `wait` for another one.
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
    ) -> Result<Bundle> {
        let target = Target::new(project, "bundle").environment(Some(name)).named(name.as_str());
        let proof = self.kit.authorize(ctx, Action::BundleRead, target).await?;
        let scope = self.kit.scope(&proof);
        let deadline = tokio::time::Instant::now() + wait.min(MAX_WAIT);
        let mut changes = self.kit.db.subscribe();
        let key = scope.key(&environment_key(name.as_str()));
        loop {
            let release = active_release(&scope, name).await?;
            if have != Some(release.as_str()) {
                let record = read_release(&scope, &release).await?;
                return Ok(Bundle { release, archive: Some(archive(&scope, &record).await?) });
            }
            loop {
                match tokio::time::timeout_at(deadline, changes.recv()).await {
                    Err(_) => return Ok(Bundle { release, archive: None }),
                    Ok(Ok(change)) if change.key != key => {}
                    Ok(Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_))) => break,
                    Ok(Err(tokio::sync::broadcast::error::RecvError::Closed)) => {
                        return Ok(Bundle { release, archive: None });
                    }
                }
            }
        }
    }
}

async fn active_release(scope: &Scope, name: &EnvironmentId) -> Result<String> {
    let cached = scope.cached(&environment_key(name.as_str())).await?;
    let Some(entry) = cached.entry() else { return Err(Error::not_found(format!("environment `{name}`"))) };
    let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
    record.release.ok_or_else(|| Error::not_found(format!("an active release of `{name}`")))
}

/// Writes the tar file: the same release gives the same bytes.
async fn archive(scope: &Scope, record: &ReleaseRecord) -> Result<Bytes> {
    let mut files = vec![(String::from(".manifest"), manifest(&record.id))];
    for member in record.set.members(scope, None).await? {
        let text = read_text(scope, &member.hash).await?;
        match member.kind {
            Kind::Policy => files.push((format!("{}.rego", member.name), text)),
            Kind::Data => files.push((format!("{}/data.json", member.name), text)),
            Kind::Config | Kind::Schema | Kind::Template => {}
        }
    }
    tokio::task::spawn_blocking(move || compress(&files))
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)
}

fn manifest(release: &str) -> Bytes {
    Bytes::from(json!({"revision": release, "roots": [""], "rego_version": 1}).to_string())
}

fn compress(files: &[(String, Bytes)]) -> std::io::Result<Bytes> {
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
