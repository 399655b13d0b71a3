// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that are killed while they write.

use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use super::child::{Child, value};
use super::{ensure, open, wait};

const KILLS: u64 = 20;

pub fn twenty_kills_lose_nothing(place: &Path) -> Result<(), Failed> {
    let mut acknowledged: Vec<String> = Vec::new();
    let mut recoveries = Vec::new();
    for round in 0..KILLS {
        // Two processes, of which one is killed while the other goes on.
        let mut children = [Child::start("write", place), Child::start("write", place)];
        for child in &mut children {
            acknowledged.push(child.line().ok_or("a child ended")?);
        }
        std::thread::sleep(Duration::from_millis(60 + round * 7));
        let [first, second] = children;
        acknowledged.extend(first.kill());
        std::thread::sleep(Duration::from_millis(20));
        acknowledged.extend(second.kill());
        let begun = Instant::now();
        wait(async {
            let store = open(place).await?;
            recoveries.push(begun.elapsed());
            for key in acknowledged.iter().rev().take(2000) {
                let entry = store.get(key).await?.ok_or_else(|| format!("`{key}` is lost"))?;
                ensure(entry.value == value(key), || format!("`{key}` is torn"))?;
            }
            Ok::<_, Failed>(store.check().await?)
        })?;
    }
    wait(whole(place, &acknowledged))?;
    recoveries.sort_unstable();
    ensure(recoveries[10] <= Duration::from_secs(1), || {
        format!("half of the recoveries took {:?}", recoveries[10])
    })
}

/// Every acknowledged key is there, and no transaction was applied by half.
async fn whole(place: &Path, acknowledged: &[String]) -> Result<(), Failed> {
    let store = open(place).await?;
    for key in acknowledged {
        ensure(store.get(key).await?.is_some(), || format!("`{key}` is lost"))?;
    }
    let latest = store.range(cms_core::store::Range::prefix("latest/")).await?;
    for entry in &latest.entries {
        let number: u64 = String::from_utf8_lossy(&entry.value).parse()?;
        let writer = entry.key.trim_start_matches("latest/");
        ensure(store.get(&format!("w/{writer}/{number}")).await?.is_some(), || {
            format!("half of `{writer}/{number}`")
        })?;
        ensure(store.get(&format!("w/{writer}/{}", number + 1)).await?.is_none(), || {
            format!("half of `{writer}/{number}`")
        })?;
    }
    ensure(latest.entries.len() == KILLS as usize * 8, || format!("{} writers", latest.entries.len()))
}
