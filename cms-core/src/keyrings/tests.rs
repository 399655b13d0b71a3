// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rotation as an operator sees it: nothing is lost, and the old key is good for nothing.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::api::auth::Login;
use crate::api::keys::CreateKey;
use crate::api::projects::CreateProject;
use crate::api::secrets::{PutSecret, RevealSecret};
use crate::api::users::CreateUser;
use crate::cms::Cms;
use crate::crypto::{Barrier, DevSeal};
use crate::idempotency::{Begun, Fingerprint, StoredAnswer};
use crate::ids::Name;
use crate::store::{MemoryStore, Range, Store, StoreErrorKind};

const PASSWORD: &str = "correct horse battery staple 7";

/// An installation that has something sealed at every place.
struct Full {
    store: Arc<MemoryStore>,
    cms: Cms,
    root: RequestContext,
}

fn rag() -> ProjectId {
    ProjectId::parse("rag").unwrap()
}

fn path() -> Name {
    Name::parse("db/main").unwrap()
}

impl Full {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let (cms, _) = Cms::builder(store.clone(), Arc::new(DevSeal)).initialize().await.unwrap();
        let root = RequestContext::new(Principal::root());
        let this = Self { store, cms, root };
        this.fill().await;
        this
    }

    async fn fill(&self) {
        let (cms, root) = (&self.cms, &self.root);
        let new = CreateProject { id: "rag".into(), name: "RAG".into(), ..CreateProject::default() };
        cms.projects().create(root, new).await.unwrap();
        for value in ["one", "two"] {
            let put: PutSecret = serde_json::from_value(json!({"data": {"v": value}})).unwrap();
            cms.secrets().put(root, &rag(), &path(), put, None).await.unwrap();
        }
        let user: CreateUser =
            serde_json::from_value(json!({"username": "eve", "password": PASSWORD})).unwrap();
        cms.auth().users().create(root, user).await.unwrap();
        self.login().await;
        let key: CreateKey = serde_json::from_value(json!({"name": "k", "scopes": ["decide"]})).unwrap();
        cms.auth().keys().create(root, &rag(), key).await.unwrap();
        match cms.idempotency().begin(root, "again", &Fingerprint::of(&[b"x"])).await.unwrap() {
            Begun::First(once) => {
                let answer = StoredAnswer::new(200, Vec::new(), "kept".into()).unwrap();
                cms.idempotency().finish(&once, answer).await.unwrap();
            }
            Begun::Again(_) => panic!("nobody has asked before"),
        }
    }

    async fn login(&self) {
        let login: Login = serde_json::from_value(json!({"username": "eve", "password": PASSWORD})).unwrap();
        self.cms.auth().sessions().login(&self.root, login).await.unwrap();
    }

    async fn works(&self) {
        self.login().await;
        for (version, value) in [(1, "one"), (2, "two")] {
            let reveal = RevealSecret { version: Some(version), ..RevealSecret::default() };
            let revealed = self.cms.secrets().reveal(&self.root, &rag(), &path(), reveal).await.unwrap();
            assert!(revealed.data.expose().contains(value), "version {version}");
        }
        let again =
            self.cms.idempotency().begin(&self.root, "again", &Fingerprint::of(&[b"x"])).await.unwrap();
        assert!(matches!(again, Begun::Again(answer) if answer.body.as_ref() == b"kept"));
        let report = self.cms.verify(&self.root, &|_| ()).await.unwrap();
        assert!(report.ok, "{report:#?}");
    }

    /// The version of the key of every sealed value of a project.
    async fn versions(&self, project: &ProjectId) -> Vec<(u32, u64)> {
        let state = self.cms.keyrings().project_state(&self.root, project).await.unwrap();
        state.generations.iter().map(|generation| (generation.version, generation.values)).collect()
    }
}

#[tokio::test]
async fn rotation_leaves_nothing_for_the_old_key() {
    let it = Full::new().await;
    let start = it.store.revision().await.unwrap();
    for project in [rag(), ProjectId::platform()] {
        let before = it.versions(&project).await;
        let [(1, values)] = before[..] else { panic!("{before:?}") };
        assert!(values >= 3, "{project}: {values}");
        let rotated = it.cms.keyrings().rotate_project(&it.root, &project, &|_| ()).await.unwrap();
        assert_eq!((rotated.version, rotated.resealed, rotated.retired), (2, values, true), "{project}");
        assert_eq!(it.versions(&project).await, [(2, values)], "{project}");
    }
    it.works().await;
    // What the old keys could open is not in the history either.
    let error = it.store.watch("", start).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Compacted);
    for entry in it.store.range(Range::prefix("idem/")).await.unwrap().entries {
        assert_eq!(Barrier::key_version(&entry.value).unwrap(), 2, "{}", entry.key);
    }
    it.cms.shutdown().await;
}

#[tokio::test]
async fn a_rotation_that_was_left_is_finished() {
    let it = Full::new().await;
    let keyrings = it.cms.keyrings();
    let proof = keyrings.authorize(&it.root, &ProjectId::platform()).await.unwrap();
    // The process dies here: the new key is there, everything else is as it was.
    keyrings.new_data_key(&it.root, &proof, &ProjectId::platform()).await.unwrap();
    let left = it.versions(&ProjectId::platform()).await;
    assert!(left.len() == 2 && left[0].1 > 0, "{left:?}");
    it.works().await;
    keyrings.rotate_due().await.unwrap();
    let done = it.versions(&ProjectId::platform()).await;
    assert!(done.len() == 1 && done[0].0 == 2, "{done:?}");
    assert!(keyrings.unfinished().await.unwrap().is_empty());
    it.works().await;
    it.cms.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_go_on_while_keys_are_rotated() {
    let it = Arc::new(Full::new().await);
    let writer = tokio::spawn({
        let it = it.clone();
        async move {
            for number in 0..200 {
                let put: PutSecret = serde_json::from_value(json!({"data": {"n": number}})).unwrap();
                let path = Name::parse(&format!("n/{}", number % 7)).unwrap();
                it.cms.secrets().put(&it.root, &rag(), &path, put, None).await.unwrap();
                if number % 40 == 0 {
                    it.login().await;
                }
            }
        }
    });
    for round in 0..6 {
        let project = if round % 2 == 0 { rag() } else { ProjectId::platform() };
        it.cms.keyrings().rotate_project(&it.root, &project, &|_| ()).await.unwrap();
        it.cms.keyrings().rotate_root(&it.root, &|_, _| ()).await.unwrap();
    }
    writer.await.unwrap();
    it.works().await;
    for project in [rag(), ProjectId::platform()] {
        it.cms.keyrings().rotate_project(&it.root, &project, &|_| ()).await.unwrap();
        assert_eq!(it.versions(&project).await.len(), 1, "{project}");
    }
    it.works().await;
    it.cms.shutdown().await;
}
