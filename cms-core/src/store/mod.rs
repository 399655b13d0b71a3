// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The storage port: a transactional, ordered key-value store with revisions, modelled on etcd's
//! (<https://etcd.io/docs/latest/learning/api/>).
//!
//! Backends live in `cms-store`. What cuts across them (caching, sealing, metrics) is a layer
//! around any store, never a backend's job.

mod bells;
mod cache;
mod error;
mod limits;
mod memory;
mod scope;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use cache::{Cached, ReadCache};
pub use error::{StoreError, StoreErrorKind};
pub use limits::check_transaction;
pub use memory::MemoryStore;
pub use scope::{Db, Scope};

/// Counts committed transactions of a store, from 1; 0 is the empty store. Where others use the same
/// engine, their changes count as well.
pub type Revision = u64;

/// The result of a store's methods.
pub type StoreResult<T> = Result<T, StoreError>;

/// The longest key, in bytes, that every backend MUST take.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value, in bytes, that every backend MUST take.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024 + 64 * 1024;
/// How many conditions and operations together a transaction may hold on any backend; some take less, see
/// [`Capabilities::transaction_items`].
pub const MAX_TRANSACTION_ITEMS: usize = 512;

/// From this many bytes of values on, a range read ends its page, with [`Page::more`].
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// One key with its value and history numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// The revision at which the key was created.
    pub created: Revision,
    /// The revision of the last change of the key.
    pub modified: Revision,
    /// How often the key was written since it was created, from 1.
    pub version: u64,
}

/// What must hold for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent(String),
    /// The key exists.
    Present(String),
    /// The last change of the key was at this revision.
    Unchanged(String, Revision),
}

impl Condition {
    /// The condition that the key is still as it was read: absent, or unchanged.
    pub fn as_read(key: &str, read: Option<&Entry>) -> Self {
        match read {
            Some(entry) => Self::Unchanged(key.to_owned(), entry.modified),
            None => Self::Absent(key.to_owned()),
        }
    }

    /// The key that the condition is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::Unchanged(key, _) => key,
        }
    }
}

/// What a transaction does. Operations are applied in order; no key may be written twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a value; with a lease, the key goes when the lease ends.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// The lease that the key hangs on.
        lease: Option<LeaseId>,
    },
    /// Removes a key; nothing happens if it does not exist.
    Delete {
        /// The key.
        key: String,
    },
    /// Removes every key that begins with the prefix.
    DeletePrefix {
        /// The prefix, not empty.
        prefix: String,
    },
}

/// What an acknowledged transaction rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives the loss of power (fsync, or a quorum's).
    #[default]
    Power,
    /// It survives the end of the process; a loss of power may take the last moments.
    Process,
}

/// All or nothing: if every condition holds, every operation is applied at one new revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What is done.
    pub operations: Vec<Operation>,
    /// What the acknowledgement promises.
    pub durability: Durability,
    /// Prefixes: of those keys under them that the transaction writes or removes, every former value
    /// since the key was created leaves the history and the medium.
    pub erased: Vec<String>,
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Adds a write.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.operations.push(Operation::Put { key: key.into(), value: value.into(), lease: None });
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.operations.push(Operation::Delete { key: key.into() });
        self
    }

    /// Adds the removal of every key under a prefix.
    #[must_use]
    pub fn delete_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.operations.push(Operation::DeletePrefix { prefix: prefix.into() });
        self
    }

    /// Lets the former values of the keys under a prefix go for good, as far as the transaction writes
    /// or removes these keys.
    #[must_use]
    pub fn erasing(mut self, prefix: impl Into<String>) -> Self {
        self.erased.push(prefix.into());
        self
    }

    /// Whether the former values of a key go for good.
    pub fn erases(&self, key: &str) -> bool {
        self.erased.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Adds all conditions and operations of another transaction; the stronger durability holds.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.operations.extend(other.operations);
        self.erased.extend(other.erased);
        if other.durability == Durability::Power {
            self.durability = Durability::Power;
        }
        self
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every operation was applied at this revision.
    Committed {
        /// The revision of the change.
        revision: Revision,
    },
    /// Nothing was applied.
    Conflict {
        /// The conditions that did not hold, by their place in the transaction; never empty.
        failed: Vec<usize>,
    },
}

/// Which keys a range read asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first key, included.
    pub start: String,
    /// The end, excluded. Empty: no end.
    pub end: String,
    /// How many entries at most; 0 means 1,000. Large values end a page earlier.
    pub limit: usize,
    /// From the end to the start.
    pub descending: bool,
}

impl Range {
    /// Every key that begins with the prefix.
    pub fn prefix(prefix: &str) -> Self {
        Self { start: prefix.to_owned(), end: prefix_end(prefix), limit: 0, descending: false }
    }

