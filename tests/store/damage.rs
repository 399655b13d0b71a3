// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files with flipped, zeroed and missing bytes: an error or the truth, never another value.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cms_core::store::{Range, Store, StoreErrorKind, StoreResult, Transaction};
use libtest_mimic::Failed;

use super::{ensure, open, put, wait};

type State = BTreeMap<String, Vec<u8>>;

/// Writes keys over and over; answers the state after each revision.
async fn history(store: &dyn Store, revisions: usize) -> StoreResult<Vec<State>> {
    let mut states = vec![State::new()];
    for number in 0..revisions {
        let mut state = states.last().cloned().unwrap_or_default();
        let key = format!("p/project/doc/{:03}", number * 37 % 150);
        if number % 11 == 10 && state.contains_key(&key) {
            store.transact(Transaction::new().delete(key.clone())).await?;
            state.remove(&key);
        } else {
            let value = format!("{number}:").repeat(number % 700 + 1).into_bytes();
            put(store, &key, value.clone()).await?;
            state.insert(key, value);
        }
        states.push(state);
    }
    Ok(states)
}

/// What can happen to a block.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip,
    Zero,
    Truncate,
}

/// Copies a store with one block damaged.
fn damaged(from: &Path, to: &Path, name: &str, at: usize, damage: Damage) -> std::io::Result<()> {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to)?;
    for file in ["cms.db", "cms.db-wal"] {
        if from.join(file).exists() {
            fs::copy(from.join(file), to.join(file))?;
        }
    }
    let mut bytes = fs::read(to.join(name))?;
    match damage {
        Damage::Flip => bytes[at + (at / 512 * 131) % 512] ^= 1 << (at / 512 % 8),
        Damage::Zero => bytes[at..at + 512].fill(0),
        Damage::Truncate => bytes.truncate(at),
    }
    fs::write(to.join(name), bytes)
}

/// Opens and reads everything, by key and by range.
async fn read_all(place: &Path, keys: impl Iterator<Item = &String>) -> StoreResult<(u64, State)> {
    let store = open(place).await?;
    let page = store.range(Range::prefix("")).await?;
    let mut state = State::new();
    for key in keys {
        if let Some(entry) = store.get(key).await? {
            state.insert(key.clone(), entry.value.to_vec());
        }
    }
    let ranged: State = page.entries.into_iter().map(|entry| (entry.key, entry.value.to_vec())).collect();
    assert_eq!(
        ranged.keys().collect::<Vec<_>>(),
        state.keys().collect::<Vec<_>>(),
        "reading by range and by key"
    );
    assert!(ranged == state, "reading by range and by key");
    Ok((store.revision().await?, state))
}

/// Damages blocks of a file in turn, about `samples` of them, and judges what is read.
fn each_block(
    place: &Path,
    name: &str,
    samples: usize,
    keys: &State,
    judge: impl Fn(u64, &State) -> bool,
) -> Result<(), Failed> {
    let (from, to) = (place.join("whole"), place.join("damaged"));
    let blocks = usize::try_from(fs::metadata(from.join(name))?.len())? / 512;
    let step = (blocks * 3 / samples).max(1);
    let mut found = 0;
    for (turn, block) in (0..blocks * 3).step_by(step).enumerate() {
        let damage = [Damage::Flip, Damage::Zero, Damage::Truncate][turn % 3];
        damaged(&from, &to, name, block / 3 * 512, damage)?;
        match wait(read_all(&to, keys.keys())) {
            Ok((revision, state)) => {
                ensure(judge(revision, &state), || {
                    format!(
                        "{damage:?} of block {} of `{name}` gave revision {revision} with another state",
                        block / 3
                    )
                })?;
            }
            Err(error) => {
                let known = matches!(
                    error.kind(),
                    StoreErrorKind::Corrupt | StoreErrorKind::Unsupported | StoreErrorKind::Unavailable
                );
                ensure(known, || format!("{damage:?} of block {}: {error}", block / 3))?;
                found += 1;
            }
        }
    }
    println!("{found} of about {samples} damaged blocks of `{name}` were found");
    Ok(())
}

pub fn of_the_file(place: &Path) -> Result<(), Failed> {
    let whole = place.join("whole");
    let states = wait(async {
        let store = open(&whole).await?;
        history(&*store, 1200).await
    })?;
    ensure(!whole.join("cms.db-wal").exists(), || "the log was not moved at the end".into())?;
    let last = &states[states.len() - 1];
    each_block(place, "cms.db", 250, &every_key(&states), |_, state| state == last)
}

pub fn of_the_log(place: &Path) -> Result<(), Failed> {
    let (live, whole) = (place.join("live"), place.join("whole"));
    fs::create_dir(&whole)?;
    let states = wait(async {
        let store = open(&live).await?;
        let states = history(&*store, 500).await?;
        // As a crash would leave them.
        for file in ["cms.db", "cms.db-wal"] {
            fs::copy(live.join(file), whole.join(file))?;
        }
        Ok::<_, Failed>(states)
    })?;
    let judge = |revision: u64, state: &State| {
        usize::try_from(revision).is_ok_and(|revision| states.get(revision) == Some(state))
    };
    each_block(place, "cms.db-wal", 160, &every_key(&states), judge)
}

fn every_key(states: &[State]) -> State {
    states.iter().flatten().map(|(key, _)| (key.clone(), Vec::new())).collect()
}

pub fn of_a_value(place: &Path) -> Result<(), Failed> {
    let value = b"a value that is found again in the file ".repeat(4);
    wait(async {
        let store = open(place).await?;
        put(&*store, "p/a", value.clone()).await?;
        Ok::<_, Failed>(put(&*store, "p/b", "other").await?)
    })?;
    let file = place.join("cms.db");
    let mut bytes = fs::read(&file)?;
    let at = bytes
        .windows(value.len())
        .position(|window| window == value)
        .ok_or("the value is not in the file")?;
    bytes[at + 20] ^= 1;
    fs::write(&file, bytes)?;
    let mut config = cms_store::embedded::EmbeddedConfig::new(place);
    let opened = cms_store::embedded::EmbeddedStore::open(config.clone());
    let error = opened.err().ok_or("the damage was not found when the store was opened")?;
    ensure(error.kind() == StoreErrorKind::Corrupt && error.to_string().contains("`p/a`"), || {
        error.to_string()
    })?;
    // A large store is not read through when it is opened.
    config.check_bytes = 0;
    wait(async {
        let store = cms_store::embedded::EmbeddedStore::open(config)?;
        let errors = [
            store.get("p/a").await.err(),
            store.range(Range::prefix("p/")).await.err(),
            store.check().await.err(),
        ];
        for error in errors {
            let error = error.ok_or("the damage was not found")?;
            ensure(error.kind() == StoreErrorKind::Corrupt && error.to_string().contains("`p/a`"), || {
                error.to_string()
            })?;
        }
        let other = store.get("p/b").await?.ok_or("`p/b` is not there")?;
        ensure(&other.value[..] == b"other", || format!("{other:?}"))
    })
}
