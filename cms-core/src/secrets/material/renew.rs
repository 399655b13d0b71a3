// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Values in the material when a project's data key is rotated: each is laid down anew, sealed with the new key,
//! before the old key goes.

use std::collections::BTreeMap;

use super::{abandon, discard, lay, missing};
use crate::audit::NewRecord;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::kit::Kit;
use crate::secrets::list::name_of;
use crate::secrets::record::{HEADS, Head, VersionRecord, value_key};
use crate::secrets::write::replace_head;
use crate::store::{Entry, Outcome, Scope, Transaction};

/// How often a head is tried when others change it.
const ATTEMPTS: u32 = 16;
const PAGE: usize = 100;

/// Lays everything anew that keys older than `oldest` have sealed; answers how many values.
///
/// # Errors
/// `Unavailable` if the material does not answer: the older keys must stay then.
pub(crate) async fn renew(
    kit: &Kit,
    ctx: &RequestContext,
    record: NewRecord,
    scope: &Scope,
    oldest: u32,
) -> Result<u64> {
    let mut renewed = 0;
    let mut after: Option<String> = None;
    loop {
        let page = scope.list(HEADS, after.as_deref(), PAGE, false).await?;
        for entry in &page.entries {
            renewed += renew_head(kit, ctx, &record, scope, entry.clone(), oldest).await?;
        }
        after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
        if !page.more {
            return Ok(renewed);
        }
    }
}

/// Adds how many values in the material each version of the data key has sealed.
pub(crate) async fn count(kit: &Kit, scope: &Scope, found: &mut BTreeMap<u32, u64>) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = scope.list(HEADS, after.as_deref(), PAGE, false).await?;
        for entry in &page.entries {
            let head = opened(kit, scope, entry).await?;
            for laid in head.versions.iter().filter_map(|version| version.laid.as_ref()) {
                *found.entry(laid.key).or_default() += 1;
            }
        }
        after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
        if !page.more {
            return Ok(());
        }
    }
}

async fn renew_head(
    kit: &Kit,
    ctx: &RequestContext,
    record: &NewRecord,
    scope: &Scope,
    mut entry: Entry,
    oldest: u32,
) -> Result<u64> {
    for _ in 0..ATTEMPTS {
        let path = name_of(scope, &entry).to_owned();
        let mut head = opened(kit, scope, &entry).await?;
        let (mut change, mut laid) = (Transaction::new(), Vec::new());
        for version in &mut head.versions {
            if version.laid.as_ref().is_some_and(|laid| laid.key < oldest) {
                change = change.and(renew_version(kit, scope, &path, version).await?);
                laid.extend(version.laid.clone());
            }
        }
        let count = laid.len();
        if count == 0 {
            return Ok(0);
        }
        let change = replace_head(kit, scope, &path, Some(&entry), &head).await?.and(change);
        let record = record.clone().reason(Some(format!("sealed {count} values anew")));
        if let Outcome::Committed { .. } = kit.commit_quietly(ctx, &[record], change).await? {
            return Ok(count as u64);
        }
        abandon(kit, scope.project(), &laid).await;
        match kit.db.fresh(&entry.key).await? {
            Some(now) => entry = now,
            None => return Ok(0),
        }
    }
    Err(Error::conflict("too_many_writers", "others keep changing the secrets of this project; try again"))
}

async fn renew_version(
    kit: &Kit,
    scope: &Scope,
    path: &str,
    version: &mut VersionRecord,
) -> Result<Transaction> {
    let (project, number) = (scope.project(), version.version);
    let key = scope.key(&value_key(path, number));
    let (Some(material), Some(laid)) = (&kit.material, &version.laid) else { return Err(missing()) };
    let value = material.get(project, &laid.id).await?;
    let value = value.ok_or_else(|| Error::internal(format!("the value at `{key}` is missing")))?;
    let opened = kit.barrier.open(project, &key, number, &value).await?;
    let sealed = kit.barrier.seal(project, &key, number, opened.expose()).await?;
    let gone = discard(kit, scope, path, version)?;
    let (laid, change) = lay(kit, project, key, sealed).await?;
    version.laid = laid;
    Ok(change.and(gone))
}

async fn opened(kit: &Kit, scope: &Scope, entry: &Entry) -> Result<Head> {
    Head::open(&kit.barrier.opener(scope.project(), &entry.value).await?, entry)
}
