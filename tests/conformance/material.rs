// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The materials of secrets: each against the suite of the port; and with each, and without one (the barrier over
//! the store), what an installation does with secrets.

mod steps;

use std::sync::Arc;

use cms_core::api::projects::CreateProject;
use cms_core::api::secrets::{PutSecret, RevealSecret, RotateSecret};
use cms_core::auth::Principal;
use cms_core::crypto::DevSeal;
use cms_core::ids::{Name, ProjectId};
use cms_core::secrets::material::{Material, MemoryMaterial};
use cms_core::store::MemoryStore;
use cms_core::testing::material_conformance::cases;
use cms_core::{Cms, Error, RequestContext};
use cms_tests::{Bao, openbao};
use libtest_mimic::{Failed, Trial};
use serde_json::json;

/// Where the values of secrets lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Barrier,
    Memory,
    OpenBao,
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in [Kind::Memory, Kind::OpenBao] {
        trials.extend(cases().into_iter().map(|case| {
            trial(kind, case.name, move |material| async move {
                match material {
                    Some(material) => (case.run)(material).await,
                    None => Err("there is no material".into()),
                }
            })
        }));
    }
    for kind in [Kind::Barrier, Kind::Memory, Kind::OpenBao] {
        trials.push(trial(kind, "secrets_live_and_go", |material| async move { lives(material).await }));
        trials.push(trial(kind, "a_rotated_key_seals_everything_anew", |material| async move {
            rotates(material).await
        }));
    }
    for kind in [Kind::Memory, Kind::OpenBao] {
        trials.push(trial(
            kind,
            "a_death_at_each_step_leaves_no_orphan_and_loses_nothing",
            |material| async move {
                match material {
                    Some(material) => steps::die(material).await,
                    None => Err("there is no material".into()),
                }
            },
        ));
    }
    trials
}

fn trial<F, R>(kind: Kind, name: &str, run: F) -> Trial
where
    F: Fn(Option<Arc<dyn Material>>) -> R + Send + 'static,
    R: Future<Output = Result<(), String>>,
{
    let name = format!("material::{}::{name}", format!("{kind:?}").to_lowercase());
    if kind == Kind::OpenBao
        && let Some(reason) = openbao::missing()
    {
        return Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true);
    }
    Trial::test(name, move || {
        let bao = (kind == Kind::OpenBao).then(Bao::start);
        let outcome = crate::runtime()?.block_on(async {
            let material: Option<Arc<dyn Material>> = match (&bao, kind) {
                (Some(bao), _) => Some(bao.material()),
                (None, Kind::Barrier) => None,
                (None, _) => Some(Arc::new(MemoryMaterial::new())),
            };
            tokio::time::timeout(crate::PATIENCE, run(material)).await
        });
        match outcome {
            Ok(verdict) => verdict.map_err(Failed::from),
            Err(_) => Err(format!("not done after {:?}", crate::PATIENCE).into()),
        }
    })
}

/// An installation with one project.
struct Installed {
    cms: Cms,
    root: RequestContext,
    project: ProjectId,
    material: Option<Arc<dyn Material>>,
}

