// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A writer that dies at each step between the store and the material, and a material that fails at each: what was
//! acknowledged is there, what was not is nowhere to be read, and nothing stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cms_core::api::projects::CreateProject;
use cms_core::api::secrets::{PutSecret, RevealSecret};
use cms_core::auth::Principal;
use cms_core::clock::{Clock, ManualClock, SystemClock};
use cms_core::crypto::DevSeal;
use cms_core::ids::ProjectId;
use cms_core::secrets::material::{Material, unavailable};
use cms_core::store::MemoryStore;
use cms_core::{Cms, Error, RequestContext};
use serde_json::json;

use super::{path, said, same};

/// What happens to calls that change something.
const WELL: u8 = 0;
const DIES_BEFORE: u8 = 1;
const DIES_AFTER: u8 = 2;
const FAILS_BEFORE: u8 = 3;
const FAILS_AFTER: u8 = 4;
/// After this time, what nobody has finished is given up.
const LONG: Duration = Duration::from_secs(6 * 60);

/// Passes calls on, or does not, or does not answer.
#[derive(Debug)]
struct Breaking {
    inner: Arc<dyn Material>,
    how: AtomicU8,
}

impl Breaking {
    async fn around<T: Send>(&self, call: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let how = self.how.load(Ordering::SeqCst);
        match how {
            DIES_BEFORE => std::future::pending().await,
            FAILS_BEFORE => return Err(unavailable("it fails")),
            _ => {}
        }
        let answer = call.await;
        match how {
            DIES_AFTER => std::future::pending().await,
            FAILS_AFTER => Err(unavailable("it fails")),
            _ => answer,
        }
    }
}

#[async_trait]
impl Material for Breaking {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn ready(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn put(&self, project: &ProjectId, id: &str, value: bytes::Bytes) -> Result<(), Error> {
        self.around(self.inner.put(project, id, value)).await
    }

    async fn get(&self, project: &ProjectId, id: &str) -> Result<Option<bytes::Bytes>, Error> {
        self.inner.get(project, id).await
    }

    async fn destroy(&self, project: &ProjectId, id: &str) -> Result<(), Error> {
        self.around(self.inner.destroy(project, id)).await
    }

    async fn list(&self, project: &ProjectId) -> Result<Vec<String>, Error> {
        self.inner.list(project).await
    }

    async fn health(&self) -> Result<(), String> {
        self.inner.health().await
    }
}

pub(super) async fn die(inner: Arc<dyn Material>) -> Result<(), String> {
    let material = Arc::new(Breaking { inner, how: AtomicU8::new(WELL) });
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let builder = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal));
    let (cms, _) =
        builder.clock(clock.clone()).material(material.clone()).initialize().await.map_err(said)?;
    let root = RequestContext::new(Principal::root());
    let new = CreateProject { id: "rag".into(), name: "RAG".into(), ..CreateProject::default() };
    cms.projects().create(&root, new).await.map_err(said)?;
    let (project, name) = (ProjectId::parse("rag").map_err(said)?, path("db/main"));
    let secrets = cms.secrets();
    let put = |version: u64| -> Result<PutSecret, String> {
        serde_json::from_value(json!({"data": {"v": version}, "cas": version - 1})).map_err(said)
    };
    let reveal =
        |version| secrets.reveal(&root, &project, &name, RevealSecret { version, ..Default::default() });
    let clean = || async {
        let report = cms.verify(&root, &|_| ()).await.map_err(said)?;
        if report.ok { Ok(()) } else { Err(format!("{report:#?}")) }
    };

    let mut version = 0;
    for how in [DIES_BEFORE, DIES_AFTER, FAILS_BEFORE, FAILS_AFTER] {
        material.how.store(how, Ordering::SeqCst);
        let next = put(version + 1)?;
        let write = secrets.put(&root, &project, &name, next, None);
        // A writer that dies is one that nobody goes on with.
        let written = tokio::time::timeout(Duration::from_millis(300), write).await;
        same(matches!(written, Ok(Ok(_))), false)?;
        same(reveal(Some(version + 1)).await.is_err(), true)?;
        clean().await?;
        material.how.store(WELL, Ordering::SeqCst);
        version += 1;
        secrets.put(&root, &project, &name, put(version)?, None).await.map_err(said)?;
        same(reveal(None).await.map_err(said)?.version, version)?;
    }
    // Of the four that nobody finished, two came to lie there.
    same(material.list(&project).await.map_err(said)?.len(), 4 + 2)?;
    clock.advance(LONG);
    settled(&*material, &project, 4).await?;
    clean().await?;

    for (how, version) in [(FAILS_BEFORE, 1), (FAILS_AFTER, 2)] {
        material.how.store(how, Ordering::SeqCst);
        secrets.destroy(&root, &project, &name, vec![version], None).await.map_err(said)?;
        same(reveal(Some(version)).await.map_err(|error| error.code()).err(), Some("version_destroyed"))?;
        // Time for whoever removes it to fail.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        clean().await?;
    }
    material.how.store(WELL, Ordering::SeqCst);
    settled(&*material, &project, 2).await?;
    clean().await?;
    same(reveal(None).await.map_err(said)?.version, 4)?;
    cms.shutdown().await;
    Ok(())
}

async fn settled(material: &dyn Material, project: &ProjectId, expected: usize) -> Result<(), String> {
    let mut found = usize::MAX;
    for _ in 0..100 {
        found = material.list(project).await.map_err(said)?.len();
        if found == expected {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{found} entries are left, not {expected}"))
}
