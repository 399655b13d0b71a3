// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several processes on one store.

use std::path::Path;
use std::time::{Duration, Instant};

use cms_core::store::StoreErrorKind;
use futures_util::StreamExt;
use libtest_mimic::Failed;

use super::child::Child;
use super::{ensure, open, put, wait};

pub fn a_commit_reaches_another_process(place: &Path) -> Result<(), Failed> {
    let mut child = Child::start("echo", place);
    child.line().ok_or("the child ended")?;
    let mut times = wait(async {
        let store = open(place).await?;
        let mut watch = store.watch("pong", store.revision().await?).await?;
        let mut times = Vec::new();
        for number in 0..25 {
            let begun = Instant::now();
            put(&*store, "ping", number.to_string()).await?;
            let batch = watch.next().await.ok_or("the watch ended")??;
            times.push(begun.elapsed());
            let value = batch.events[0].entry.as_ref().map(|entry| entry.value.clone());
            ensure(value.as_deref() == Some(number.to_string().as_bytes()), || {
                format!("{batch:?} at {number}")
            })?;
        }
        Ok::<_, Failed>(times)
    })?;
    times.sort_unstable();
    // There and back, twice a commit: the median, as a machine under load may hold up single ones.
    ensure(times[12] <= Duration::from_millis(100), || format!("half took longer than {:?}", times[12]))
}

pub fn increments_are_all_counted(place: &Path) -> Result<(), Failed> {
    let mut children: Vec<Child> = (0..3).map(|_| Child::start("increment", place)).collect();
    children.iter_mut().for_each(Child::wait);
    wait(async {
        let store = open(place).await?;
        let entry = store.get("count").await?.ok_or("no count")?;
        ensure((&entry.value[..], entry.version) == (b"180", 180), || format!("{entry:?}"))?;
        Ok(store.check().await?)
    })
}

pub fn a_killed_process_loses_its_lease(place: &Path) -> Result<(), Failed> {
    let mut child = Child::start("hold", place);
    child.line().ok_or("the child ended")?;
    wait(async {
        let store = open(place).await?;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        ensure(store.get("held").await?.is_some(), || "a kept lease ended".into())?;
        child.kill();
        let killed = Instant::now();
        while store.get("held").await?.is_some() {
            ensure(killed.elapsed() < Duration::from_secs(5), || "the lease did not end within 5 s".into())?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
}

pub fn a_stopped_writer_is_not_waited_for(place: &Path) -> Result<(), Failed> {
    wait(async {
        let store = open(place).await?;
        put(&*store, "a", "1").await?;
        // Holds the write lock as a stopped process would in the middle of a commit.
        let blocker = rusqlite::Connection::open(place.join("cms.db"))?;
        blocker.execute_batch("BEGIN IMMEDIATE")?;
        let begun = Instant::now();
        let refused = put(&*store, "b", "1").await;
        let waited = begun.elapsed();
        ensure(refused.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Unavailable), || {
            format!("{refused:?}")
        })?;
        ensure(waited >= Duration::from_secs(4) && waited < Duration::from_secs(8), || {
            format!("after {waited:?}")
        })?;
        ensure(store.get("a").await?.is_some(), || "reads do not go on".into())?;
        blocker.execute_batch("ROLLBACK")?;
        put(&*store, "b", "1").await?;
        Ok(())
    })
}

pub fn many_may_make_the_store_at_once(place: &Path) -> Result<(), Failed> {
    let place = place.join("new");
    let mut children: Vec<Child> = (0..6).map(|_| Child::start("make", &place)).collect();
    let mut revisions: Vec<String> = children.iter_mut().filter_map(Child::line).collect();
    revisions.sort();
    ensure(revisions == ["1", "2", "3", "4", "5", "6"], || format!("{revisions:?}"))
}
