// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The barrier over a store: what opens, what does not, and what survives rotation, crashes,
//! other processes and the wrong key.

use std::sync::Arc;
use std::time::Duration;

use super::keyring::{MAX_AGE, MAX_SEALS, ROOT_KEY, ROTATE_AFTER_SEALS};
use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::error::ErrorKind;
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;
use crate::store::{Db, Entry, MemoryStore, Outcome, Range, Store, Transaction};

const KEY: &str = "p/rag/secv/db@00000001";
const PLAINTEXT: &[u8] = b"sk-live-canary-4242424242";

/// An installation: a store, and the barriers of as many processes as a test wants.
struct Installation {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

impl Installation {
    async fn new() -> (Self, Barrier) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let this = Self { store: Arc::new(MemoryStore::new()), clock };
        let barrier = this.process(seal(1));
        let first = barrier.initialize().await.unwrap();
        assert!(this.commit(first).await);
        barrier.unseal().await.unwrap();
        let onboarding = barrier.create_project_key(&rag()).await.unwrap();
        assert!(this.commit(onboarding).await);
        (this, barrier)
    }

    /// A process of its own: another cache, other keys in memory.
    fn process(&self, seal: Arc<dyn Seal>) -> Barrier {
        Barrier::new(Db::new(self.store.clone()), seal, self.clock.clone())
    }

    async fn unsealed(&self) -> Barrier {
        let barrier = self.process(seal(1));
        barrier.unseal().await.unwrap();
        barrier
    }

    async fn commit(&self, transaction: Transaction) -> bool {
        matches!(self.store.transact(transaction).await.unwrap(), Outcome::Committed { .. })
    }

    async fn dump(&self) -> Vec<Entry> {
        self.store.range(Range::prefix("")).await.unwrap().entries
    }

    async fn put(&self, key: &str, value: Vec<u8>) {
        assert!(self.commit(Transaction::new().put(key, value)).await);
    }
}

fn rag() -> ProjectId {
    ProjectId::parse("rag").unwrap()
}

fn seal(byte: u8) -> Arc<dyn Seal> {
    let key: Vec<u8> = (0..32).map(|i| byte ^ i).collect();
    Arc::new(KeySeal::new(KeySource::Bytes(Sensitive::new(key))))
}

