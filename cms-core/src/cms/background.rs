// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What runs beside requests: the watch that keeps the cache fresh, the platform's own authorization
//! policy, and the regular tending of keys and sessions. Everything here may die at any moment and
//! be started again.

use std::time::Duration;

use super::Cms;
use crate::auth::{Auth, Principal};
use crate::context::RequestContext;
use crate::decisions::sweep;
use crate::documents::record::decode;
use crate::error::{ErrorKind, Result};
use crate::ids::ProjectId;
use crate::keyrings::Keyrings;
use crate::kit::Kit;
use crate::lead::Lead;
use crate::mails::Mails;
use crate::policies::artifacts::Artifacts;
use crate::policies::engine::QueryPath;
use crate::releases::activate::environment_key;
use crate::releases::read_release;
use crate::releases::record::EnvironmentRecord;
use crate::requests::{Requests, apply_due};
use crate::secrets::material::{self, Counted};
use crate::verify::projects;
use crate::webhooks::{Webhooks, deliver_due};

/// The environment of the project `platform` whose release may replace the authorization policy.
const PLATFORM_ENVIRONMENT: &str = "default";
/// How often logged decisions whose time is over are removed.
const SWEEPING: Duration = Duration::from_secs(60 * 60);
/// How often it is looked what is to follow changes.
const FOLLOWING_UP: Duration = Duration::from_secs(1);
/// How often keys and sessions are tended.
const TENDING: Duration = Duration::from_secs(30);

