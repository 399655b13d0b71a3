// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same random operations on the memory model and on the embedded store: every answer, every
//! entry, every revision and every change that a watch delivers must be the same.
//!
//! A failure prints its shrunken steps and is kept in `proptest-regressions/`, which replays it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cms_core::store::{
    Batch, Condition, Durability, Event, LeaseId, MemoryStore, Operation, Range, Revision, Store,
    StoreErrorKind, StoreResult, Transaction, WatchStream,
};
use futures_util::StreamExt;
use proptest::prelude::*;

const KEYS: [&str; 9] = ["a", "a/", "a/b", "a/b/c", "a0", "b", "b\0", "ä", "😀"];

/// One operation on both stores.
#[derive(Debug, Clone)]
enum Step {
    /// With which of the keys' former values go.
    Transact(Vec<Guard>, Vec<Write>, bool, Option<usize>),
    Range {
        start: usize,
        end: Option<usize>,
        limit: usize,
        descending: bool,
    },
    /// Forgets this share (in 16ths) of the revisions.
    Compact(u64),
    /// Watches from this share (in 16ths) of the revisions.
    Watch(u64, usize),
    Grant,
    Revoke(usize),
    Reopen,
    Check,
}

#[derive(Debug, Clone)]
enum Guard {
    Absent(usize),
    Present(usize),
    /// With a revision so many before the present one.
    Unchanged(usize, u64),
}

#[derive(Debug, Clone)]
enum Write {
    Put(usize, u8),
    Leased(usize, usize),
    Delete(usize),
    DeletePrefix(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS.len();
    let guard = prop_oneof![
        key.clone().prop_map(Guard::Absent),
        key.clone().prop_map(Guard::Present),
        (key.clone(), 0..4_u64).prop_map(|(key, before)| Guard::Unchanged(key, before)),
    ];
    let write = prop_oneof![
        5 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Write::Put(key, value)),
        1 => (key.clone(), 0..4_usize).prop_map(|(key, lease)| Write::Leased(key, lease)),
        2 => key.clone().prop_map(Write::Delete),
        1 => key.clone().prop_map(Write::DeletePrefix),
    ];
    let guards = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(guard, 1..3)];
    let step = prop_oneof![
        12 => (guards, prop::collection::vec(write, 0..4), any::<bool>(), prop::option::weighted(0.2, key.clone()))
            .prop_map(|(guards, writes, durable, erased)| Step::Transact(guards, writes, durable, erased)),
        3 => (key.clone(), prop::option::of(key.clone()), 0..5_usize, any::<bool>())
            .prop_map(|(start, end, limit, descending)| Step::Range { start, end, limit, descending }),
        1 => (0..20_u64).prop_map(Step::Compact),
        2 => (0..20_u64, key).prop_map(|(share, prefix)| Step::Watch(share, prefix)),
        1 => Just(Step::Grant),
        1 => (0..4_usize).prop_map(Step::Revoke),
        1 => Just(Step::Reopen),
        1 => Just(Step::Check),
    ];
    prop::collection::vec(step, 1..60)
}

/// The model, the store that must equal it, and the leases that both have granted.
struct Pair<'p> {
    place: &'p Path,
    model: Arc<dyn Store>,
    store: Arc<dyn Store>,
    leases: Vec<(LeaseId, LeaseId)>,
}

