// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Durable writes of documents in process, and how soon a watch sees a commit, beside etcd on the same
//! disk: a put of the same bytes over loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cms_benches::Result;
use cms_benches::harness::etcd::Etcd;
use cms_benches::harness::measure::{median, percentile};
use cms_benches::harness::table::{Table, Target, rate, time};
use cms_benches::harness::{Effort, servers, wanted};
use cms_core::Expected;
use cms_core::api::documents::{Kind, PutDocument};
use cms_core::api::projects::CreateProject;
use cms_core::auth::Principal;
use cms_core::crypto::DevSeal;
use cms_core::ids::{Name, ProjectId};
use cms_core::store::{Store, Transaction};
use cms_core::{Cms, RequestContext};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use serde_json::json;
use tempfile::TempDir;

const CLIENTS: usize = 32;

fn main() -> Result<()> {
    let effort = Effort::from_env();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted("write") {
            writes(effort).await?;
        }
        if wanted("watch") {
            watches(effort).await?;
        }
        if wanted("configs") {
            configs(effort).await?;
        }
        Ok(())
    })
}

/// A CMS on an embedded store of its own, with a project for each client.
struct Place {
    cms: Cms,
    store: Arc<dyn Store>,
    projects: Vec<ProjectId>,
    ctx: RequestContext,
    _files: TempDir,
}

async fn place() -> Result<Place> {
    let files = tempfile::tempdir_in(".")?;
    let store = cms_store::open(&format!("embedded:{}", files.path().join("store").display())).await?;
    let (cms, _) = Cms::builder(store.clone(), Arc::new(DevSeal)).initialize().await?;
    let ctx = RequestContext::new(Principal::root());
    let mut projects = Vec::new();
    for number in 0..CLIENTS {
        let id = format!("bench-{number}");
        let create: CreateProject = serde_json::from_value(serde_json::json!({
            "id": id, "name": "Benchmark", "template": "empty", "auto_release": false,
        }))?;
        cms.projects().create(&ctx, create).await?;
        projects.push(ProjectId::parse(&id)?);
    }
    Ok(Place { cms, store, projects, ctx, _files: files })
}

impl Place {
    /// Writes a new version of the client's own document in the client's own project.
    async fn write(&self, client: usize, number: u64) -> Result<()> {
        let project = self.projects.get(client % CLIENTS).ok_or("no project")?;
        let put = PutDocument { content: content(number), message: None, schema: None };
        let name = Name::parse("retrieval")?;
        self.cms.documents().put(&self.ctx, project, Kind::Data, &name, put, Expected::Any).await?;
        Ok(())
    }
}

/// About 200 bytes, different each time: what has not changed would not be written.
fn content(number: u64) -> String {
    format!(
        "{{\"number\":{number},\"model\":\"large\",\"prompt\":\"{}\"}}",
        "answer from the documents. ".repeat(6)
    )
}

/// Row 10.
async fn writes(effort: Effort) -> Result<()> {
    let mut table = Table::new("10. durable document write in process, against an etcd put", "");
    let place = place().await?;
    let etcd = servers::etcd(None)?;
    let client = Etcd::connect(etcd.client.address).await?;
    let number = AtomicU64::new(0);
    for clients in [1, CLIENTS] {
        let (mut own, mut bare, mut theirs) = (Seen::default(), Seen::default(), Seen::default());
        for _ in 0..effort.rounds {
            let length = effort.slice * 20;
            own.add(run(clients, length, async |client| place.write(client, next(&number)).await).await?);
            bare.add(
                run(clients, length, async |client| {
                    let change = Transaction::new().put(format!("bench/{client}"), content(next(&number)));
                    place.store.transact(change).await?;
                    Ok(())
                })
                .await?,
            );
            theirs.add(
                run(clients, length, async |own| {
                    client.put(&format!("/bench/{own}"), content(next(&number)).as_bytes()).await
                })
                .await?,
            );
        }
        table.note(&format!("etcd put, {clients} clients"), &theirs.to_string());
        table.note(&format!("commit of the bare store, {clients} clients"), &bare.to_string());
        let name = format!("CMS document with its record, {clients} clients");
        if clients == 1 {
            table.row(&name, &own.to_string(), ratio(&own.p50, &theirs.p50), "x", Target::AtMost(1.0));
        } else {
            table.row(&name, &own.to_string(), ratio(&own.rate, &theirs.rate), "x", Target::AtLeast(1.0));
        }
    }
    table.close();
    Ok(())
}

