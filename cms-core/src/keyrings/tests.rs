// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealing, unsealing and rotation as operators see them, on a whole installation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::RequestContext;
use crate::api::PageQuery;
use crate::api::audit::AuditQuery;
use crate::auth::{Principal, PrincipalKind, Role};
use crate::clock::{ManualClock, Timestamp};
use crate::cms::Cms;
use crate::crypto::DevSeal;
use crate::error::ErrorKind;
use crate::ids::{ProjectId, UserId};
use crate::store::{MemoryStore, Store};

struct Installation {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    cms: Cms,
    ctx: RequestContext,
}

impl Installation {
    async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let builder = Cms::builder(store.clone(), Arc::new(DevSeal)).clock(clock.clone());
        let (cms, _) = builder.initialize().await.unwrap();
        Self { store, clock, cms, ctx: RequestContext::new(Principal::root()) }
    }

    async fn reasons(&self) -> Vec<String> {
        let query = AuditQuery { action: Some("system:write".into()), ..AuditQuery::default() };
        let page = self.cms.audit().list(&self.ctx, &query).await.unwrap();
        page.items.into_iter().rev().filter_map(|record| record.reason).collect()
    }
}

#[tokio::test]
async fn every_rotation_is_on_the_trail_and_everything_still_verifies() {
    let installation = Installation::new().await;
    let (cms, ctx, platform) = (&installation.cms, &installation.ctx, ProjectId::platform());
    let rotated = cms.keyrings().rotate_project(ctx, &platform).await.unwrap();
    assert_eq!((rotated.project.as_str(), rotated.version), ("platform", 2));
    let steps = AtomicU64::new(0);
    let root = cms
        .keyrings()
        .rotate_root(ctx, &|done, of| {
            assert!(done <= of);
            steps.fetch_add(1, Ordering::SeqCst);
        })
        .await
        .unwrap();
    assert_eq!((root.version, root.rewrapped, root.retired), (2, 1, true));
    assert_eq!(steps.load(Ordering::SeqCst), 1);
    assert_eq!(
        installation.reasons().await,
        [
            "rotated the data key",
            "rotated the root key",
            "wrapped the keyring of the project `platform` anew",
            "retired the older root keys",
        ]
    );
    assert!(cms.verify(ctx, &|_| ()).await.unwrap().ok);
    let again = Cms::builder(installation.store.clone(), Arc::new(DevSeal)).build().await.unwrap();
    assert!(again.verify(ctx, &|_| ()).await.unwrap().ok);
}

#[tokio::test]
async fn sealing_stops_everything_that_needs_a_key_until_it_is_undone() {
    let installation = Installation::new().await;
    let (cms, ctx, platform) = (&installation.cms, &installation.ctx, ProjectId::platform());
    cms.keyrings().seal_up(ctx).await.unwrap();
    assert!(cms.health().await.sealed);
    let list = cms.secrets().list(ctx, &platform, None, &PageQuery::default()).await;
    assert_eq!(list.unwrap_err().kind(), ErrorKind::Sealed);
    let rotated = cms.keyrings().rotate_project(ctx, &platform).await;
    assert_eq!(rotated.unwrap_err().kind(), ErrorKind::Sealed);
    cms.keyrings().unseal(ctx).await.unwrap();
    assert!(!cms.health().await.sealed);
    assert!(cms.secrets().list(ctx, &platform, None, &PageQuery::default()).await.is_ok());
    assert_eq!(
        installation.reasons().await,
        ["sealed the installation in this process", "unsealed the installation in this process"]
    );
    assert!(cms.verify(ctx, &|_| ()).await.unwrap().ok);
}

#[tokio::test]
async fn only_who_may_change_the_system_touches_keys() {
    let installation = Installation::new().await;
    let cms = &installation.cms;
    let user = UserId::parse("eve").unwrap();
    let kind = PrincipalKind::User { user, role: Some(Role::PlatformAdmin), session: "s".into() };
    let eve = RequestContext::new(Arc::new(Principal { kind }));
    for refused in [
        cms.keyrings().seal_up(&eve).await.unwrap_err(),
        cms.keyrings().unseal(&eve).await.unwrap_err(),
        cms.keyrings().reseal(&eve, Arc::new(DevSeal)).await.unwrap_err(),
        cms.keyrings().rotate_root(&eve, &|_, _| ()).await.unwrap_err(),
        cms.keyrings().rotate_project(&eve, &ProjectId::platform()).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Denied);
    }
    assert!(!cms.health().await.sealed);
}

#[tokio::test]
async fn keys_that_are_due_are_rotated_in_the_background() {
    let installation = Installation::new().await;
    let cms = &installation.cms;
    assert_eq!(cms.keyrings().rotate_due().await.unwrap(), 0);
    installation.clock.advance(std::time::Duration::from_secs(91 * 24 * 3600));
    assert_eq!(cms.keyrings().rotate_due().await.unwrap(), 1);
    assert_eq!(cms.keyrings().rotate_due().await.unwrap(), 0);
}
