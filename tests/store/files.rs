// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is on the disk: whose, how large, and what is left alone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cms_core::store::{Durability, Range, Store, StoreErrorKind, StoreResult, Transaction};
use cms_store::embedded::{EmbeddedConfig, EmbeddedStore};
use libtest_mimic::Failed;

use super::{ensure, open, put, wait};

pub fn they_are_for_their_owner_only(place: &Path) -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    let place = place.join("deep/store");
    wait(async {
        let store = open(&place).await?;
        put(&*store, "a", "1").await?;
        let mode = |path: &Path| Ok::<_, Failed>(fs::metadata(path)?.permissions().mode() & 0o777);
        ensure(mode(&place)? == 0o700, || "the directory is open to others".into())?;
        for file in fs::read_dir(&place)? {
            let path = file?.path();
            ensure(mode(&path)? == 0o600, || format!("`{}` is open to others", path.display()))?;
        }
        Ok(())
    })
}

/// Opening must fail with the kind, name `word`, and leave the file as it is.
fn refused(place: &Path, kind: StoreErrorKind, word: &str) -> Result<(), Failed> {
    let before = fs::read(place.join("cms.db"))?;
    let Err(error) = wait(open(place)) else { return Err("the file was opened".into()) };
    ensure(error.kind() == kind && error.to_string().contains(word), || {
        format!("{:?}: {error}", error.kind())
    })?;
    ensure(fs::read(place.join("cms.db"))? == before, || "the file was changed".into())
}

pub fn a_foreign_file_is_refused(place: &Path) -> Result<(), Failed> {
    fs::write(place.join("cms.db"), "not a database, but a letter to somebody\n".repeat(200))?;
    refused(place, StoreErrorKind::Corrupt, "choose another directory")?;
    fs::remove_file(place.join("cms.db"))?;
    let other = rusqlite::Connection::open(place.join("cms.db"))?;
    other.execute_batch("CREATE TABLE letters (text TEXT); INSERT INTO letters VALUES ('dear');")?;
    drop(other);
    refused(place, StoreErrorKind::Unsupported, "another program")
}

pub fn a_newer_format_is_refused(place: &Path) -> Result<(), Failed> {
    wait(async { put(&*open(place).await?, "a", "1").await })?;
    let newer = rusqlite::Connection::open(place.join("cms.db"))?;
    newer.execute_batch("PRAGMA user_version = 99")?;
    drop(newer);
    refused(place, StoreErrorKind::Unsupported, "use the newer version")
}

pub fn an_unknown_scheme_names_the_known_ones(_: &Path) -> Result<(), Failed> {
    let Err(error) = wait(cms_store::open("etch://user:password@host")) else {
        return Err("it was opened".into());
    };
    let text = error.to_string();
    ensure(text.contains("`etch:`") && text.contains("`embedded:`") && text.contains("`memory:`"), || {
        text.clone()
    })?;
    ensure(!text.contains("password"), || text)
}

pub fn old_history_does_not_grow(place: &Path) -> Result<(), Failed> {
    let mut config = EmbeddedConfig::new(place);
    config.keep_revisions = 1000;
    wait(async {
        let store = EmbeddedStore::open(config)?;
        overwrite(&store, 3000).await?;
        let once = settled(place, &store, 2000).await?;
        overwrite(&store, 12_000).await?;
        let later = settled(place, &store, 14_000).await?;
        ensure(later <= once * 2, || format!("from {once} to {later} bytes"))?;
        let values = store.range(Range::prefix("")).await?.entries;
        ensure(values.iter().all(|entry| entry.value.len() == 2000), || "a value is not the last".into())?;
        Ok(store.check().await?)
    })
}

/// Bytes that occur nowhere else.
fn planted(key: usize, version: usize) -> Vec<u8> {
    let mut state = (key as u64) << 20 | version as u64;
    let length = 48 + (key * 37 + version * 911) % 6000 / (1 + key % 7);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend((state ^ (state >> 29)).to_le_bytes());
    }
    bytes
}