impl Pair<'_> {
    async fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step).await;
            self.compare_states(step).await;
        }
        self.store.check().await.unwrap();
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Transact(guards, writes, durable, erased) => {
                self.transact(guards, writes, *durable, *erased).await;
            }
            Step::Range { start, end, limit, descending } => {
                let end = end.map_or(String::new(), |end| KEYS[end].to_owned());
                let range =
                    Range { start: KEYS[*start].to_owned(), end, limit: *limit, descending: *descending };
                same(step, self.model.range(range.clone()).await, self.store.range(range).await);
            }
            Step::Compact(share) => {
                let upto = self.share(*share).await;
                same(step, self.model.compact(upto).await, self.store.compact(upto).await);
            }
            Step::Watch(share, prefix) => self.watch(step, *share, KEYS[*prefix]).await,
            Step::Grant => {
                let ttl = Duration::from_secs(3600);
                let pair =
                    (self.model.grant_lease(ttl).await.unwrap(), self.store.grant_lease(ttl).await.unwrap());
                self.leases.push(pair);
            }
            Step::Revoke(lease) => {
                let (model, store) = self.lease(*lease);
                same(step, self.model.revoke_lease(model).await, self.store.revoke_lease(store).await);
            }
            Step::Reopen => {
                self.store = Arc::new(MemoryStore::new());
                self.store = open(self.place).await;
            }
            Step::Check => self.store.check().await.unwrap(),
        }
    }

    fn lease(&self, lease: usize) -> (LeaseId, LeaseId) {
        self.leases.get(lease).copied().unwrap_or((LeaseId(999), LeaseId(999)))
    }

    async fn share(&self, share: u64) -> Revision {
        self.model.revision().await.unwrap() * share / 16
    }

    async fn transact(&self, guards: &[Guard], writes: &[Write], durable: bool, erased: Option<usize>) {
        let present = self.model.revision().await.unwrap();
        let mut model = Transaction::new();
        if !durable {
            model.durability = Durability::Process;
        }
        model.erased = erased.map(|key| KEYS[key].to_owned()).into_iter().collect();
        model.conditions = guards.iter().map(|guard| condition(guard, present)).collect();
        let mut store = model.clone();
        for write in writes {
            model.operations.push(operation(write, |lease| self.lease(lease).0));
            store.operations.push(operation(write, |lease| self.lease(lease).1));
        }
        let what = (guards, writes);
        same(what, self.model.transact(model).await, self.store.transact(store).await);
    }

    async fn watch(&self, step: &Step, share: u64, prefix: &str) {
        let after = self.share(share).await;
        let (model, store) = (self.model.watch(prefix, after).await, self.store.watch(prefix, after).await);
        match (model, store) {
            (Ok(model), Ok(store)) => {
                let whole = self.model.watch("", after).await.unwrap();
                let expected =
                    under(prefix, drain(whole, self.model.revision().await.unwrap() - after).await);
                let count = expected.len() as u64;
                assert_eq!(drain(model, count).await, expected, "the model at {step:?}");
                assert_eq!(drain(store, count).await, expected, "the store at {step:?}");
            }
            (model, store) => same(step, model.map(|_| ()), store.map(|_| ())),
        }
    }

    async fn compare_states(&self, step: &Step) {
        same(step, self.model.range(Range::prefix("")).await, self.store.range(Range::prefix("")).await);
        for key in KEYS {
            same(step, self.model.get(key).await, self.store.get(key).await);
        }
    }
}

/// The changes under a prefix.
fn under(prefix: &str, batches: Vec<Batch>) -> Vec<Batch> {
    let filtered = batches.into_iter().map(|batch| {
        let events: Vec<Event> =
            batch.events.into_iter().filter(|event| event.key.starts_with(prefix)).collect();
        Batch { revision: batch.revision, events }
    });
    filtered.filter(|batch| !batch.events.is_empty()).collect()
}

async fn drain(mut watch: WatchStream, count: u64) -> Vec<Batch> {
    let mut batches = Vec::new();
    for _ in 0..count {
        let batch = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
        batches.push(batch.expect("a change within 10 s").unwrap().unwrap());
    }
    batches
}

fn condition(guard: &Guard, present: Revision) -> Condition {
    match guard {
        Guard::Absent(key) => Condition::Absent(KEYS[*key].to_owned()),
        Guard::Present(key) => Condition::Present(KEYS[*key].to_owned()),
        Guard::Unchanged(key, before) => {
            Condition::Unchanged(KEYS[*key].to_owned(), present.saturating_sub(*before))
        }
    }
}

fn operation(write: &Write, lease: impl Fn(usize) -> LeaseId) -> Operation {
    let key = |key: &usize| KEYS[*key].to_owned();
    match write {
        Write::Put(at, value) => {
            // Some values span pages.
            let value = vec![*value; usize::from(*value) * usize::from(*value) / 4];
            Operation::Put { key: key(at), value: value.into(), lease: None }
        }
        Write::Leased(at, number) => {
            Operation::Put { key: key(at), value: "l".into(), lease: Some(lease(*number)) }
        }
        Write::Delete(at) => Operation::Delete { key: key(at) },
        Write::DeletePrefix(at) => Operation::DeletePrefix { prefix: key(at) },
    }
}

/// Values must be equal, errors of one kind.
fn same<T: PartialEq + std::fmt::Debug>(
    what: impl std::fmt::Debug,
    model: StoreResult<T>,
    store: StoreResult<T>,
) {
    let kind = |result: StoreResult<T>| -> Result<T, StoreErrorKind> { result.map_err(|error| error.kind()) };
    assert_eq!(kind(store), kind(model), "the store, then the model, at {what:?}");
}

async fn open(place: &Path) -> Arc<dyn Store> {
    cms_store::open(&format!("embedded:{}", place.display())).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_equals_the_model(steps in steps()) {
        let place = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(place.path()).await;
            let model = Arc::new(MemoryStore::new());
            Pair { place: place.path(), model, store, leases: Vec::new() }.run(&steps).await;
        });
    }
}