async fn opens(barrier: &Barrier, sealed: &[u8]) -> bool {
    match barrier.open(&rag(), KEY, 1, sealed).await {
        Ok(opened) => opened.expose() == PLAINTEXT,
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_value_opens_only_where_it_was_sealed() {
    let (_installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(opens(&barrier, &sealed).await);
    let platform = ProjectId::platform();
    for (project, key, version) in
        [(&platform, KEY, 1), (&rag(), "p/rag/secv/db@00000002", 1), (&rag(), KEY, 2), (&rag(), KEY, 0)]
    {
        let error = barrier.open(project, key, version, &sealed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(!format!("{error}").contains("secv"), "the store's keys are not for strangers");
    }
}

#[tokio::test]
async fn altered_and_cut_values_are_errors() {
    let (_installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    for at in 0..sealed.len() {
        let mut flipped = sealed.to_vec();
        flipped[at] ^= 0x80;
        assert!(barrier.open(&rag(), KEY, 1, &flipped).await.is_err(), "flipped at {at}");
        assert!(barrier.open(&rag(), KEY, 1, &sealed[..at]).await.is_err(), "cut at {at}");
    }
    assert_ne!(sealed, barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap());
}

#[tokio::test]
async fn an_altered_keyring_is_an_error_and_never_another_key() {
    let (installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    for key in ["keys/rag", ROOT_KEY] {
        let whole = installation.store.get(key).await.unwrap().unwrap().value.to_vec();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            installation.put(key, flipped).await;
            let other = installation.process(seal(1));
            let result = match other.unseal().await {
                Ok(()) => other.open(&rag(), KEY, 1, &sealed).await,
                Err(error) => Err(error),
            };
            // A flip in the spelling of a field may be refused or be harmless, but never opens wrongly.
            if let Ok(opened) = result {
                assert_eq!(opened.expose(), PLAINTEXT, "{key} flipped at {at}");
            }
        }
        installation.put(key, whole).await;
    }
    // One project's keyring in the place of another's.
    let own = installation.store.get("keys/platform").await.unwrap().unwrap().value.to_vec();
    installation.put("keys/rag", own).await;
    let other = installation.unsealed().await;
    assert_eq!(other.open(&rag(), KEY, 1, &sealed).await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn nothing_opens_while_sealed() {
    let (installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    barrier.seal_up();
    assert!(barrier.is_sealed());
    let errors = [
        barrier.open(&rag(), KEY, 1, &sealed).await.unwrap_err(),
        barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap_err(),
        barrier.derive("anything").unwrap_err(),
        barrier.create_project_key(&rag()).await.unwrap_err(),
        barrier.rotate_project_key(&rag()).await.unwrap_err(),
        barrier.rotate_root_key().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Sealed, "sealed"));
    }
    assert!(installation.process(seal(1)).is_sealed(), "a new process begins sealed");
    barrier.unseal().await.unwrap();
    assert!(opens(&barrier, &sealed).await);
}

#[tokio::test]
async fn the_wrong_seal_key_opens_nothing_and_changes_nothing() {
    let (installation, _) = Installation::new().await;
    let before = installation.dump().await;
    let wrong = installation.process(seal(2));
    let error = wrong.unseal().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Sealed, "wrong_seal_key"));
    assert!(wrong.is_sealed());
    let error = installation.process(Arc::new(DevSeal)).unseal().await.unwrap_err();
    assert_eq!(error.code(), "wrong_seal");
    let error = wrong.initialize().await.unwrap_err();
    assert_eq!(error.code(), "already_initialized");
    assert_eq!(installation.dump().await, before);
}

#[tokio::test]
async fn an_empty_store_says_that_it_is_empty() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let barrier = Barrier::new(Db::new(store), seal(1), clock);
    assert_eq!(barrier.unseal().await.unwrap_err().code(), "not_initialized");
    assert!(!barrier.is_initialized().await.unwrap());
}

#[tokio::test]
async fn the_dev_seal_opens_again_without_a_key() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let first = Barrier::new(Db::new(store.clone()), Arc::new(DevSeal), clock.clone());
    store.transact(first.initialize().await.unwrap()).await.unwrap();
    let again = Barrier::new(Db::new(store), Arc::new(DevSeal), clock);
    again.unseal().await.unwrap();
    assert_eq!(again.seal_state(), ("dev", SealState::Ready));
    assert_eq!(first.derive("x").unwrap().expose(), again.derive("x").unwrap().expose());
}

#[tokio::test]
async fn no_plaintext_and_no_key_reaches_the_store() {
    let (installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    installation.put(KEY, sealed.to_vec()).await;
    let secret = barrier.derive("audit").unwrap();
    for entry in installation.dump().await {
        for needle in [PLAINTEXT, secret.expose().as_slice()] {
            assert!(!entry.value.windows(needle.len()).any(|part| part == needle), "{}", entry.key);
        }
    }
}

#[tokio::test]
async fn sealed_values_survive_the_rotation_of_both_keys() {
    let (installation, barrier) = Installation::new().await;
    let old = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    let derived = barrier.derive("audit").unwrap();

    let change = barrier.rotate_project_key(&rag()).await.unwrap();
    assert_eq!(change.version, 2);
    assert!(opens(&barrier, &old).await, "planned only: nothing has changed");
    assert!(installation.commit(change.transaction).await);
    let new = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert_eq!((Barrier::key_version(&old).unwrap(), Barrier::key_version(&new).unwrap()), (1, 2));

    let change = barrier.rotate_root_key().await.unwrap();
    assert!(installation.commit(change.transaction).await);
    for value in [&old, &new] {
        assert!(opens(&barrier, value).await);
        assert!(opens(&installation.unsealed().await, value).await);
    }
    assert_eq!(barrier.derive("audit").unwrap().expose(), derived.expose());
    assert_ne!(barrier.derive("other").unwrap().expose(), derived.expose());
}

#[tokio::test]
async fn another_process_sees_a_rotation_at_once() {
    let (installation, barrier) = Installation::new().await;
    let other = installation.unsealed().await;
    let warm = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(opens(&other, &warm).await);

    assert!(installation.commit(barrier.rotate_root_key().await.unwrap().transaction).await);
    assert!(installation.commit(barrier.rotate_project_key(&rag()).await.unwrap().transaction).await);
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert_eq!(Barrier::key_version(&sealed).unwrap(), 2);
    assert!(opens(&other, &sealed).await);
    let back = other.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert_eq!(Barrier::key_version(&back).unwrap(), 2);
    // It also onboards under the new root key.
    let project = ProjectId::parse("late").unwrap();
    assert!(installation.commit(other.create_project_key(&project).await.unwrap()).await);
}

#[tokio::test]
async fn a_stale_cache_finds_keys_that_it_has_not_heard_of() {
    let (installation, barrier) = Installation::new().await;
    let db = Db::new(installation.store.clone());
    let follower = tokio::spawn({
        let db = db.clone();
        async move { db.follow().await }
    });
    let other = Barrier::new(db, seal(1), installation.clock.clone());
    other.unseal().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let warm = other.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    // The watch is gone, the cache still answers with the state before the rotation.
    follower.abort();
    assert!(installation.commit(barrier.rotate_project_key(&rag()).await.unwrap().transaction).await);
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(opens(&other, &sealed).await && opens(&other, &warm).await);
}

#[tokio::test]
async fn old_root_keys_are_retired_only_when_nothing_needs_them() {
    let (installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(installation.commit(barrier.rotate_root_key().await.unwrap().transaction).await);
    assert_eq!(barrier.retire_root_keys().await.unwrap_err().code(), "root_key_in_use");
    // Planned before the keyrings are rewrapped, committed after: refused.
    let early = barrier.rotate_project_key(&rag()).await.unwrap();
    for project in barrier.keyring_projects().await.unwrap() {
        let change = barrier.rewrap_project_keys(&project).await.unwrap().unwrap();
        assert!(installation.commit(change).await);
        assert!(barrier.rewrap_project_keys(&project).await.unwrap().is_none());
    }
    assert!(installation.commit(barrier.retire_root_keys().await.unwrap().unwrap()).await);
    assert!(!installation.commit(early.transaction).await);
    assert!(barrier.retire_root_keys().await.unwrap().is_none());
    assert!(opens(&installation.unsealed().await, &sealed).await);
}

#[tokio::test]
async fn a_crash_between_any_two_steps_leaves_everything_readable() {
    // Each step is one transaction; dropping the process after any of them is a crash there.
    for crash_after in 0..6 {
        let (installation, barrier) = Installation::new().await;
        let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
        for step in 0..crash_after {
            let change = match step {
                0 => Some(barrier.rotate_root_key().await.unwrap().transaction),
                1 => Some(barrier.rotate_project_key(&rag()).await.unwrap().transaction),
                2 => barrier.rewrap_project_keys(&rag()).await.unwrap(),
                3 => barrier.rewrap_project_keys(&ProjectId::platform()).await.unwrap(),
                _ => barrier.retire_root_keys().await.unwrap(),
            };
            if let Some(change) = change {
                assert!(installation.commit(change).await);
            }
        }
        drop(barrier);
        let again = installation.unsealed().await;
        assert!(opens(&again, &sealed).await, "crash after {crash_after} steps");
        assert!(again.seal(&ProjectId::platform(), "auth/user/eve", 1, b"x").await.is_ok());
    }
}

#[tokio::test]
async fn two_rotations_at_once_do_not_lose_a_key() {
    let (installation, barrier) = Installation::new().await;
    let other = installation.unsealed().await;
    let one = barrier.rotate_project_key(&rag()).await.unwrap();
    let two = other.rotate_project_key(&rag()).await.unwrap();
    assert!(installation.commit(one.transaction).await);
    assert!(!installation.commit(two.transaction).await, "the second must fail on its condition");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_under_use_loses_nothing() {
    let (installation, barrier) = Installation::new().await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let barrier = if writer % 2 == 0 { barrier.clone() } else { installation.unsealed().await };
        writers.push(tokio::spawn(async move {
            let mut sealed = Vec::new();
            for _ in 0..300 {
                sealed.push(barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap());
                assert!(opens(&barrier, sealed.last().unwrap()).await);
                tokio::task::yield_now().await;
            }
            sealed
        }));
    }
    for round in 0..20 {
        let change = match round % 3 {
            0 => barrier.rotate_root_key().await.unwrap().transaction,
            1 => barrier.rotate_project_key(&rag()).await.unwrap().transaction,
            _ => barrier.rewrap_project_keys(&rag()).await.unwrap().unwrap_or_default(),
        };
        assert!(installation.commit(change).await);
        tokio::task::yield_now().await;
    }
    let late = installation.unsealed().await;
    for writer in writers {
        for sealed in writer.await.unwrap() {
            assert!(opens(&late, &sealed).await);
        }
    }
}

#[tokio::test]
async fn an_onboarding_can_seal_before_it_is_committed() {
    let (installation, barrier) = Installation::new().await;
    let project = ProjectId::parse("new").unwrap();
    assert_eq!(barrier.seal(&project, "p/new/sec/k", 1, b"x").await.unwrap_err().kind(), ErrorKind::NotFound);
    let one = barrier.create_project_key(&project).await.unwrap();
    let sealed_one = barrier.seal(&project, "p/new/sec/k", 1, b"one").await.unwrap();
    let two = barrier.create_project_key(&project).await.unwrap();
    let sealed_two = barrier.seal(&project, "p/new/sec/k", 2, b"two").await.unwrap();
    assert!(installation.commit(two).await);
    assert!(!installation.commit(one).await);
    // Whoever won, everything that was sealed meanwhile opens, here and elsewhere.
    for barrier in [barrier.clone(), installation.unsealed().await] {
        assert_eq!(barrier.open(&project, "p/new/sec/k", 1, &sealed_one).await.unwrap().expose(), b"one");
        assert_eq!(barrier.open(&project, "p/new/sec/k", 2, &sealed_two).await.unwrap().expose(), b"two");
    }
    assert_eq!(barrier.create_project_key(&project).await.unwrap_err().code(), "project_exists");
}

#[tokio::test]
async fn an_initialisation_can_seal_before_it_is_committed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let barrier = Barrier::new(Db::new(store.clone()), seal(1), clock.clone());
    let rival = Barrier::new(Db::new(store.clone()), seal(1), clock);
    let first = barrier.initialize().await.unwrap();
    let second = rival.initialize().await.unwrap();
    let platform = ProjectId::platform();
    let sealed = barrier.seal(&platform, "auth/user/eve", 1, b"hash").await.unwrap();
    let first = first.and(sealed.clone().put("auth/user/eve"));
    assert!(matches!(store.transact(first).await.unwrap(), Outcome::Committed { .. }));
    assert!(matches!(store.transact(second).await.unwrap(), Outcome::Conflict { .. }));
    rival.seal_up();
    rival.unseal().await.unwrap();
    assert_eq!(rival.open(&platform, "auth/user/eve", 1, &sealed).await.unwrap().expose(), b"hash");
}

#[tokio::test]
async fn a_destroyed_key_takes_everything_with_it() {
    let (installation, barrier) = Installation::new().await;
    let other = installation.unsealed().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(opens(&other, &sealed).await);
    assert!(installation.commit(barrier.destroy_project_key(&rag())).await);
    for barrier in [&barrier, &other] {
        for error in [
            barrier.open(&rag(), KEY, 1, &sealed).await.unwrap_err(),
            barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap_err(),
            barrier.rotate_project_key(&rag()).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Sealed, "key_destroyed"));
        }
        assert!(barrier.rewrap_project_keys(&rag()).await.unwrap().is_none());
    }
    // The name may be used again, with keys that open nothing of the past.
    let again = barrier.create_project_key(&rag()).await.unwrap();
    assert!(barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.is_ok());
    assert!(installation.commit(again).await);
    for barrier in [&barrier, &other] {
        assert!(!opens(barrier, &sealed).await);
        let new = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
        assert!(opens(barrier, &new).await);
    }
}

#[tokio::test]
async fn keys_are_due_by_count_and_by_age() {
    let (installation, barrier) = Installation::new().await;
    barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(!barrier.is_rotation_due(&rag()));
    let count = |seals| barrier.set_seals(&rag(), seals);
    count(ROTATE_AFTER_SEALS);
    assert!(barrier.is_rotation_due(&rag()));
    assert_eq!(barrier.rotations_due(), [rag()]);
    // The count is not forgotten when the keyring is loaded anew.
    assert!(installation.commit(barrier.rotate_root_key().await.unwrap().transaction).await);
    let rewrapped = barrier.rewrap_project_keys(&rag()).await.unwrap().unwrap();
    assert!(installation.commit(rewrapped).await);
    barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(barrier.is_rotation_due(&rag()));
    count(MAX_SEALS);
    assert_eq!(barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap_err().code(), "key_exhausted");

    let change = barrier.rotate_project_key(&rag()).await.unwrap();
    assert!(installation.commit(change.transaction).await);
    barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(barrier.rotations_due().is_empty());
    installation.clock.advance(MAX_AGE);
    assert!(barrier.is_rotation_due(&rag()));
}

#[tokio::test]
async fn the_seal_can_be_exchanged() {
    let (installation, barrier) = Installation::new().await;
    let sealed = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    let change = barrier.reseal(&seal(9)).await.unwrap();
    assert!(installation.commit(change).await);
    barrier.adopt_seal(seal(9));
    let other = installation.process(seal(9));
    other.unseal().await.unwrap();
    assert!(opens(&other, &sealed).await && opens(&barrier, &sealed).await);
    let old = installation.process(seal(1));
    assert_eq!(old.unseal().await.unwrap_err().code(), "wrong_seal_key");
}

#[tokio::test]
async fn debug_shows_no_key() {
    let (_installation, barrier) = Installation::new().await;
    barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    let shown = format!("{barrier:?}");
    for byte in barrier.derive("x").unwrap().expose().chunks(4) {
        let part: Vec<String> = byte.iter().map(u8::to_string).collect();
        assert!(!shown.contains(&part.join(", ")));
    }
    assert!(shown.contains("[redacted]"), "the seal's key is hidden");
}

#[tokio::test]
async fn a_value_sealed_before_a_rotation_does_not_reach_the_store_after_it() {
    let (installation, barrier) = Installation::new().await;
    let late = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(installation.commit(barrier.rotate_project_key(&rag()).await.unwrap().transaction).await);
    assert!(!installation.commit(late.put(KEY)).await, "its key may be retired before it is read");
    let again = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(installation.commit(again.put(KEY)).await);
}

#[tokio::test]
async fn a_retired_key_opens_nothing_any_more() {
    let (installation, barrier) = Installation::new().await;
    let old = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(installation.commit(barrier.rotate_project_key(&rag()).await.unwrap().transaction).await);
    assert_eq!(barrier.project_key_versions(&rag()).await.unwrap(), [1, 2]);
    assert!(installation.commit(barrier.retire_project_keys(&rag(), 2).await.unwrap().unwrap()).await);
    assert!(barrier.retire_project_keys(&rag(), 9).await.unwrap().is_none(), "the current one stays");
    assert_eq!(barrier.project_key_versions(&rag()).await.unwrap(), [2]);
    // Who had read the value before still opens it; a new process does not.
    assert!(opens(&barrier, &old).await);
    assert!(!opens(&installation.unsealed().await, &old).await);
    let new = barrier.seal(&rag(), KEY, 1, PLAINTEXT).await.unwrap();
    assert!(opens(&installation.unsealed().await, &new).await);
}

#[tokio::test]
async fn nothing_is_sealed_where_a_rotation_would_not_find_it() {
    let (_installation, barrier) = Installation::new().await;
    for (project, key) in
        [(rag(), "p/rag/elsewhere/x"), (rag(), "p/other/sec/x"), (ProjectId::platform(), "x")]
    {
        assert_eq!(barrier.seal(&project, key, 1, PLAINTEXT).await.unwrap_err().kind(), ErrorKind::Internal);
    }
}
