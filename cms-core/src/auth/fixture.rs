// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An installation in memory for the tests of identity: everything real but the store.

use std::sync::Arc;
use std::time::Duration;

use super::{Auth, Authorizer, Principal, PrincipalKind, Role};
use crate::api::audit::{AuditQuery, Record};
use crate::api::auth::{Login, TokenPair};
use crate::api::keys::{CreateKey, CreatedKey, Scope};
use crate::api::users::CreateUser;
use crate::audit::{Audit, AuditLog, AuditSettings};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::context::RequestContext;
use crate::crypto::{Barrier, DevSeal};
use crate::error::Result;
use crate::ids::{ProjectId, UserId};
use crate::kit::Kit;
use crate::store::{Db, MemoryStore, Range, Store, Transaction};

pub(super) const PASSWORD: &str = "correct horse";

/// One process of an installation.
#[derive(Debug)]
pub(super) struct World {
    pub(super) kit: Kit,
    pub(super) auth: Auth,
    pub(super) clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
}

impl World {
    /// A new installation with the projects `rag` and `other`, each with the environments `dev` and
    /// `prod`.
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let world = Self::process(Arc::new(MemoryStore::new()), clock, true).await;
        let mut change = Transaction::new();
        for project in ["rag", "other"] {
            change = change.put(format!("p/{project}/meta"), "{}");
            for environment in ["dev", "prod"] {
                change = change.put(format!("p/{project}/env/{environment}"), "{}");
            }
        }
        world.kit.db.commit(change).await.unwrap();
        world
    }

    /// Another process of the same installation.
    pub(super) async fn another(&self) -> Self {
        Self::process(self.store.clone(), self.clock.clone(), false).await
    }

    async fn process(store: Arc<MemoryStore>, clock: Arc<ManualClock>, first: bool) -> Self {
        let db = Db::new(store.clone());
        let follower = db.clone();
        tokio::spawn(async move { follower.follow().await });
        let ported: Arc<dyn Clock> = clock.clone();
        let barrier = Barrier::new(db.clone(), Arc::new(DevSeal), ported.clone());
        if first {
            let change = barrier.initialize().await.unwrap();
            db.commit(change).await.unwrap();
        }
        barrier.unseal().await.unwrap();
        let audit = Audit::open_sealed(db.clone(), ported.clone(), AuditSettings::default());
        audit.unseal(&barrier.derive("audit").unwrap()).unwrap();
        let authorizer = Authorizer::new(db.clone(), audit.clone()).unwrap();
        let kit = Kit {
            db,
            clock: ported,
            barrier,
            audit,
            authorizer,
            lane: crate::lane::Lane::new().unwrap(),
            material: None,
        };
        // The cache keeps nothing before the watch stands.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Self { auth: Auth::new(kit.clone(), "cms"), kit, clock, store }
    }

    pub(super) fn root(&self) -> RequestContext {
        RequestContext::new(Principal::root())
    }

    /// A request of nobody, from an address.
    pub(super) fn stranger(&self) -> RequestContext {
        RequestContext::new(Principal::anonymous()).with_address(Some("192.0.2.1".parse().unwrap()))
    }

    /// Adds a user with [`PASSWORD`].
    pub(super) async fn user(&self, name: &str, role: Option<Role>) -> UserId {
        let request =
            CreateUser { username: name.into(), password: PASSWORD.into(), role, ..CreateUser::default() };
        self.auth.users().create(&self.root(), request).await.unwrap();
        UserId::parse(name).unwrap().canonical()
    }

    /// A request of a user, as if logged in.
    pub(super) fn by(&self, name: &str, role: Option<Role>) -> RequestContext {
        let user = UserId::parse(name).unwrap().canonical();
        let kind = PrincipalKind::User { user, role, session: "none".into() };
        RequestContext::new(Arc::new(Principal { kind }))
    }

    /// Gives a user a role in a project.
    pub(super) async fn member(&self, name: &str, project: &str, role: Role) {
        let value = serde_json::json!({
            "v": 1, "role": role, "granted_at": self.kit.now(), "granted_by": "root",
        });
        let value = value.to_string();
        let change = Transaction::new()
            .put(format!("auth/grant/{name}/{project}"), value.clone())
            .put(format!("p/{project}/member/{name}"), value);
        self.kit.db.commit(change).await.unwrap();
    }

    pub(super) async fn login(&self, name: &str, password: &str) -> Result<TokenPair> {
        let request = Login { username: name.into(), password: password.into(), otp: None };
        self.auth.sessions().login(&self.stranger(), request).await
    }

    /// Makes a key of the project `rag`.
    pub(super) async fn key(&self, scopes: &[&str]) -> CreatedKey {
        let scopes = scopes.iter().map(|name| Scope::Name((*name).to_owned())).collect();
        let request = CreateKey { name: "test".into(), scopes, ..CreateKey::default() };
        self.auth.keys().create(&self.root(), &rag(), request).await.unwrap()
    }

    pub(super) async fn who(&self, credential: &str) -> Result<Arc<Principal>> {
        self.auth.authenticate(credential, None).await
    }

    /// The records of an action, newest first.
    pub(super) async fn records(&self, action: &str) -> Vec<Record> {
        let query = AuditQuery { action: Some(action.to_owned()), limit: Some(200), ..AuditQuery::default() };
        AuditLog::new(self.kit.clone()).list(&self.root(), &query).await.unwrap().items
    }

    /// Everything in the store, as one text.
    pub(super) async fn dump(&self) -> String {
        let page = self.store.range(Range::prefix("")).await.unwrap();
        page.entries
            .iter()
            .map(|entry| format!("{}={}\n", entry.key, String::from_utf8_lossy(&entry.value)))
            .collect()
    }

    /// How many keys the store holds under a prefix.
    pub(super) async fn count(&self, prefix: &str) -> usize {
        self.store.range(Range::prefix(prefix)).await.unwrap().entries.len()
    }
}

pub(super) fn rag() -> ProjectId {
    ProjectId::parse("rag").unwrap()
}

/// Waits until a condition holds, for at most the second within which changes must be in force.
pub(super) async fn within_a_second<F: Future<Output = bool>>(condition: impl Fn() -> F) -> bool {
    for _ in 0..100 {
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
