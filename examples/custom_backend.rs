// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A storage backend of one's own: everything in memory, and every transaction in a journal that is
//! flushed to the disk before it is acknowledged. It runs the conformance suite over itself.
//!
//! Run it with `cargo run -p cms-examples --example custom_backend`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cms_core::store::{
    Capabilities, Entry, LeaseId, MAX_TRANSACTION_ITEMS, MemoryStore, Operation, Outcome, Page, Range,
    Revision, Store, StoreError, StoreErrorKind, StoreResult, Transaction, WatchStream,
};
use cms_core::testing::store_conformance::{Factory, cases};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// The backend's name, as errors and health reports show it.
const NAME: &str = "journal";

/// One line of the journal.
#[derive(Serialize, Deserialize)]
enum Line {
    Transaction(Vec<Step>),
    Compaction(Revision),
}

#[derive(Serialize, Deserialize)]
enum Step {
    Put(String, Vec<u8>),
    Delete(String),
    DeletePrefix(String),
}

/// A store in memory with a journal.
#[derive(Debug)]
struct JournalStore {
    memory: MemoryStore,
    /// Whoever holds it is the only one who changes anything.
    journal: Mutex<File>,
}

impl JournalStore {
    /// Opens a journal and repeats what it holds. A last line that a crash has cut is left out.
    async fn open(path: &Path) -> StoreResult<Self> {
        let memory = MemoryStore::new();
        let mut whole = 0;
        if let Ok(file) = File::open(path) {
            let mut reader = BufReader::new(file);
            let mut text = String::new();
            while reader.read_line(&mut text).map_err(broken)? > 0 && text.ends_with('\n') {
                match serde_json::from_str(&text).map_err(broken)? {
                    Line::Transaction(steps) => drop(memory.transact(repeated(steps)).await),
                    Line::Compaction(upto) => drop(memory.compact(upto).await),
                }
                whole += text.len() as u64;
                text.clear();
            }
        }
        let journal = OpenOptions::new().create(true).append(true).open(path).map_err(broken)?;
        journal.set_len(whole).map_err(broken)?;
        Ok(Self { memory, journal: Mutex::new(journal) })
    }
}

/// Appends a line and waits for the disk. A blocking call in an async function is fine for an
/// example; a real backend has a thread of its own for it.
fn append(journal: &mut File, line: &Line) -> StoreResult<()> {
    let mut text = serde_json::to_vec(line).map_err(broken)?;
    text.push(b'\n');
    journal.write_all(&text).and_then(|()| journal.sync_data()).map_err(broken)
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(NAME, StoreErrorKind::Unavailable, "the journal cannot be used").with_source(error)
}

fn steps(operations: &[Operation]) -> Vec<Step> {
    let step = |operation: &Operation| match operation {
        Operation::Put { key, value, .. } => Step::Put(key.clone(), value.to_vec()),
        Operation::Delete { key } => Step::Delete(key.clone()),
        Operation::DeletePrefix { prefix } => Step::DeletePrefix(prefix.clone()),
    };
    operations.iter().map(step).collect()
}

fn repeated(steps: Vec<Step>) -> Transaction {
    steps.into_iter().fold(Transaction::new(), |transaction, step| match step {
        Step::Put(key, value) => transaction.put(key, value),
        Step::Delete(key) => transaction.delete(key),
        Step::DeletePrefix(prefix) => transaction.delete_prefix(prefix),
    })
}

#[async_trait]
impl Store for JournalStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            shared: false,
            leases: false,
            keyed_history: true,
            transaction_items: MAX_TRANSACTION_ITEMS,
        }
    }

    async fn get(&self, key: &str) -> StoreResult<Option<Entry>> {
        self.memory.get(key).await
    }

    async fn range(&self, range: Range) -> StoreResult<Page> {
        self.memory.range(range).await
    }

    async fn transact(&self, transaction: Transaction) -> StoreResult<Outcome> {
        let mut journal = self.journal.lock().await;
        let asked = Transaction { operations: Vec::new(), ..transaction.clone() };
        let outcome = self.memory.transact(asked).await?;
        if transaction.operations.is_empty() || matches!(outcome, Outcome::Conflict { .. }) {
            return Ok(outcome);
        }
        // On the disk first: nobody reads what a crash could take back. What the memory refuses
        // afterwards (a key that is too long, say) it refuses again when the journal is repeated.
        append(&mut journal, &Line::Transaction(steps(&transaction.operations)))?;
        self.memory.transact(transaction).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> StoreResult<WatchStream> {
        self.memory.watch(prefix, after).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.memory.revision().await
    }

    async fn compact(&self, upto: Revision) -> StoreResult<()> {
        let mut journal = self.journal.lock().await;
        self.memory.compact(upto).await?;
        append(&mut journal, &Line::Compaction(upto))
    }

    async fn grant_lease(&self, _ttl: Duration) -> StoreResult<LeaseId> {
        Err(StoreError::new(NAME, StoreErrorKind::Unsupported, "this backend has no leases"))
    }

    async fn keep_lease(&self, _lease: LeaseId) -> StoreResult<()> {
        Err(StoreError::new(NAME, StoreErrorKind::Unsupported, "this backend has no leases"))
    }

    async fn revoke_lease(&self, _lease: LeaseId) -> StoreResult<()> {
        Err(StoreError::new(NAME, StoreErrorKind::Unsupported, "this backend has no leases"))
    }

    async fn check(&self) -> StoreResult<()> {
        self.memory.check().await
    }
}

fn factory(path: PathBuf) -> Factory {
    Arc::new(move || {
        let path = path.clone();
        Box::pin(async move { Ok(Arc::new(JournalStore::open(&path).await?) as Arc<dyn Store>) })
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let promised = JournalStore::open(&directory.path().join("probe")).await?.capabilities();
    let (mut passed, mut failed) = (0, 0);
    for (number, case) in cases().into_iter().filter(|case| (case.needs)(promised)).enumerate() {
        let factory = factory(directory.path().join(format!("{number}.journal")));
        match (case.run)(factory).await {
            Ok(()) => passed += 1,
            Err(problem) => {
                failed += 1;
                say(&format!("{}: {problem}", case.name))?;
            }
        }
    }
    say(&format!("{passed} passed, {failed} failed"))?;
    if failed == 0 { Ok(()) } else { Err("the backend does not conform".into()) }
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
