// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the configs of an environment change with its release, as services read them: for who decides about
//! a promotion. Secrets stay references.

use std::collections::BTreeSet;

use serde_json::Value;

use super::names::split;
use super::resolve::{Asked, Resolver};
use super::shelf::{Parsed, Shelf};
use crate::api::configs::ConfigChange;
use crate::api::documents::Kind;
use crate::documents::record::SetRecord;
use crate::documents::unified;
use crate::error::{ErrorKind, Result};
use crate::ids::{EnvironmentId, Name};
use crate::store::Scope;

/// What differs, config by config, without labels and instances.
pub(crate) async fn compare(
    scope: &Scope,
    old: &SetRecord,
    new: &SetRecord,
    environment: &EnvironmentId,
    parsed: &Parsed,
) -> Result<Vec<ConfigChange>> {
    let shelves = [old, new].map(|set| Shelf { scope, set, changes: &[], parsed });
    let mut names = BTreeSet::new();
    for shelf in &shelves {
        for document in shelf.names(Kind::Config).await? {
            names.insert(split(&Name::parse(&document)?)?.1);
        }
    }
    let mut changes = Vec::new();
    let [old, new] = shelves;
    let (before, after) = (texts(old, &names, environment).await?, texts(new, &names, environment).await?);
    for ((name, before), after) in names.iter().zip(before).zip(after) {
        if before != after {
            let diff = unified(&before, &after, &format!("{name} (active)"), &format!("{name} (promoted)"));
            changes.push(ConfigChange { name: name.to_string(), diff });
        }
    }
    Ok(changes)
}

/// Each config as it is read there; nothing where there is none, or none that could be read.
async fn texts(shelf: Shelf<'_>, names: &BTreeSet<Name>, environment: &EnvironmentId) -> Result<Vec<String>> {
    let asked = Asked { environment: environment.to_string(), labels: Vec::new(), instance: None };
    let (renderer, variables) = (shelf.renderer().await?, shelf.variables(environment.as_str()).await?);
    let resolver = Resolver::new(shelf, renderer, variables, &asked);
    let mut texts = Vec::with_capacity(names.len());
    for name in names {
        let found = match resolver.resolve(name).await {
            Err(error) if error.kind() == ErrorKind::Unprocessable => None,
            other => other?,
        };
        texts.push(found.map(|found| shown(&found.value)).unwrap_or_default());
    }
    Ok(texts)
}

fn shown(value: &Value) -> String {
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}