/// Starts everything; returns once the authorization policy is the right one.
pub(super) async fn start(cms: &Cms, artifacts: Artifacts) -> Result<()> {
    let inner = &cms.0;
    let stop = inner.stop.clone();
    let db = inner.kit.db.clone();
    inner.tasks.spawn(async move {
        tokio::select! {
            () = db.follow() => {}
            () = stop.cancelled() => {}
        }
    });
    adopt_policy(&inner.kit, &artifacts).await?;
    let (kit, stop) = (inner.kit.clone(), inner.stop.clone());
    inner.tasks.spawn(async move {
        tokio::select! {
            () = follow_policy(kit, artifacts) => {}
            () = stop.cancelled() => {}
        }
    });
    let (auth, keyrings) = (inner.auth.clone(), inner.keyrings.clone());
    let (kit, stop) = (inner.kit.clone(), inner.stop.clone());
    inner.tasks.spawn(async move {
        tokio::select! {
            () = tend(&auth, &keyrings, &kit) => {}
            () = stop.cancelled() => {
                // What was counted since the last turn is worth one more write.
                let _ = auth.tend().await;
            }
        }
    });
    let (kit, stop) = (inner.kit.clone(), inner.stop.clone());
    inner.tasks.spawn(async move {
        tokio::select! {
            () = sweep_decisions(&kit) => {}
            () = stop.cancelled() => {}
        }
    });
    let (kit, requests) = (inner.kit.clone(), inner.requests.clone());
    let (webhooks, mails, stop) = (inner.webhooks.clone(), inner.mails.clone(), inner.stop.clone());
    inner.tasks.spawn(async move {
        let mut lead = Lead::new(kit.db.clone(), "follow-up");
        tokio::select! {
            () = follow_up(&kit, &requests, (&webhooks, &mails), &mut lead) => {}
            () = stop.cancelled() => {}
        }
        lead.leave().await;
    });
    if inner.kit.barrier.waits_for().is_some() {
        let (kit, keyrings, stop) = (inner.kit.clone(), inner.keyrings.clone(), inner.stop.clone());
        inner.tasks.spawn(async move {
            tokio::select! {
                () = wait_for_seal(&kit, &keyrings) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    if let Some(material) = inner.kit.material.clone() {
        let (kit, stop) = (inner.kit.clone(), inner.stop.clone());
        inner.tasks.spawn(async move {
            let mut lead = Lead::new(kit.db.clone(), "material");
            tokio::select! {
                () = keep_material(&kit, &material, &mut lead) => {}
                () = stop.cancelled() => {}
            }
            lead.leave().await;
        });
    }
    Ok(())
}

/// Unseals the installation as soon as its seal can be asked.
async fn wait_for_seal(kit: &Kit, keyrings: &Keyrings) {
    let ctx = RequestContext::new(Principal::system());
    loop {
        tokio::time::sleep(FOLLOWING_UP).await;
        match keyrings.unseal(&ctx).await {
            Ok(()) => return tracing::info!("the seal can be asked again: unsealed"),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                kit.barrier.wait_for(Some(error.message().to_owned()));
            }
            Err(error) => {
                // Trying again does not help; an operator can unseal it once this is mended.
                tracing::error!(%error, "the installation stays sealed");
                return kit.barrier.wait_for(Some(error.message().to_owned()));
            }
        }
    }
}

/// Removes what is to go from where the values of secrets lie. Apart from the rest: it may be slow to answer.
async fn keep_material(kit: &Kit, material: &Counted, lead: &mut Lead) {
    let mut is_well = true;
    loop {
        tokio::time::sleep(FOLLOWING_UP).await;
        let done = match lead.is_ours().await {
            Ok(true) => material::follow_up(kit, material).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        // Said once for each outage: it is tried every second.
        if let Err(error) = &done
            && is_well
        {
            tracing::warn!(%error, "what is to go from the material of secrets stays for now; trying again");
        }
        is_well = done.is_ok();
    }
}

/// Does what one process alone need do after changes, for as long as this one is it.
async fn follow_up(kit: &Kit, requests: &Requests, (webhooks, mails): (&Webhooks, &Mails), lead: &mut Lead) {
    loop {
        tokio::time::sleep(FOLLOWING_UP).await;
        if kit.barrier.is_sealed() {
            continue;
        }
        let done = match lead.is_ours().await {
            Ok(true) => {
                let (applied, delivered) =
                    tokio::join!(apply_due(kit, requests), deliver_due(kit, &**webhooks.notifier(), mails));
                applied.and(delivered)
            }
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "what is to follow changes could not be done; trying again");
        }
    }
}

async fn sweep_decisions(kit: &Kit) {
    loop {
        tokio::time::sleep(SWEEPING).await;
        match sweep_all(kit).await {
            Ok(0) => {}
            Ok(segments) => tracing::info!(segments, "removed logged decisions whose time is over"),
            Err(error) => tracing::warn!(%error, "logged decisions could not be removed; trying again"),
        }
    }
}

async fn sweep_all(kit: &Kit) -> Result<usize> {
    let mut removed = 0;
    for project in projects(&kit.db).await? {
        removed += sweep(kit, &project).await?;
    }
    Ok(removed)
}

/// Takes over the platform's authorization policy whenever its environment changes.
async fn follow_policy(kit: Kit, artifacts: Artifacts) {
    let mut environments = kit.db.bell(&ProjectId::platform(), "env");
    while environments.changed().await.is_ok() {
        if let Err(error) = adopt_policy(&kit, &artifacts).await {
            tracing::error!(%error, "the platform's authorization policy could not be loaded; the one in force stays");
        }
    }
}

/// Decides by the platform's released `cms.authz` from here on, or by the built-in policy without one.
async fn adopt_policy(kit: &Kit, artifacts: &Artifacts) -> Result<()> {
    let scope = kit.db.internal(&ProjectId::platform());
    let Some(entry) = scope.fresh(&environment_key(PLATFORM_ENVIRONMENT)).await? else { return Ok(()) };
    let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
    let Some(release) = record.release else { return Ok(()) };
    let snapshot = artifacts.snapshot(&scope, &read_release(&scope, &release).await?.set).await?;
    let own = own_package().is_some_and(|path| snapshot.program().defines(&path));
    tracing::info!(own, "adopted an authorization policy");
    kit.authorizer.use_release(own.then_some(snapshot));
    Ok(())
}

/// Where an authorization policy of the platform's own stands. One that does not decide refuses.
fn own_package() -> Option<QueryPath> {
    QueryPath::parse("cms/authz").ok()
}

async fn tend(auth: &Auth, keyrings: &Keyrings, kit: &Kit) {
    loop {
        tokio::time::sleep(TENDING).await;
        if kit.barrier.is_sealed() {
            continue;
        }
        if let Err(error) = auth.tend().await {
            tracing::warn!(%error, "keys and sessions could not be tended");
        }
        match keyrings.rotate_due().await {
            Ok(0) => {}
            Ok(rotated) => tracing::info!(rotated, "rotated data keys that were used enough"),
            Err(error) => tracing::warn!(%error, "data keys that were used enough could not be rotated"),
        }
    }
}
