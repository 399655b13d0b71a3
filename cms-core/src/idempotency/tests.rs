// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests whose process dies at the worst moment, and those that are only slow.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::api::PageQuery;
use crate::api::keys::{CreateKey, CreatedKey};
use crate::api::projects::CreateProject;
use crate::auth::Principal;
use crate::clock::ManualClock;
use crate::cms::Cms;
use crate::crypto::DevSeal;
use crate::store::MemoryStore;

struct Fixture {
    cms: Cms,
    clock: Arc<ManualClock>,
    root: RequestContext,
}

fn rag() -> ProjectId {
    ProjectId::parse("rag").unwrap()
}

impl Fixture {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let builder = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal)).clock(clock.clone());
        let (cms, _) = builder.initialize().await.unwrap();
        let root = RequestContext::new(Principal::root());
        let new = CreateProject { id: "rag".into(), name: "RAG".into(), ..CreateProject::default() };
        cms.projects().create(&root, new).await.unwrap();
        Self { cms, clock, root }
    }

    async fn begin(&self) -> Result<Arc<Once>> {
        match self.cms.idempotency().begin(&self.root, "k", &Fingerprint::of(&[b"body"])).await? {
            Begun::First(once) => Ok(once),
            Begun::Again(answer) => panic!("answered already: {answer:?}"),
        }
    }

    async fn create(&self, once: &Arc<Once>) -> Result<CreatedKey> {
        let key: CreateKey = serde_json::from_value(json!({"name": "k", "scopes": ["decide"]})).unwrap();
        let ctx = self.root.clone().with_once(Some(once.clone()));
        self.cms.auth().keys().create(&ctx, &rag(), key).await
    }

    /// How many keys there are beside that of the onboarding.
    async fn keys(&self) -> usize {
        let page = self.cms.auth().keys().list(&self.root, &rag(), &PageQuery::default()).await.unwrap();
        page.items.len() - 1
    }
}

#[tokio::test]
async fn a_request_that_died_before_its_change_runs_again() {
    let it = Fixture::new().await;
    it.begin().await.unwrap();
    let waiting = it.begin().await.unwrap_err();
    assert_eq!(waiting.code(), "idempotency_in_progress");
    it.clock.advance(TAKEN_OVER);
    let again = it.begin().await.unwrap();
    it.create(&again).await.unwrap();
    assert_eq!(it.keys().await, 1);
}

#[tokio::test]
async fn a_request_that_was_only_slow_cannot_change_anything_once_it_is_taken_over() {
    let it = Fixture::new().await;
    let slow = it.begin().await.unwrap();
    it.clock.advance(TAKEN_OVER);
    let again = it.begin().await.unwrap();
    let made = it.create(&again).await.unwrap();
    assert_eq!(it.create(&slow).await.unwrap_err().code(), "idempotency_in_progress");
    it.cms.idempotency().abandon(&slow).await.unwrap();
    assert_eq!(it.keys().await, 1);
    // The one that took over is still the one that is known.
    assert_eq!(it.create(&it.begin().await.unwrap()).await.unwrap().key, made.key);
}

#[tokio::test]
async fn a_request_that_died_after_its_change_is_told_what_it_did() {
    let it = Fixture::new().await;
    let made = it.create(&it.begin().await.unwrap()).await.unwrap();
    // The process dies before the answer is kept.
    for _ in 0..2 {
        let again = it.begin().await.unwrap();
        assert_eq!(it.create(&again).await.unwrap(), made, "what is shown once is shown to the same request");
        it.cms.idempotency().abandon(&again).await.unwrap();
    }
    let again = it.begin().await.unwrap();
    let answer = StoredAnswer::new(201, Vec::new(), "kept".into()).unwrap();
    it.cms.idempotency().finish(&again, answer.clone()).await.unwrap();
    let known = it.cms.idempotency().begin(&it.root, "k", &Fingerprint::of(&[b"body"])).await.unwrap();
    assert!(matches!(known, Begun::Again(kept) if kept == answer));
    assert_eq!(it.keys().await, 1);
}

#[tokio::test]
async fn an_answer_is_kept_although_its_record_was_sealed_anew() {
    let it = Fixture::new().await;
    let once = it.begin().await.unwrap();
    it.create(&once).await.unwrap();
    it.cms.keyrings().rotate_project(&it.root, &ProjectId::platform(), &|_| ()).await.unwrap();
    let answer = StoredAnswer::new(201, Vec::new(), "kept".into()).unwrap();
    it.cms.idempotency().finish(&once, answer.clone()).await.unwrap();
    let known = it.cms.idempotency().begin(&it.root, "k", &Fingerprint::of(&[b"body"])).await.unwrap();
    assert!(matches!(known, Begun::Again(kept) if kept == answer));
}
