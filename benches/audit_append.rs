// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the audit trail costs: recording an access before its answer leaves, kept through the end of the
//! process or through the loss of power, by 1, 16 and 256 callers; and a change with its record beside
//! the same change without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use cms_benches::Result;
use cms_benches::harness::measure::{median, percentile};
use cms_benches::harness::process::usage;
use cms_benches::harness::table::{Table, Target, rate, time};
use cms_benches::harness::{Effort, wanted};
use cms_core::RequestContext;
use cms_core::audit::{Audit, AuditSettings, NewRecord};
use cms_core::auth::Principal;
use cms_core::clock::SystemClock;
use cms_core::ids::ProjectId;
use cms_core::sensitive::Sensitive;
use cms_core::store::{Db, Durability, Store, Transaction};
use futures_util::future::try_join_all;
use tempfile::TempDir;

/// The size of the value that a change writes.
const VALUE_BYTES: usize = 120;

fn main() -> Result<()> {
    let effort = Effort::from_env();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted("access") {
            accesses(effort).await?;
        }
        if wanted("commit") {
            commits(effort).await?;
        }
        Ok(())
    })
}

/// A trail on an embedded store of its own.
struct Trail {
    audit: Audit,
    store: Arc<dyn Store>,
    _files: TempDir,
}

async fn trail(durability: Durability) -> Result<Trail> {
    let files = tempfile::tempdir_in(".")?;
    let store = cms_store::open(&format!("embedded:{}", files.path().join("store").display())).await?;
    let settings = AuditSettings { access_durability: durability, ..AuditSettings::default() };
    let key = Sensitive::new([7; 32]);
    let audit = Audit::open(Db::new(store.clone()), Arc::new(SystemClock), &key, settings)?;
    Ok(Trail { audit, store, _files: files })
}

/// Row 12: accesses.
async fn accesses(effort: Effort) -> Result<()> {
    let table = Table::new("12. an access on the trail before its answer", "");
    for (name, durability) in [("kept by the process", Durability::Process), ("fsynced", Durability::Power)] {
        let trail = trail(durability).await?;
        let record =
            || NewRecord::new("secret:reveal", "projects/bench/secret/openai", ProjectId::platform());
        let ctx = RequestContext::new(Principal::root());
        for callers in [1, 16, 256] {
            let outcome =
                run(effort, callers, async |_| Ok(trail.audit.access(&ctx, record()).await?)).await?;
            table.note(&format!("{name}, {callers} callers"), &outcome.to_string());
        }
    }
    table.close();
    Ok(())
}

/// Row 12: changes, with and without their record, in turns.
async fn commits(effort: Effort) -> Result<()> {
    let mut table = Table::new("12. a durable change with its record, against one without", "");
    for callers in [1, 16, 256] {
        let trail = trail(Durability::Process).await?;
        let ctx = RequestContext::new(Principal::root());
        let number = AtomicU64::new(0);
        let change = || {
            let key = format!("bench/{}", number.fetch_add(1, Ordering::Relaxed) % 50_000);
            Transaction::new().put(key, vec![0_u8; VALUE_BYTES])
        };
        let (mut bare, mut audited, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let turn = Effort { rounds: 1, ..effort };
            let without = run(turn, callers, async |_| Ok(trail.store.transact(change()).await?)).await?;
            let with = run(turn, callers, async |_| {
                let record =
                    NewRecord::new("secret:write", "projects/bench/secret/openai", ProjectId::platform());
                Ok(trail.audit.commit(&ctx, record, change()).await?)
            })
            .await?;
            bare.push(without.rate);
            audited.push(with.rate);
            shares.push(with.rate / without.rate);
        }
        let figures = format!("{} without, {} with", rate(median(bare)), rate(median(audited)));
        table.row(
            &format!("{callers} writers: rate with a record"),
            &figures,
            median(shares),
            "x",
            Target::AtLeast(0.9),
        );
    }
    table.close();
    Ok(())
}

/// What some callers saw.
struct Outcome {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99, cpu) = (time(self.p50), time(self.p99), time(self.cpu));
        write!(f, "{} p50 {p50} p99 {p99} cpu {cpu} a record", rate(self.rate))
    }
}

/// Lets callers repeat an operation for a while, each waiting for its answer before the next.
async fn run<T>(
    effort: Effort,
    callers: usize,
    operation: impl AsyncFn(usize) -> Result<T>,
) -> Result<Outcome> {
    let length = effort.slice * 10 * u32::try_from(effort.rounds)?;
    let done = AtomicUsize::new(0);
    let (before, begun) = (usage(std::process::id())?.cpu, Instant::now());
    let caller = async |_| {
        let mut times = Vec::new();
        while begun.elapsed() < length {
            let start = Instant::now();
            operation(done.fetch_add(1, Ordering::Relaxed)).await?;
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        Ok::<_, Box<dyn std::error::Error>>(times)
    };
    let times: Vec<f64> = try_join_all((0..callers).map(caller)).await?.into_iter().flatten().collect();
    let (taken, count) = (begun.elapsed().as_secs_f64(), times.len() as f64);
    let cpu = usage(std::process::id())?.cpu.saturating_sub(before).as_secs_f64() * 1e9 / count;
    Ok(Outcome {
        rate: count / taken,
        p50: percentile(times.clone(), 50.0),
        p99: percentile(times, 99.0),
        cpu,
    })
}
