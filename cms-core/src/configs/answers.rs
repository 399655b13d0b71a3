// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Resolved configs, kept by what they come from: a release never changes, so neither do they. They hold
//! references to secrets as they are written, never a value.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::resolve::{Asked, Resolution};
use crate::documents::set::hash;
use crate::error::{Error, Result};
use crate::ids::{Name, ProjectId};

/// How much is kept, in bytes of JSON.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;
/// How much more an answer takes than its JSON: the same as a tree, with the layers of its values.
const TREE_FACTOR: u64 = 4;

/// What is asked: of which release, for whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    project: ProjectId,
    release: Arc<str>,
    name: Name,
    asked: Asked,
}

impl Question {
    pub(super) fn new(project: &ProjectId, release: &Arc<str>, name: &Name, asked: &Asked) -> Self {
        let (project, release, name) = (project.clone(), release.clone(), name.clone());
        Self { project, release, name, asked: asked.clone() }
    }
}

/// A resolved config, and its JSON.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) resolution: Resolution,
    pub(super) json: Bytes,
    pub(super) tag: String,
}

impl Answer {
    pub(super) fn new(resolution: Resolution) -> Result<Self> {
        let json = Bytes::from(serde_json::to_vec(&resolution.value).map_err(Error::internal)?);
        let tag = hash(&json);
        Ok(Self { resolution, json, tag })
    }
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<Question, Arc<Answer>> for BySize {
    fn weight(&self, _: &Question, answer: &Arc<Answer>) -> u64 {
        answer.json.len() as u64 * TREE_FACTOR + 512
    }
}

/// The answers. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Answers(Arc<Cache<Question, Arc<Answer>, BySize>>);

impl Default for Answers {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(4_096, KEPT_BYTES, BySize)))
    }
}

impl Answers {
    /// What is kept, or what `make` makes of it, for all who ask the same meanwhile.
    pub(super) async fn find(
        &self,
        question: Question,
        make: impl Future<Output = Result<Answer>>,
    ) -> Result<Arc<Answer>> {
        if let Some(answer) = self.0.get(&question) {
            return Ok(answer);
        }
        let make = async { Ok(Arc::new(make.await?)) };
        self.0.get_or_insert_async(&question, make).await
    }
}
