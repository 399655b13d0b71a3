// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Properties of configs as services read them.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ReadConfig;
use crate::api::configs::SecretsMode;
use crate::api::documents::{Kind, PutDocument};
use crate::api::projects::CreateProject;
use crate::api::releases::{Activate, CreateRelease, RollbackEnvironment};
use crate::api::requests::Promote;
use crate::auth::Principal;
use crate::crypto::DevSeal;
use crate::expected::Expected;
use crate::ids::{EnvironmentId, Name, ProjectId};
use crate::store::MemoryStore;
use crate::{Cms, RequestContext};

struct It {
    cms: Cms,
    store: Arc<MemoryStore>,
    root: RequestContext,
    project: ProjectId,
    prod: EnvironmentId,
    name: Name,
}

impl It {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let built = Cms::builder(store.clone(), Arc::new(DevSeal)).initialize().await;
        let (cms, _) = built.unwrap();
        let root = RequestContext::new(Principal::root());
        let create = CreateProject {
            id: "p".into(),
            name: "p".into(),
            template: Some("empty".into()),
            environments: Some(vec!["dev".into(), "prod".into()]),
            auto_release: Some(false),
            ..CreateProject::default()
        };
        cms.projects().create(&root, create).await.unwrap();
        let (project, prod) = (ProjectId::parse("p").unwrap(), EnvironmentId::parse("prod").unwrap());
        Self { cms, store, root, project, prod, name: Name::parse("c").unwrap() }
    }

    async fn put(&self, kind: Kind, name: &str, content: &Value) {
        let put = PutDocument { content: content.to_string(), ..PutDocument::default() };
        let name = Name::parse(name).unwrap();
        self.cms.documents().put(&self.root, &self.project, kind, &name, put, Expected::Any).await.unwrap();
    }

    /// Makes a release of what there is, activates it in `dev` and promotes that to `prod`.
    async fn promote(&self) {
        let made = self.cms.releases().create(&self.root, &self.project, CreateRelease::default()).await;
        let release = made.unwrap().0.id;
        let activate = Activate { release: release.clone(), expected: None, message: None };
        let dev = EnvironmentId::parse("dev").unwrap();
        self.cms.releases().activate(&self.root, &self.project, &dev, activate).await.unwrap();
        let promote = Promote { from: "dev".into(), expected: None, dry_run: false, message: None };
        let promoted = self.cms.requests().promote(&self.root, &self.project, &self.prod, promote).await;
        assert_eq!(promoted.unwrap().release, release);
    }

    /// The same in another process: nothing that this one remembers counts.
    async fn read_anew(&self) -> Vec<u8> {
        let cms = Cms::builder(self.store.clone(), Arc::new(DevSeal)).build().await.unwrap();
        let asked = Self::asked();
        let read =
            cms.configs().read(&self.root, &self.project, &self.name, &asked, None, Duration::ZERO).await;
        cms.shutdown().await;
        read.unwrap().json.to_vec()
    }

    fn asked() -> ReadConfig {
        ReadConfig { environment: Some("prod".into()), labels: Some("region=eu".into()), instance: None }
    }

    async fn read(&self) -> Vec<u8> {
        let (configs, asked) = (self.cms.configs(), Self::asked());
        let read = configs.read(&self.root, &self.project, &self.name, &asked, None, Duration::ZERO);
        read.await.unwrap().json.to_vec()
    }
}

/// Values of a config; templates among them.
fn layer() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!("{{ env }}-{{ level }}")),
        Just(json!("{{ level }}")),
        Just(json!("{% if level > 2 %}high{% else %}low{% endif %}")),
        (0..9_i64).prop_map(Value::from),
        prop::collection::vec(0..3_i64, 0..3).prop_map(Value::from),
    ];
    let object = |inner: BoxedStrategy<Value>| {
        let entries = prop::collection::btree_map("[a-d]", inner, 0..4);
        entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed()
    };
    object(prop_oneof![3 => leaf.clone().boxed(), 1 => object(leaf.boxed())].boxed())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_rollback_restores_every_byte_and_provenance_explains_every_value(
        layers in prop::collection::vec(layer(), 3),
        later in layer(),
        level in 0..5_i64,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let it = It::new().await;
            it.put(Kind::Variable, "base", &json!({"level": level})).await;
            for (name, layer) in ["c", "_environments/prod/c", "_labels/region/eu/c"].iter().zip(&layers) {
                it.put(Kind::Config, name, layer).await;
            }
            it.promote().await;
            let before = it.read().await;
            let (configs, asked) = (it.cms.configs(), It::asked());
            let resolve = configs.resolve(&it.root, &it.project, &it.name, &asked, true, SecretsMode::Keep);
            let resolved = resolve.await.unwrap();
            assert_eq!(serde_json::to_vec(&resolved.content).unwrap(), before);
            for (pointer, origin) in resolved.provenance.unwrap() {
                let place = resolved.layers.iter().position(|layer| *layer == origin.layer).unwrap();
                let written = layers[place].pointer(&pointer);
                let read = resolved.content.0.pointer(&pointer);
                let source = origin.source.as_ref().or(read);
                // What a removal has emptied is written nowhere.
                assert!(source == written || read == Some(&json!({})), "{pointer}: {source:?} {written:?}");
            }
            it.put(Kind::Config, "c", &later).await;
            it.put(Kind::Variable, "prod", &json!({"level": level + 1})).await;
            it.promote().await;
            let changed = it.read().await;
            assert_eq!(it.read_anew().await, changed, "rendering and layering are deterministic");
            let back = RollbackEnvironment::default();
            let gone = it.cms.releases().rollback(&it.root, &it.project, &it.prod, back).await.unwrap();
            assert_ne!(Some(gone.release), gone.previous);
            assert_eq!(it.read().await, before);
            it.cms.shutdown().await;
        });
    }
}
