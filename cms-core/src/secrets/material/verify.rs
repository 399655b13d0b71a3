// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a check of the secrets sees of the material: every value that a head points to, and entries that none does.

use std::collections::BTreeSet;

use super::missing;
use super::record::{gone_key, laid_key};
use crate::error::Result;
use crate::kit::Kit;
use crate::store::Scope;

/// The entries of a project that no note is about, taken before its heads are read: what is neither under way nor
/// pointed to then, never will be.
#[derive(Debug)]
pub(in crate::secrets) struct Seen {
    ids: BTreeSet<String>,
}

impl Seen {
    pub(in crate::secrets) async fn of(kit: &Kit, scope: &Scope) -> Result<Self> {
        let mut ids = BTreeSet::new();
        if let Some(material) = &kit.material {
            for id in material.list(scope.project()).await? {
                if kit.db.fresh(&laid_key(scope.project(), &id)).await?.is_none() {
                    ids.insert(id);
                }
            }
        }
        Ok(Self { ids })
    }

    /// The value of an entry that a head points to.
    pub(in crate::secrets) async fn take(
        &mut self,
        kit: &Kit,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<bytes::Bytes>> {
        self.ids.remove(id);
        kit.material.as_ref().ok_or_else(missing)?.get(scope.project(), id).await
    }

    /// What is wrong with the entries that no head points to: nothing, if they are to go or are gone meanwhile.
    pub(in crate::secrets) async fn strangers(self, kit: &Kit, scope: &Scope) -> Result<Vec<String>> {
        let Some(material) = &kit.material else { return Ok(Vec::new()) };
        let mut problems = Vec::new();
        for id in &self.ids {
            let goes = kit.db.fresh(&gone_key(scope.project(), id)).await?.is_some();
            if !goes && material.get(scope.project(), id).await?.is_some() {
                let (name, project) = (material.name(), scope.project());
                problems.push(format!(
                    "the entry `{id}` of project `{project}` at {name} belongs to no version of a secret"
                ));
            }
        }
        Ok(problems)
    }
}
