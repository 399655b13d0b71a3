// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writers of secrets that count what was acknowledged; afterwards that is held against what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cms_core::api::PageQuery;
use cms_core::api::projects::CreateProject;
use cms_core::api::secrets::{PutSecret, RevealSecret};
use cms_core::auth::Principal;
use cms_core::crypto::DevSeal;
use cms_core::ids::{Name, ProjectId};
use cms_core::secrets::material::Material;
use cms_core::store::MemoryStore;
use cms_core::{Cms, ErrorKind, RequestContext};
use libtest_mimic::Failed;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::ensure;

const WRITERS: usize = 4;
/// How many versions of a secret a writer makes before it goes on to the next.
const VERSIONS: u64 = 20;

/// A load that runs.
pub struct Load {
    pub cms: Cms,
    pub root: RequestContext,
    pub project: ProjectId,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Result<Tally, Failed>>>,
}

/// What a writer was told.
#[derive(Debug, Default)]
pub struct Tally {
    /// Names, with how many versions were acknowledged.
    secrets: Vec<(Name, u64)>,
    pub acknowledged: u64,
    pub refused: u64,
    /// When the last acknowledgement before a refusal was, and the first after the last refusal.
    pub gap: Duration,
}

impl Load {
    pub async fn start(material: Arc<dyn Material>) -> Result<Self, Failed> {
        let builder = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal)).material(material);
        let (cms, _) = builder.initialize().await?;
        let root = RequestContext::new(Principal::root());
        let new = CreateProject { id: "load".into(), name: "Load".into(), ..CreateProject::default() };
        cms.projects().create(&root, new).await?;
        let project = ProjectId::parse("load")?;
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..WRITERS).map(|writer| {
            let (cms, root, project, stop) = (cms.clone(), root.clone(), project.clone(), stop.clone());
            tokio::spawn(write(cms, root, project, writer, stop))
        });
        let writers = writers.collect();
        Ok(Self { cms, root, project, stop, writers })
    }

    /// Ends the writers of an installation that is used on.
    pub async fn end(self) -> Result<(), Failed> {
        self.stop.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await??;
        }
        Ok(())
    }

    /// Ends the writers, and holds what they were told against what is there.
    pub async fn check(self, what: &str) -> Result<Tally, Failed> {
        self.stop.store(true, Ordering::SeqCst);
        let mut sum = Tally::default();
        for writer in self.writers {
            let tally = writer.await??;
            sum.acknowledged += tally.acknowledged;
            sum.refused += tally.refused;
            sum.gap = sum.gap.max(tally.gap);
            sum.secrets.extend(tally.secrets);
        }
        for (name, acknowledged) in &sum.secrets {
            let page = PageQuery { limit: Some(100), ..PageQuery::default() };
            let found = self.cms.secrets().versions(&self.root, &self.project, name, &page).await;
            let found = found.map_or(0, |page| page.items.len() as u64);
            ensure(found == *acknowledged, || {
                format!("`{name}`: {acknowledged} acknowledged, {found} there")
            })?;
            for version in 1..=found {
                let reveal = RevealSecret { version: Some(version), ..RevealSecret::default() };
                let revealed = self.cms.secrets().reveal(&self.root, &self.project, name, reveal).await?;
                let expected = format!(r#"{{"v":"{name} {version}"}}"#);
                ensure(revealed.data.expose() == expected, || {
                    format!("`{name}` {version} holds something else")
                })?;
            }
        }
        let report = self.cms.verify(&self.root, &|_| ()).await?;
        ensure(report.ok, || format!("{report:#?}"))?;
        self.cms.shutdown().await;
        println!(
            "{what}: {} versions acknowledged, all there once; {} writes refused; longest pause {:?}",
            sum.acknowledged, sum.refused, sum.gap
        );
        Ok(sum)
    }
}

async fn write(
    cms: Cms,
    root: RequestContext,
    project: ProjectId,
    writer: usize,
    stop: Arc<AtomicBool>,
) -> Result<Tally, Failed> {
    let mut tally = Tally::default();
    let mut last = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        if tally.secrets.last().is_none_or(|(_, versions)| *versions == VERSIONS) {
            tally.secrets.push((Name::parse(&format!("w{writer}/s{}", tally.secrets.len()))?, 0));
        }
        let (name, versions) = tally.secrets.last_mut().ok_or("a name was just made")?;
        let put: PutSecret = serde_json::from_value(
            json!({"data": {"v": format!("{name} {}", *versions + 1)}, "cas": *versions}),
        )?;
        match cms.secrets().put(&root, &project, name, put, None).await {
            Ok(_) => {
                *versions += 1;
                tally.acknowledged += 1;
                tally.gap = tally.gap.max(last.elapsed());
                last = Instant::now();
            }
            Err(error) => {
                let told = error.kind() == ErrorKind::Unavailable && error.retry_after().is_some();
                ensure(told, || format!("not told as it must be: {error:?}"))?;
                tally.refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(tally)
}
