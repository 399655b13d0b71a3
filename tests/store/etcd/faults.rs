// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Members that are killed, stand still or are too few, and a history that is forgotten meanwhile.

use std::thread::sleep;
use std::time::{Duration, Instant};

use cms_core::store::{StoreErrorKind, Transaction};
use cms_tests::Etcd;
use futures_util::StreamExt;
use libtest_mimic::Failed;

use super::load::Load;
use super::open;
use crate::{ensure, put, wait};

/// How long leaders are killed.
const KILLING: Duration = Duration::from_secs(30);
/// How long a cluster may take to do its work again.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn killed_leaders() -> Result<(), Failed> {
    let mut etcd = Etcd::cluster(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let load = runtime.block_on(Load::start(&etcd))?;
    let begun = Instant::now();
    let mut kills = 0;
    while begun.elapsed() < KILLING {
        sleep(Duration::from_secs(2));
        let Some(leader) = etcd.leader() else { continue };
        etcd.kill(leader);
        kills += 1;
        sleep(Duration::from_secs(2));
        etcd.launch(leader);
        etcd.wait_until_well(leader);
    }
    runtime.block_on(load.check(&format!("{kills} leaders killed in {:?}", begun.elapsed())))?;
    ensure(kills >= 3, || format!("only {kills} leaders were killed"))
}

pub fn a_paused_leader() -> Result<(), Failed> {
    let etcd = Etcd::cluster(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let load = runtime.block_on(Load::start(&etcd))?;
    sleep(Duration::from_secs(1));
    let leader = etcd.leader().ok_or("there is no leader")?;
    etcd.pause(leader);
    sleep(Duration::from_secs(12));
    etcd.resume(leader);
    sleep(Duration::from_secs(2));
    runtime.block_on(load.check("a leader that stood still for 12 s"))
}

pub fn a_lost_majority() -> Result<(), Failed> {
    let mut etcd = Etcd::cluster(3);
    wait(async {
        let store = open(&etcd).await?;
        let mut watch = store.watch("", store.revision().await?).await?;
        put(&*store, "before", "1").await?;
        let first = watch.next().await.ok_or("the watch ended")??;
        etcd.kill(0);
        etcd.kill(1);
        let begun = Instant::now();
        let read = store.get("before").await;
        let read_after = begun.elapsed();
        let Err(error) = read else { return Err("a read without a majority was answered".into()) };
        ensure(error.kind() == StoreErrorKind::Unavailable, || format!("{error}"))?;
        ensure(error.to_string().contains("majority"), || format!("the error does not help: {error}"))?;
        let Err(error) = put(&*store, "during", "1").await else {
            return Err("a write without a majority was acknowledged".into());
        };
        ensure(error.kind() == StoreErrorKind::Unknown, || format!("{error}"))?;
        ensure(error.to_string().contains("read before"), || format!("the error does not help: {error}"))?;
        etcd.launch(0);
        etcd.launch(1);
        let back = Instant::now();
        while let Err(error) = put(&*store, "after", "1").await {
            ensure(back.elapsed() < PATIENCE, || format!("not back after {PATIENCE:?}: {error}"))?;
        }
        println!(
            "a majority lost: the error came after {:.1} s; back, a write went through after {:.1} s",
            read_after.as_secs_f64(),
            back.elapsed().as_secs_f64()
        );
        let mut revision = first.revision;
        loop {
            let batch = tokio::time::timeout(PATIENCE, watch.next()).await?.ok_or("the watch ended")??;
            ensure(batch.revision > revision, || format!("{batch:?} after {revision}"))?;
            revision = batch.revision;
            if batch.events.iter().any(|event| event.key == "after") {
                return Ok(());
            }
        }
    })
}

pub fn compaction_while_watching() -> Result<(), Failed> {
    let etcd = Etcd::single();
    wait(async {
        let store = open(&etcd).await?;
        let other = open(&etcd).await?;
        let mut watch = store.watch("", 0).await?;
        for number in 1..=300_u64 {
            let revision = put(&*other, "a", number.to_string()).await?;
            if number % 7 == 0 {
                other.compact(revision).await?;
            }
            let batch = watch.next().await.ok_or("the watch ended")??;
            ensure(batch.revision == revision, || format!("{batch:?}, expected {revision}"))?;
        }
        let lagging = other.watch("", 10).await.map(|_| ());
        ensure(lagging.is_err_and(|error| error.kind() == StoreErrorKind::Compacted), || {
            "a watch from a forgotten revision began".to_owned()
        })?;
        // What is erased is forgotten as well, and the watch that was there goes on.
        let erased = other.transact(Transaction::new().delete("a").erasing("a")).await?;
        let batch = watch.next().await.ok_or("the watch ended")??;
        ensure(batch.events[0].entry.is_none(), || format!("{batch:?} after {erased:?}"))
    })
}
