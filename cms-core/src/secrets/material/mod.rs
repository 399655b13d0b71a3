// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the values of secrets lie when not in the store: the port, and the order of steps that keeps store and
//! material together.
//!
//! A value stays sealed by the barrier wherever it lies, bound to its project, path and version; the material
//! adds its own access control, audit and replication. Heads, and with them every decision about what can be
//! read, stay in the store, whose commit is the one moment at which a version begins or ends to exist:
//!
//! 1. the store notes the id of the new entry (`record`),
//! 2. the entry is written (`lay`),
//! 3. one transaction makes the head point to it and takes the note away.
//!
//! Whoever dies in between leaves a note, by which `follow` removes the entry. What a head no longer points to is
//! noted in the transaction that changes the head, and removed after it.

mod follow;
mod lay;
mod memory;
mod record;
mod renew;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::counts::{Counts, End};
use crate::error::{Error, Result};
use crate::ids::ProjectId;

pub(crate) use follow::{follow_up, offboarded};
pub(crate) use lay::missing;
pub(super) use lay::{abandon, discard, lay};
pub use memory::MemoryMaterial;
pub(super) use record::Laid;
pub(crate) use renew::{count, renew};
pub(super) use verify::Seen;

/// Keeps sealed values outside of the store, each under an id that is used once.
///
/// Contract:
/// - `put` MUST refuse an id that has an entry, whatever the entry holds. An error leaves open whether the entry
///   was made; whoever called sees to it that it goes.
/// - `get` MUST answer what the last finished `put` or `destroy` of the id left, byte by byte.
/// - `destroy` MUST leave nothing that could be brought back, and find nothing wrong with an id that has no entry.
/// - `list` MUST answer every id of the project whose `put` has finished, whatever their number.
/// - Every call MUST end within some seconds. While the material does not answer, calls SHOULD fail at once, and
///   not ask it more than about once a second.
/// - Errors MUST be `Unavailable` with the code `material_unavailable` and a time to wait, in words that may be
///   shown to whoever asked for a secret: no address, no path, no credential.
#[async_trait]
pub trait Material: fmt::Debug + Send + Sync {
    /// What it is, as health reports and metrics name it.
    fn name(&self) -> &'static str;

    /// Fails if a call would fail at once. Asked before anything is noted, so that an outage leaves no notes.
    fn ready(&self) -> Result<()>;

    /// Keeps a value under a new id.
    async fn put(&self, project: &ProjectId, id: &str, value: Bytes) -> Result<()>;

    /// The value under an id, if there is one.
    async fn get(&self, project: &ProjectId, id: &str) -> Result<Option<Bytes>>;

    /// Removes an entry for good.
    async fn destroy(&self, project: &ProjectId, id: &str) -> Result<()>;

    /// The ids of a project.
    async fn list(&self, project: &ProjectId) -> Result<Vec<String>>;

    /// Whether it works now, found out about once a second and no more often; if not, why, in words for anybody.
    async fn health(&self) -> Result<(), String>;
}

/// The error of a material that does not do what was asked.
pub fn unavailable(words: impl Into<String>) -> Error {
    Error::unavailable("material_unavailable", words).with_retry_after(std::time::Duration::from_secs(1))
}

/// The material of one `Cms`, counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    material: Arc<dyn Material>,
    counts: Arc<Counts>,
}

impl Counted {
    pub(crate) fn new(material: Arc<dyn Material>, counts: Arc<Counts>) -> Self {
        Self { material, counts }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.material.name()
    }

    pub(crate) async fn health(&self) -> Result<(), String> {
        self.material.health().await
    }

    async fn put(&self, project: &ProjectId, id: &str, value: Bytes) -> Result<()> {
        self.timed(self.material.put(project, id, value)).await
    }

    pub(super) async fn get(&self, project: &ProjectId, id: &str) -> Result<Option<Bytes>> {
        self.timed(self.material.get(project, id)).await
    }

    async fn destroy(&self, project: &ProjectId, id: &str) -> Result<()> {
        self.timed(self.material.destroy(project, id)).await
    }

    async fn list(&self, project: &ProjectId) -> Result<Vec<String>> {
        self.timed(self.material.list(project)).await
    }

    async fn timed<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let since = Instant::now();
        let answer = call.await;
        self.counts.asked_material(if answer.is_ok() { End::Done } else { End::Failed }, since);
        answer
    }
}
