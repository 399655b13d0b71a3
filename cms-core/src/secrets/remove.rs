// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deleting, bringing back and destroying versions of secrets.

use super::limits::{MAX_KEPT_VERSIONS, invalid};
use super::material::discard;
use super::record::{Head, value_key};
use super::write::{Expectation, contended, pause, replace_head};
use super::{Secrets, not_found};
use crate::api::secrets::{ChangedVersions, SecretState};
use crate::audit::NewRecord;
use crate::auth::Authorized;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::expected::Expected;
use crate::ids::Name;
use crate::store::Transaction;

const ATTEMPTS: u32 = 16;

/// What happens to versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// They cannot be read until they are brought back.
    Delete,
    /// They can be read again.
    Undelete,
    /// Their values go for good.
    Destroy,
}

impl Secrets {
    pub(super) async fn remove(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        path: &Name,
        removal: Removal,
        versions: Option<Vec<u64>>,
        expected: Expected,
    ) -> Result<ChangedVersions> {
        if let Some(changed) = ctx.given()? {
            return Ok(changed);
        }
        check_versions(versions.as_deref())?;
        let expectation = Expectation::new(None, expected)?;
        let scope = self.kit.scope(proof);
        let _turn = self.queues.turn(&scope.key(path.as_str())).await;
        for attempt in 0..ATTEMPTS {
            let present = self.present(&scope, path).await?;
            expectation.check(path, present.head.as_ref().map_or(0, Head::current))?;
            let mut head = present.head.ok_or_else(|| not_found(path))?;
            let chosen = choose(&head, path, removal, versions.as_deref())?;
            let changed = apply(&mut head, path, removal, &chosen, self.kit.now())?;
            let answer = answer(&head, path, &chosen)?;
            if changed.is_empty() {
                return Ok(answer);
            }
            let mut gone = Transaction::new();
            for version in head.versions.iter_mut().filter(|version| changed.contains(&version.version)) {
                if removal == Removal::Destroy {
                    let key = scope.key(&value_key(path.as_str(), version.version));
                    gone = gone.and(discard(&self.kit, &scope, path.as_str(), version)?).erasing(key);
                    version.laid = None;
                }
            }
            let read = present.entry.as_ref();
            let change = replace_head(&self.kit, &scope, path.as_str(), read, &head).await?.and(gone);
            ctx.offer(&answer)?;
            if self.commit(ctx, &scope, record(proof, removal, &changed), change).await? {
                return Ok(answer);
            }
            pause(attempt).await;
        }
        Err(contended(path))
    }
}

fn check_versions(versions: Option<&[u64]>) -> Result<()> {
    match versions {
        Some([]) => Err(invalid("no_versions", "/versions", "name at least one version")),
        Some(versions) if versions.len() > MAX_KEPT_VERSIONS => {
            let text = format!("name at most {MAX_KEPT_VERSIONS} versions; no more are kept");
            Err(invalid("too_many_versions", "/versions", text))
        }
        _ => Ok(()),
    }
}

fn choose(head: &Head, path: &Name, removal: Removal, versions: Option<&[u64]>) -> Result<Vec<u64>> {
    match versions {
        Some(versions) => {
            let mut chosen = versions.to_vec();
            chosen.sort_unstable();
            chosen.dedup();
            Ok(chosen)
        }
        // What is not there any more cannot be deleted: the second DELETE is a 404.
        None if removal == Removal::Delete => Ok(vec![head.live(path, None)?.version]),
        None => Ok(vec![head.current()]),
    }
}

/// Changes the head; answers the versions whose state has changed.
fn apply(head: &mut Head, path: &Name, removal: Removal, chosen: &[u64], now: Timestamp) -> Result<Vec<u64>> {
    let mut changed = Vec::new();
    for number in chosen {
        head.version(path, Some(*number))?;
        let Some(version) = head.versions.iter_mut().find(|kept| kept.version == *number) else { continue };
        match (removal, version.state()) {
            (Removal::Delete, SecretState::Live) => version.deleted = Some(now),
            (Removal::Undelete, SecretState::Deleted) => version.deleted = None,
            (Removal::Destroy, SecretState::Live | SecretState::Deleted) => version.destroyed = Some(now),
            (Removal::Undelete, SecretState::Destroyed) => {
                let text = format!(
                    "version {number} of the secret `{path}` is destroyed; its value is gone for good"
                );
                return Err(Error::conflict("version_destroyed", text));
            }
            (Removal::Delete, SecretState::Deleted | SecretState::Destroyed)
            | (Removal::Undelete, SecretState::Live)
            | (Removal::Destroy, SecretState::Destroyed) => continue,
        }
        changed.push(*number);
    }
    Ok(changed)
}

fn answer(head: &Head, path: &Name, chosen: &[u64]) -> Result<ChangedVersions> {
    let versions = chosen.iter().map(|number| Ok(head.version(path, Some(*number))?.to_wire()));
    Ok(ChangedVersions {
        path: path.to_string(),
        version: head.current(),
        versions: versions.collect::<Result<_>>()?,
    })
}

fn record(proof: &Authorized, removal: Removal, changed: &[u64]) -> NewRecord {
    let what = match removal {
        Removal::Delete => "deleted",
        Removal::Undelete => "brought back",
        Removal::Destroy => "destroyed",
    };
    let numbers: Vec<String> = changed.iter().map(u64::to_string).collect();
    let mut record = NewRecord::of(proof).reason(Some(format!("{what} version {}", numbers.join(", "))));
    record.version = changed.last().copied();
    record
}
