// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks a project's documents and releases: texts against their hashes, versions against heads,
//! the set against the heads, releases against their ids, environments against releases.

use std::collections::{BTreeMap, BTreeSet};

use super::VerifyReport;
use crate::api::documents::Kind;
use crate::documents::record::{SetRecord, VersionRecord, decode};
use crate::documents::set::{CURRENT_SET, blob_key, hash};
use crate::error::Result;
use crate::releases::activate::{RELEASE_ORDER, release_order_key};
use crate::releases::record::{ActivationRecord, EnvironmentRecord, ReleaseRecord};
use crate::store::{Entry, Scope};

/// Checks one project.
pub(super) async fn verify(scope: &Scope, report: &mut VerifyReport) -> Result<()> {
    let blobs = verify_blobs(scope, report).await?;
    let heads = verify_versions(scope, &blobs, report).await?;
    verify_set(scope, &heads, report).await?;
    let releases = verify_releases(scope, &blobs, report).await?;
    verify_environments(scope, &releases, report).await
}

/// Reads every entry under a relative prefix.
pub(super) async fn entries(scope: &Scope, prefix: &str) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = scope.list(prefix, after.as_deref(), 500, false).await?;
        after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
        all.extend(page.entries);
        if !page.more {
            return Ok(all);
        }
    }
}

async fn verify_blobs(scope: &Scope, report: &mut VerifyReport) -> Result<BTreeSet<String>> {
    let mut hashes = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let page = scope.list("blob/", after.as_deref(), 100, false).await?;
        for entry in &page.entries {
            let name = scope.relative(&entry.key).trim_start_matches("blob/").to_owned();
            if hash(&entry.value) != name {
                report.problem(format!("`{}` does not hold the text that its hash names", entry.key));
            }
            hashes.insert(name);
        }
        after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
        if !page.more {
            return Ok(hashes);
        }
    }
}

/// The heads by kind and name; checks every version on the way.
async fn verify_versions(
    scope: &Scope,
    blobs: &BTreeSet<String>,
    report: &mut VerifyReport,
) -> Result<BTreeMap<(String, String), VersionRecord>> {
    let mut newest: BTreeMap<(String, String), VersionRecord> = BTreeMap::new();
    for entry in entries(scope, "ver/").await? {
        let relative = scope.relative(&entry.key).to_owned();
        let record: VersionRecord = decode(&entry.key, &entry.value)?;
        let Some((kind, name, version)) = split_version(&relative) else {
            report.problem(format!("`{}` is no key of a version", entry.key));
            continue;
        };
        report.documents += 1;
        if record.version != version {
            report.problem(format!("`{}` holds version {}", entry.key, record.version));
        }
        if !record.is_tombstone() && !blobs.contains(&record.hash) {
            report.problem(format!("the text of `{}` is missing", entry.key));
        }
        let expected = newest.get(&(kind.clone(), name.clone())).map_or(1, |before| before.version + 1);
        if record.version != expected {
            report.problem(format!("version {expected} before `{}` is missing", entry.key));
        }
        newest.insert((kind, name), record);
    }
    let mut heads = BTreeMap::new();
    for entry in entries(scope, "doc/").await? {
        let record: VersionRecord = decode(&entry.key, &entry.value)?;
        let relative = scope.relative(&entry.key).trim_start_matches("doc/").to_owned();
        let Some((kind, name)) = relative.split_once('/') else { continue };
        let key = (kind.to_owned(), name.to_owned());
        if newest.get(&key) != Some(&record) {
            report.problem(format!("`{}` is not the newest version of its document", entry.key));
        }
        heads.insert(key, record);
    }
    for (kind, name) in newest.keys().filter(|key| !heads.contains_key(*key)) {
        report.problem(format!("the {kind} `{name}` of `{}` has versions, but no head", scope.project()));
    }
    Ok(heads)
}

fn split_version(relative: &str) -> Option<(String, String, u64)> {
    let (path, version) = relative.strip_prefix("ver/")?.rsplit_once('@')?;
    let (kind, name) = path.split_once('/')?;
    Some((kind.to_owned(), name.to_owned(), version.parse().ok()?))
}

async fn verify_set(
    scope: &Scope,
    heads: &BTreeMap<(String, String), VersionRecord>,
    report: &mut VerifyReport,
) -> Result<()> {
    let set: SetRecord = match scope.fresh(CURRENT_SET).await? {
        Some(entry) => decode(&entry.key, &entry.value)?,
        None => SetRecord::empty(),
    };
    let members = set.members(scope, None).await?;
    let living = heads.values().filter(|head| !head.is_tombstone()).count();
    if members.len() != living || set.len() != living as u64 {
        report.problem(format!(
            "the set of `{}` holds {} documents, but {living} exist",
            scope.project(),
            members.len()
        ));
    }
    for kind in Kind::ALL {
        let counted = members.iter().filter(|member| member.kind == *kind).count() as u64;
        if set.count(*kind) != counted {
            report.problem(format!("the set of `{}` counts its {} wrongly", scope.project(), kind.plural()));
        }
    }
    for member in members {
        let key = (member.kind.as_str().to_owned(), member.name.clone());
        if heads.get(&key).is_none_or(|head| head.version != member.version || head.hash != member.hash) {
            report.problem(format!(
                "the set of `{}` and the {} `{}` disagree",
                scope.project(),
                key.0,
                member.name
            ));
        }
    }
    Ok(())
}

async fn verify_releases(
    scope: &Scope,
    blobs: &BTreeSet<String>,
    report: &mut VerifyReport,
) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let mut ordered = BTreeSet::new();
    for entry in entries(scope, RELEASE_ORDER).await? {
        ordered.insert(scope.relative(&entry.key).to_owned());
    }
    for entry in entries(scope, "rel/").await? {
        let record: ReleaseRecord = decode(&entry.key, &entry.value)?;
        if !ordered.remove(&release_order_key(record.time, &record.id)) {
            report.problem(format!("`{}` is missing in the order of releases", entry.key));
        }
        report.releases += 1;
        if record.set.release_id(scope.project())? != record.id || !entry.key.ends_with(&record.id) {
            report.problem(format!("`{}` does not hold the manifest that its id names", entry.key));
        }
        for hash in record.set.buckets.values() {
            if !blobs.contains(hash) {
                report.problem(format!("`{}` needs `{}`, which is missing", entry.key, blob_key(hash)));
            }
        }
        ids.insert(record.id);
    }
    for key in ordered {
        report.problem(format!("`{key}` of `{}` names no release of that time", scope.project()));
    }
    Ok(ids)
}

async fn verify_environments(
    scope: &Scope,
    releases: &BTreeSet<String>,
    report: &mut VerifyReport,
) -> Result<()> {
    for entry in entries(scope, "env/").await? {
        let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
        if record.release.as_ref().is_some_and(|release| !releases.contains(release)) {
            report.problem(format!("`{}` points at a release that does not exist", entry.key));
        }
        let name = scope.relative(&entry.key).trim_start_matches("env/").to_owned();
        let log = entries(scope, &format!("envlog/{name}@")).await?;
        let last: Option<ActivationRecord> =
            log.last().map(|last| decode(&last.key, &last.value)).transpose()?;
        if log.len() as u64 != record.version
            || last.as_ref().map(|last| &last.release) != record.release.as_ref()
        {
            report.problem(format!("`{}` and its history disagree", entry.key));
        }
    }
    Ok(())
}