impl Installed {
    async fn new(material: Option<Arc<dyn Material>>) -> Result<Self, String> {
        let mut builder = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal));
        if let Some(material) = &material {
            builder = builder.material(material.clone());
        }
        let (cms, _) = builder.initialize().await.map_err(said)?;
        let root = RequestContext::new(Principal::root());
        let new = CreateProject { id: "rag".into(), name: "RAG".into(), ..CreateProject::default() };
        cms.projects().create(&root, new).await.map_err(said)?;
        Ok(Self { cms, root, project: ProjectId::parse("rag").map_err(said)?, material })
    }

    async fn put(&self, name: &str, value: &str) -> Result<u64, String> {
        let put: PutSecret = serde_json::from_value(json!({"data": {"v": value}})).map_err(said)?;
        let written = self.cms.secrets().put(&self.root, &self.project, &path(name), put, None).await;
        Ok(written.map_err(said)?.secret.version)
    }

    async fn reveal(&self, name: &str, version: Option<u64>) -> Result<String, Error> {
        let reveal = RevealSecret { version, ..RevealSecret::default() };
        let revealed = self.cms.secrets().reveal(&self.root, &self.project, &path(name), reveal).await?;
        Ok(revealed.data.expose().to_owned())
    }

    /// How many entries lie outside of the store, once what is to go is gone.
    async fn settled(&self, expected: usize) -> Result<(), String> {
        let Some(material) = &self.material else { return Ok(()) };
        let mut found = usize::MAX;
        for _ in 0..100 {
            found = material.list(&self.project).await.map_err(said)?.len();
            if found == expected {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Err(format!("{found} entries are left, not {expected}"))
    }

    async fn is_clean(&self) -> Result<(), String> {
        let report = self.cms.verify(&self.root, &|_| ()).await.map_err(said)?;
        if report.ok { Ok(()) } else { Err(format!("{report:#?}")) }
    }
}

/// Everything that can happen to versions, to the end of the project.
async fn lives(material: Option<Arc<dyn Material>>) -> Result<(), String> {
    let it = Installed::new(material).await?;
    let secrets = it.cms.secrets();
    for (version, value) in [(1, "one"), (2, "two"), (3, "three")] {
        same(it.put("db/main", value).await?, version)?;
    }
    it.put("other", "x").await?;
    same(it.reveal("db/main", None).await.map_err(said)?, r#"{"v":"three"}"#.to_owned())?;
    same(it.reveal("db/main", Some(1)).await.map_err(said)?, r#"{"v":"one"}"#.to_owned())?;
    let rotated =
        secrets.rotate(&it.root, &it.project, &path("db/main"), RotateSecret::default(), None).await;
    same(rotated.map_err(said)?.secret.version, 4)?;
    it.settled(5).await?;
    it.is_clean().await?;

    let (root, project, main) = (&it.root, &it.project, path("db/main"));
    secrets.delete(root, project, &main, Some(vec![2]), None).await.map_err(said)?;
    same(it.reveal("db/main", Some(2)).await.map_err(|error| error.code()), Err("version_deleted"))?;
    secrets.undelete(root, project, &main, Some(vec![2]), None).await.map_err(said)?;
    same(it.reveal("db/main", Some(2)).await.map_err(said)?, r#"{"v":"two"}"#.to_owned())?;
    secrets.destroy(root, project, &main, vec![1, 2], None).await.map_err(said)?;
    for version in [1, 2] {
        same(
            it.reveal("db/main", Some(version)).await.map_err(|error| error.code()),
            Err("version_destroyed"),
        )?;
    }
    same(it.reveal("db/main", Some(3)).await.map_err(said)?, r#"{"v":"three"}"#.to_owned())?;
    it.settled(3).await?;
    it.is_clean().await?;

    it.cms.projects().delete(root, project, None).await.map_err(said)?;
    it.settled(0).await?;
    it.is_clean().await?;
    it.cms.shutdown().await;
    Ok(())
}

/// A new data key: everything is readable before, after and while others write.
async fn rotates(material: Option<Arc<dyn Material>>) -> Result<(), String> {
    let it = Installed::new(material).await?;
    for number in 0..5 {
        it.put(&format!("s{number}"), "old").await?;
        it.put(&format!("s{number}"), "new").await?;
    }
    let (rotated, written) =
        tokio::join!(it.cms.keyrings().rotate_project(&it.root, &it.project, &|_| ()), async {
            for number in 0..5 {
                it.put(&format!("s{number}"), "newer").await?;
            }
            Ok::<_, String>(())
        });
    written?;
    same(rotated.map_err(said)?.retired, true)?;
    for number in 0..5 {
        let name = format!("s{number}");
        for (version, value) in [(1, "old"), (2, "new"), (3, "newer")] {
            let found = it.reveal(&name, Some(version)).await.map_err(said)?;
            same(found, format!(r#"{{"v":"{value}"}}"#))?;
        }
    }
    let state = it.cms.keyrings().project_state(&it.root, &it.project).await.map_err(said)?;
    same(state.generations.len(), 1)?;
    it.settled(15).await?;
    it.is_clean().await?;
    it.cms.shutdown().await;
    Ok(())
}

fn path(name: &str) -> Name {
    Name::parse(name).unwrap()
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("line {}: found {found:?}, expected {expected:?}", std::panic::Location::caller().line()))
}