    /// Sets how many entries are read at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Reads from the end to the start.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Goes on behind the key that an earlier page ended with.
    #[must_use]
    pub fn after(mut self, key: &str) -> Self {
        // Only ever narrows: a cursor that somebody made up must not lead out of the range.
        if self.descending {
            if self.end.is_empty() || key < self.end.as_str() {
                self.end = key.to_owned();
            }
        } else if key >= self.start.as_str() {
            self.start = format!("{key}\0");
        }
        self
    }
}

/// The end of the range of all keys that begin with `prefix`; empty when there is none.
pub fn prefix_end(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = next_char(last) {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    String::new()
}

/// The character that follows in byte order; the surrogates are no characters.
fn next_char(last: char) -> Option<char> {
    if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) }
}

/// What a range read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order asked for.
    pub entries: Vec<Entry>,
    /// Whether more lie behind the last one.
    pub more: bool,
    /// The revision of the store that was read.
    pub revision: Revision,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: String,
    /// The new state; `None`: removed.
    pub entry: Option<Entry>,
}

/// All changes of one transaction that fall under a watch, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The revision of the transaction.
    pub revision: Revision,
    /// The changes; never empty.
    pub events: Vec<Event>,
}

/// The changes under a prefix, in order of revision, without gap or duplicate. Ends with an error.
pub type WatchStream = Pin<Box<dyn Stream<Item = StoreResult<Batch>> + Send>>;

/// Names a lease of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub u64);

/// What a backend promises, as data: the conformance suite picks its cases from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// An acknowledged transaction survives the end of the process.
    pub durable: bool,
    /// Several processes may open it at once and see each other's commits.
    pub shared: bool,
    /// Leases expire on their own.
    pub leases: bool,
    /// The history is kept by key: an erasure forgets what it erases and nothing else.
    pub keyed_history: bool,
    /// How many conditions and operations together a transaction may hold.
    pub transaction_items: usize,
}

/// A transactional, ordered key-value store with revisions.
///
/// Contract, checked by `testing::store_conformance`:
/// - Keys are UTF-8, at most [`MAX_KEY_BYTES`], ordered by bytes. Longer keys and values past
///   [`MAX_VALUE_BYTES`] MUST be refused with `TooLarge` before anything is changed.
/// - [`Store::transact`] MUST be atomic and isolated, and durable as its [`Durability`] says before
///   it returns. One that changes nothing (no operation, or only removals of what is not there)
///   commits without a new revision. One that touches a key twice MUST be refused with
///   `Unsupported`; [`check_transaction`] does that for every backend.
/// - Reads MUST see every transaction that was acknowledged before they began, by this process;
///   commits of other processes MUST be seen within 50 ms where `shared` is promised.
/// - A watch MUST deliver each transaction after its start exactly once, whole, in order, and MUST
///   answer `Compacted` if its start is older than what is kept, or a revision that this store has
///   not reached (it was put back to an older state).
/// - Values that a transaction erases MUST NOT be delivered by any watch that begins later; what was
///   written then is delivered as a removal, so that no revision is missing. They SHOULD leave the
///   medium as well, as soon as the backend can do that. A backend whose history is not kept by key
///   MUST forget all of it up to that revision instead.
/// - A key written with a lease MUST go as an ordinary change when the lease ends; writing it again
///   without one frees it. Writing with a lease that has ended MUST be refused with `Unsupported`.
/// - Methods MUST be safe to cancel: a dropped call leaves a whole transaction or nothing.
/// - Backends SHOULD NOT retry, cache, encrypt or count.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// The backend's name, for errors and metrics.
    fn name(&self) -> &'static str;

    /// What the backend promises.
    fn capabilities(&self) -> Capabilities;

    /// What an operator should know of the engine and mend, such as a version that loses writes.
    fn warning(&self) -> Option<&str> {
        None
    }

    /// Reads one key.
    async fn get(&self, key: &str) -> StoreResult<Option<Entry>>;

    /// Reads a range of keys.
    async fn range(&self, range: Range) -> StoreResult<Page>;

    /// Applies a transaction if its conditions hold.
    async fn transact(&self, transaction: Transaction) -> StoreResult<Outcome>;

    /// Follows the changes under a prefix (empty: all) after a revision.
    async fn watch(&self, prefix: &str, after: Revision) -> StoreResult<WatchStream>;

    /// The present revision.
    async fn revision(&self) -> StoreResult<Revision>;

    /// Forgets the history up to and including a revision; the present state stays.
    async fn compact(&self, upto: Revision) -> StoreResult<()>;

    /// Begins a lease of the given length (at least 1 s).
    async fn grant_lease(&self, ttl: Duration) -> StoreResult<LeaseId>;

    /// Starts the time of a lease anew; `Unsupported` if it has ended.
    async fn keep_lease(&self, lease: LeaseId) -> StoreResult<()>;

    /// Ends a lease and removes its keys.
    async fn revoke_lease(&self, lease: LeaseId) -> StoreResult<()>;

    /// Checks the medium and the indexes as deeply as the backend can; an error names what is damaged.
    async fn check(&self) -> StoreResult<()>;
}