/// How many of the planted values have left a piece in the store's files.
fn pieces(place: &Path, values: impl Iterator<Item = Vec<u8>>) -> Result<usize, Failed> {
    let mut seen = std::collections::HashSet::new();
    for name in ["cms.db", "cms.db-wal"] {
        let bytes = fs::read(place.join(name)).unwrap_or_default();
        seen.extend(bytes.windows(8).filter_map(|part| <[u8; 8]>::try_from(part).ok()));
    }
    Ok(values.filter(|value| value.chunks_exact(8).any(|part| seen.contains(part))).count())
}

const PLANTED: usize = 150;
const VERSIONS: usize = 4;

async fn plant(store: &dyn Store) -> StoreResult<()> {
    for version in 0..VERSIONS {
        for key in 0..PLANTED {
            let path = format!("s/{}", key * 7919 % PLANTED);
            let mut change = Transaction::new().put(path, planted(key, version));
            change.durability = Durability::Process;
            store.transact(change).await?;
        }
    }
    Ok(())
}

fn all_planted(keys: impl Fn(usize) -> bool) -> impl Iterator<Item = Vec<u8>> {
    let chosen = (0..PLANTED).filter(move |key| keys(*key));
    chosen.flat_map(|key| (0..VERSIONS).map(move |version| planted(key, version)))
}

pub fn erased_values_leave_the_files(place: &Path) -> Result<(), Failed> {
    wait(async {
        let store = EmbeddedStore::open(EmbeddedConfig::new(place))?;
        plant(&store).await?;
        let there = pieces(place, all_planted(|_| true))?;
        ensure(there == PLANTED * VERSIONS, || format!("only {there} values are found at all"))?;
        let goes = |key: usize| !key.is_multiple_of(3);
        for key in (0..PLANTED).filter(|key| goes(*key)) {
            let key = format!("s/{}", key * 7919 % PLANTED);
            let change = match key.len() % 2 {
                0 => Transaction::new().delete(key.clone()).erasing(key),
                _ => Transaction::new().put(key.clone(), "gone").erasing(key),
            };
            store.transact(change).await?;
        }
        // At once, while the store is open.
        let left = pieces(place, all_planted(goes))?;
        ensure(left == 0, || format!("{left} erased values are still in the files"))?;
        let kept = pieces(place, all_planted(|key| !goes(key)))?;
        ensure(kept == PLANTED.div_ceil(3) * VERSIONS, || format!("only {kept} others are left"))?;
        Ok(store.check().await?)
    })
}

pub fn forgotten_history_leaves_the_files(place: &Path) -> Result<(), Failed> {
    wait(async {
        let store = EmbeddedStore::open(EmbeddedConfig::new(place))?;
        plant(&store).await?;
        store.compact(store.revision().await?).await?;
        let begun = Instant::now();
        let replaced = || (0..PLANTED).flat_map(|key| (0..VERSIONS - 1).map(move |at| planted(key, at)));
        loop {
            let left = pieces(place, replaced())?;
            if left == 0 {
                break;
            }
            let text = || format!("{left} replaced values are still in the files");
            ensure(begun.elapsed() < Duration::from_secs(10), text)?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let last = pieces(place, (0..PLANTED).map(|key| planted(key, VERSIONS - 1)))?;
        ensure(last == PLANTED, || format!("only {last} present values are left"))?;
        Ok(store.check().await?)
    })
}

async fn overwrite(store: &dyn Store, times: usize) -> StoreResult<()> {
    for number in 0..times {
        let mut change = Transaction::new().put(format!("k{}", number % 20), vec![7; 2000]);
        change.durability = Durability::Process;
        store.transact(change).await?;
    }
    Ok(())
}

/// Waits until history is forgotten up to a revision; answers the size of the main file.
async fn settled(place: &Path, store: &EmbeddedStore, upto: u64) -> Result<u64, Failed> {
    let begun = Instant::now();
    while store.watch("", upto - 100).await.is_ok() {
        ensure(begun.elapsed() < Duration::from_secs(20), || format!("revision {upto} is still kept"))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = fs::metadata(place.join("cms.db-wal"))?.len();
    ensure(log < 96 * 1024 * 1024, || format!("the log has {log} bytes"))?;
    Ok(fs::metadata(place.join("cms.db"))?.len())
}