/// Row 11: from the beginning of a commit to the moment in which a watch has it.
async fn watches(effort: Effort) -> Result<()> {
    let mut table = Table::new("11. from a durable commit to its watch", "");
    let place = place().await?;
    let etcd = servers::etcd(None)?;
    let client = Etcd::connect(etcd.client.address).await?;
    let mut theirs = client.watch("/watched").await?;
    let mut own = place.store.watch("bench/watched", place.store.revision().await?).await?;
    let (mut mine, mut etcds) = (Vec::new(), Vec::new());
    for number in 0..effort.rounds * 100 {
        let value = content(number as u64);
        let begun = Instant::now();
        place.store.transact(Transaction::new().put("bench/watched", value.clone())).await?;
        own.next().await.ok_or("the watch has ended")??;
        mine.push(begun.elapsed().as_secs_f64() * 1e9);
        let begun = Instant::now();
        client.put("/watched", value.as_bytes()).await?;
        theirs.message().await?;
        etcds.push(begun.elapsed().as_secs_f64() * 1e9);
    }
    let shown = |times: &Vec<f64>| {
        format!("p50 {} p99 {}", time(percentile(times.clone(), 50.0)), time(percentile(times.clone(), 99.0)))
    };
    table.note("etcd, put to event", &shown(&etcds));
    table.row(
        "CMS, commit to event",
        &shown(&mine),
        median(mine.clone()) / median(etcds),
        "x",
        Target::AtMost(1.0),
    );
    table.close();
    Ok(())
}

/// One config of a project that is as full as a project may be, every tenth of them referring to another.
async fn configs(effort: Effort) -> Result<()> {
    let mut table = Table::new("a config among 10,000, checked for one environment", "");
    let place = place().await?;
    let project = place.projects.first().ok_or("no project")?;
    let change = |number: u64| {
        let value = match number % 10 {
            0 => format!("${{{{ config:app-{}#number }}}}", number + 1),
            _ => String::from("{{ env }}"),
        };
        let content = json!({"number": number, "value": value, "prompt": "answer from the documents"});
        json!({"kind": "config", "name": format!("app-{number}"), "op": "put", "base_version": 0,
            "content": content.to_string()})
    };
    for first in (0..9_900).step_by(100) {
        let changes: Vec<_> = (first..first + 100).map(change).collect();
        let write = serde_json::from_value(json!({"changes": changes}))?;
        place.cms.documents().write_all(&place.ctx, project, write).await?;
    }
    let mut times = Vec::new();
    for number in 0..effort.rounds as u64 * 10 {
        let name = Name::parse(&format!("app-{}", number * 97 % 9_900))?;
        let content = json!({"number": number, "value": "{{ env }}"}).to_string();
        let put = PutDocument { content, message: None, schema: None };
        let begun = Instant::now();
        place.cms.documents().put(&place.ctx, project, Kind::Config, &name, put, Expected::Any).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e9);
    }
    let (p50, p99) = (percentile(times.clone(), 50.0), percentile(times, 99.0));
    let shown = format!("p50 {} p99 {}", time(p50), time(p99));
    table.row("a durable write of one config", &shown, p50 / 1e6, " ms", Target::AtMost(20.0));
    table.close();
    Ok(())
}

/// What some rounds showed.
#[derive(Default)]
struct Seen {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Seen {
    fn add(&mut self, (rate, times): (f64, Vec<f64>)) {
        self.rate.push(rate);
        self.p50.push(percentile(times.clone(), 50.0));
        self.p99.push(percentile(times, 99.0));
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let middle = |figures: &Vec<f64>| median(figures.clone());
        let (p50, p99) = (time(middle(&self.p50)), time(middle(&self.p99)));
        write!(f, "{} p50 {p50} p99 {p99}", rate(middle(&self.rate)))
    }
}

/// The median of the ratios of each round.
fn ratio(own: &[f64], theirs: &[f64]) -> f64 {
    median(own.iter().zip(theirs).map(|(own, theirs)| own / theirs).collect())
}

fn next(number: &AtomicU64) -> u64 {
    number.fetch_add(1, Ordering::Relaxed)
}

/// Lets clients repeat an operation for a while; operations a second, and how long each took.
async fn run(
    clients: usize,
    length: Duration,
    operation: impl AsyncFn(usize) -> Result<()>,
) -> Result<(f64, Vec<f64>)> {
    let begun = Instant::now();
    let client = async |number| {
        let mut times = Vec::new();
        while begun.elapsed() < length {
            let start = Instant::now();
            operation(number).await?;
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        Ok::<_, Box<dyn std::error::Error>>(times)
    };
    let times: Vec<f64> = try_join_all((0..clients).map(client)).await?.into_iter().flatten().collect();
    Ok((times.len() as f64 / begun.elapsed().as_secs_f64(), times))
}
