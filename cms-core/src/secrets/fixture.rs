// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An installation with one project, for the tests of this service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::api::PageQuery;
use crate::api::audit::{AuditQuery, Record};
use crate::audit::sink::{AuditSink, SinkLine};
use crate::audit::{Audit, AuditLog, AuditSettings};
use crate::auth::{Authorizer, KeyScope, Principal, PrincipalKind, ScopeName};
use crate::clock::{ManualClock, Timestamp};
use crate::crypto::{Barrier, DevSeal};
use crate::keyrings::{AUDIT_KEY, Keyrings};
use crate::sensitive::Sensitive;
use crate::store::{Db, Entry, MemoryStore, Range, Store};

/// One process of an installation.
#[derive(Clone)]
pub(super) struct Fixture {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) barrier: Barrier,
    pub(super) secrets: Secrets,
    pub(super) keyrings: Keyrings,
    pub(super) ctx: RequestContext,
    kit: Kit,
    sink: Arc<BreakableSink>,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let barrier = Barrier::new(Db::new(store.clone()), Arc::new(DevSeal), clock.clone());
        store.transact(barrier.initialize().await.unwrap()).await.unwrap();
        barrier.unseal().await.unwrap();
        let onboarding = barrier.create_project_key(&rag()).await.unwrap().put("p/rag/meta", "{}");
        store.transact(onboarding).await.unwrap();
        Self::process(store, clock).await
    }

    /// Another process over the same store: its own cache, its own keys in memory.
    pub(super) async fn another_process(&self) -> Self {
        Self::process(self.store.clone(), self.clock.clone()).await
    }

    async fn process(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let db = Db::new(store.clone());
        tokio::spawn({
            let db = db.clone();
            async move { db.follow().await }
        });
        let barrier = Barrier::new(db.clone(), Arc::new(DevSeal), clock.clone());
        barrier.unseal().await.unwrap();
        let sink = Arc::new(BreakableSink::default());
        let settings = AuditSettings { sinks: vec![sink.clone()], ..AuditSettings::default() };
        let audit =
            Audit::open(db.clone(), clock.clone(), &barrier.derive(AUDIT_KEY).unwrap(), settings).unwrap();
        let authorizer = Authorizer::new(db.clone(), audit.clone()).unwrap();
        let kit = Kit { db, clock: clock.clone(), barrier: barrier.clone(), audit, authorizer };
        Self {
            store,
            clock,
            barrier,
            secrets: Secrets::new(kit.clone(), engine::builtin()),
            keyrings: Keyrings::new(kit.clone()),
            ctx: RequestContext::new(Principal::root()),
            kit,
            sink,
        }
    }

    /// The same process, asked by a key.
    pub(super) fn by_key(mut self) -> Self {
        let scope = |prefix: &str| KeyScope {
            name: ScopeName::SecretRead,
            environment: None,
            prefix: Some(prefix.into()),
        };
        let scopes = [scope("llm"), scope("db")].into();
        let kind = PrincipalKind::Key { id: "k1".into(), project: rag(), environment: None, scopes };
        self.ctx = RequestContext::new(Arc::new(Principal { kind }));
        self
    }

    pub(super) async fn put(&self, name: &str, put: &PutSecret) -> Result<WrittenSecret> {
        self.secrets.put(&self.ctx, &rag(), &path(name), put.clone(), None).await
    }

    /// Lists names, page by page.
    pub(super) async fn list(&self, prefix: Option<&str>, limit: usize) -> Vec<String> {
        let mut page = PageQuery { limit: Some(limit), cursor: None };
        let mut names = Vec::new();
        loop {
            let found = self.secrets.list(&self.ctx, &rag(), prefix, &page).await.unwrap();
            assert!(found.items.len() <= limit);
            names.extend(found.items.into_iter().map(|item| item.path));
            page.cursor = found.next_cursor;
            if page.cursor.is_none() {
                return names;
            }
        }
    }

    pub(super) async fn report(&self) -> SecretsReport {
        let proof =
            self.kit.authorize(&self.ctx, Action::SystemRead, Target::new(&rag(), "secret")).await.unwrap();
        let mut report = SecretsReport::default();
        self.secrets.verify(&self.kit.scope(&proof), &mut report).await.unwrap();
        report
    }

    pub(super) async fn verify(&self) {
        assert_eq!(self.report().await.problems, [""; 0]);
    }

    pub(super) async fn dump(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        loop {
            let mut range = Range::prefix("");
            if let Some(last) = all.last() {
                let last: &Entry = last;
                range = range.after(&last.key);
            }
            let page = self.store.range(range).await.unwrap();
            all.extend(page.entries);
            if !page.more {
                return all;
            }
        }
    }

    /// The records of the project, oldest first.
    pub(super) async fn records(&self) -> Vec<Record> {
        let query = AuditQuery { project: Some("rag".to_owned()), limit: Some(200), ..AuditQuery::default() };
        let page = AuditLog::new(self.kit.clone()).list(&self.ctx, &query).await.unwrap();
        page.items.into_iter().rev().collect()
    }

    pub(super) fn break_trail(&self) {
        self.sink.0.store(true, Ordering::SeqCst);
    }
}

/// Keeps nothing, and after it broke, says so.
#[derive(Debug, Default)]
struct BreakableSink(AtomicBool);

#[async_trait::async_trait]
impl AuditSink for BreakableSink {
    fn name(&self) -> &str {
        "breakable"
    }

    async fn write(&self, _: Arc<[SinkLine]>) -> std::io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

pub(super) fn rag() -> ProjectId {
    ProjectId::parse("rag").unwrap()
}

pub(super) fn path(name: &str) -> Name {
    Name::parse(name).unwrap()
}

/// A secret with the one field `key`.
pub(super) fn put_text(text: &str) -> PutSecret {
    let json = format!("{{\"key\":{}}}", serde_json::to_string(text).unwrap());
    PutSecret {
        data: SecretData::parse(Sensitive::new(json)).unwrap(),
        metadata: None,
        cas: None,
        message: None,
    }
}
