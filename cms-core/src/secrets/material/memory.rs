// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A material in memory: the model that others are compared with, and what tests break on purpose.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Material, unavailable};
use crate::error::Result;
use crate::ids::ProjectId;

/// Keeps values for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryMaterial(Mutex<BTreeMap<(String, String), Bytes>>);

impl MemoryMaterial {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

fn key(project: &ProjectId, id: &str) -> (String, String) {
    (project.to_string(), id.to_owned())
}

#[async_trait]
impl Material for MemoryMaterial {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn put(&self, project: &ProjectId, id: &str, value: Bytes) -> Result<()> {
        let mut entries = self.0.lock();
        if entries.contains_key(&key(project, id)) {
            return Err(unavailable("the entry exists already"));
        }
        entries.insert(key(project, id), value);
        Ok(())
    }

    async fn get(&self, project: &ProjectId, id: &str) -> Result<Option<Bytes>> {
        Ok(self.0.lock().get(&key(project, id)).cloned())
    }

    async fn destroy(&self, project: &ProjectId, id: &str) -> Result<()> {
        self.0.lock().remove(&key(project, id));
        Ok(())
    }

    async fn list(&self, project: &ProjectId) -> Result<Vec<String>> {
        let entries = self.0.lock();
        let own = entries.keys().filter(|(owner, _)| owner == project.as_str());
        Ok(own.map(|(_, id)| id.clone()).collect())
    }

    async fn health(&self) -> Result<(), String> {
        Ok(())
    }
}
