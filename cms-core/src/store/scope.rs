// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only way from a service to the store: a scope, which takes a proof of authorization and
//! keeps to the keys of one project. Forgetting the check does not compile.

use std::sync::Arc;
use std::time::Instant;

use super::bells::{Bell, Bells};
use super::{
    Cached, Entry, Event, Outcome, Page, Range, ReadCache, Revision, Store, StoreResult, Transaction,
};
use crate::auth::Authorized;
use crate::counts::{Counts, End};
use crate::error::Result;
use crate::ids::ProjectId;

/// The store and the cache in front of it. Only this crate's plumbing reads it directly.
#[derive(Debug, Clone)]
pub struct Db {
    store: Arc<dyn Store>,
    cache: ReadCache,
    bells: Bells,
    counts: Arc<Counts>,
}

impl Db {
    /// Puts a cache before a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let counts = Arc::<Counts>::default();
        let cache = ReadCache::counted(store.clone(), counts.clone());
        Self { store, cache, bells: Bells::default(), counts }
    }

    /// The keys of one project, for what the proof allows.
    pub fn scope(&self, proof: &Authorized) -> Scope {
        Scope {
            db: self.clone(),
            root: ["p/", proof.project().as_str(), "/"].concat(),
            project: proof.project().clone(),
        }
    }

    /// The keys of a project for CMS's own work (loading snapshots, verification), where no caller
    /// asks and so no proof exists.
    pub(crate) fn internal(&self, project: &ProjectId) -> Scope {
        Scope { db: self.clone(), root: format!("p/{project}/"), project: project.clone() }
    }

    /// The last revision that the cache reflects.
    pub(crate) fn seen(&self) -> Revision {
        self.cache.seen()
    }

    /// Keeps the cache fresh until it is dropped; starts the watch again when it ends, where it was.
    pub async fn follow(&self) {
        let mut reached = None;
        loop {
            let ended = self.follow_once(&mut reached).await;
            tracing::warn!(error = ?ended.err(), "the watch on the store ended; starting it again");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn follow_once(&self, reached: &mut Option<Revision>) -> Result<()> {
        let start = match *reached {
            Some(revision) => revision,
            None => {
                let present = self.store.revision().await?;
                // Only now: whoever reads afresh because of this misses nothing of what follows.
                self.bells.ring_all();
                present
            }
        };
        let followed = self.cache.follow(start, |event: &Event| self.bells.ring(&event.key)).await;
        let forgotten = followed.as_ref().is_err_and(|error| error.code() == "compacted");
        *reached = (!forgotten).then(|| self.cache.seen().max(start));
        followed
    }

    /// A bell that rings when a key of an area changes, `p/{project}/{area}/…`, here or in another process,
    /// after the cache has heard of it; also when changes may have been missed.
    pub(crate) fn bell(&self, project: &ProjectId, area: &str) -> Bell {
        self.bells.bell(project, area)
    }

    /// What is counted.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The backend itself.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Reads a key past the cache: for what a transaction's conditions will be built from.
    pub(crate) async fn fresh(&self, key: &str) -> StoreResult<Option<Entry>> {
        self.store.get(key).await
    }

    /// Reads a key through the cache: at most as stale as the watch.
    pub(crate) async fn cached(&self, key: &str) -> Result<Arc<Cached>> {
        self.cache.get(key).await
    }

    /// What the cache remembers of a key, without asking the backend.
    pub(crate) fn peek(&self, key: &str) -> Option<Arc<Cached>> {
        self.cache.peek(key)
    }

    /// Reads a range, always from the backend.
    pub(crate) async fn range(&self, range: Range) -> StoreResult<Page> {
        self.store.range(range).await
    }

    /// Commits, and makes the change visible to this process's cached reads before it returns.
    pub(crate) async fn commit(&self, transaction: Transaction) -> StoreResult<Outcome> {
        let prefixed =
            transaction.operations.iter().any(|op| matches!(op, super::Operation::DeletePrefix { .. }));
        let conditions: Vec<String> =
            transaction.conditions.iter().map(|condition| condition.key().to_owned()).collect();
        let keys: Vec<String> = transaction
            .operations
            .iter()
            .filter_map(|operation| match operation {
                super::Operation::Put { key, .. } | super::Operation::Delete { key } => Some(key.clone()),
                super::Operation::DeletePrefix { .. } => None,
            })
            .collect();
        let started = Instant::now();
        let outcome = self.store.transact(transaction).await;
        self.counts.transacted(end_of(&outcome), started);
        // Also after an error: whether it was applied may be unknown.
        if prefixed {
            self.cache.clear();
        }
        for key in &keys {
            self.cache.invalidate(key);
        }
        if let Ok(Outcome::Conflict { failed }) = &outcome {
            // Whoever tries again must not be told once more what has just been found to be stale.
            for key in failed.iter().filter_map(|place| conditions.get(*place)) {
                self.cache.invalidate(key);
            }
        }
        outcome
    }
}

fn end_of(outcome: &StoreResult<Outcome>) -> End {
    match outcome {
        Ok(Outcome::Committed { .. }) => End::Done,
        Ok(Outcome::Conflict { .. }) => End::Conflict,
        Err(_) => End::Failed,
    }
}

/// The keys of one project. Made from a proof of authorization only.
#[derive(Debug, Clone)]
pub struct Scope {
    db: Db,
    root: String,
    project: ProjectId,
}

impl Scope {
    /// The project whose keys these are.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The full key of a project's relative key.
    pub fn key(&self, relative: &str) -> String {
        [&self.root, relative].concat()
    }

    /// Reads a key past the cache: for what a transaction's conditions will be built from.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn fresh(&self, relative: &str) -> Result<Option<Entry>> {
        Ok(self.db.fresh(&self.key(relative)).await?)
    }

    /// Reads a key through the cache: at most as stale as the watch.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn cached(&self, relative: &str) -> Result<Arc<Cached>> {
        self.db.cached(&self.key(relative)).await
    }

    /// Reads entries under a relative prefix, behind the relative key `after` if one is given.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        descending: bool,
    ) -> Result<Page> {
        let mut range = Range::prefix(&self.key(prefix)).limit(limit);
        if descending {
            range = range.descending();
        }
        if let Some(after) = after {
            range = range.after(&self.key(after));
        }
        Ok(self.db.range(range).await?)
    }

    /// Reads entries from one relative key to before another, the last ones first.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn between(&self, start: &str, end: &str, limit: usize) -> Result<Page> {
        let (start, end) = (self.key(start), self.key(end));
        if start >= end {
            return Ok(Page { entries: Vec::new(), more: false, revision: self.db.seen() });
        }
        Ok(self.db.range(Range { start, end, limit, descending: true }).await?)
    }

    /// The part of a full key that is relative to the project.
    pub fn relative<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(&self.root).unwrap_or(key)
    }
}
