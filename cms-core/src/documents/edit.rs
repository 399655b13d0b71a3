// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Edits of `data` by path, as OPA's clients make them: which documents a path means, and what each
//! holds afterwards.
//!
//! A path leads into the deepest document at or above it. Where documents lie below it, each keeps its
//! part. What lies in no document becomes one, named like the path as far as documents can be named so.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use super::record::SetRecord;
use super::set::read_string;
use super::write::{Change, Plan};
use super::{Documents, write_action};
use crate::api::documents::Kind;
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{EnvironmentId, Name, ProjectId};
use crate::store::Scope;

/// How many operations a patch holds at most.
const MAX_OPERATIONS: usize = 10_000;

/// What becomes of the value at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum DataEdit {
    /// It is this one, whatever was there.
    Put(Value),
    /// It is this one, if nothing was there.
    Add(Value),
    /// It is changed by operations.
    Patch(Patch),
    /// It goes.
    Remove,
}

/// The values of documents by the parts of their names.
type Values = BTreeMap<Vec<String>, Value>;

impl DataEdit {
    /// Reads a patch (RFC 6902) with the operations that OPA knows: `add`, `remove` and `replace`.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub fn patch(text: &[u8]) -> Result<Self> {
        let patch: Patch = serde_json::from_slice(text)
            .map_err(|error| Error::invalid(format!("the body is no JSON patch: {error}")))?;
        if patch.len() > MAX_OPERATIONS {
            return Err(Error::too_large(format!("a patch holds at most {MAX_OPERATIONS} operations")));
        }
        // `copy` and `move` could grow a value without end; OPA has neither.
        let known = |operation: &PatchOperation| {
            matches!(
                operation,
                PatchOperation::Add(_) | PatchOperation::Remove(_) | PatchOperation::Replace(_)
            )
        };
        if !patch.iter().all(known) {
            return Err(Error::invalid("a patch may `add`, `remove` and `replace`, nothing else"));
        }
        Ok(Self::Patch(patch))
    }
}

impl Documents {
    /// Edits the data at a path (none: all of it), live in an environment at once. Tells whether the
    /// value was as it is now before.
    ///
    /// # Errors
    /// `NotFound` where there is nothing to patch or remove; `Stale` for [`DataEdit::Add`] where something
    /// is; `Invalid` for a path that data cannot have; otherwise as [`Documents::put`].
    pub async fn edit_data(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
        path: &[String],
        edit: &DataEdit,
    ) -> Result<bool> {
        let mut target = Target::new(project, Kind::Data.as_str());
        target.name = (!path.is_empty()).then(|| path.join("/"));
        let proof = self.kit.authorize(ctx, write_action(Kind::Data), target).await?;
        let live = self.live(ctx, &proof, environment).await?;
        let plan = Planned { documents: self, ctx, project, path, edit };
        self.writer.write_planned(ctx, &proof, Some(&live), &plan).await
    }
}

/// An edit, to be planned for whatever documents there are.
struct Planned<'a> {
    documents: &'a Documents,
    ctx: &'a RequestContext,
    project: &'a ProjectId,
    path: &'a [String],
    edit: &'a DataEdit,
}

#[async_trait]
impl Plan for Planned<'_> {
    async fn changes(&self, scope: &Scope, set: &SetRecord) -> Result<Vec<Change>> {
        let changes = planned(scope, set, self.path, self.edit).await?;
        for change in &changes {
            // A path may lead into a document that the caller may not change as a whole.
            let target = Target::new(self.project, Kind::Data.as_str()).path(&change.name);
            self.documents.kit.authorize(self.ctx, Action::DataWrite, target).await?;
        }
        Ok(changes)
    }
}

/// The documents that an edit changes.
async fn planned(scope: &Scope, set: &SetRecord, path: &[String], edit: &DataEdit) -> Result<Vec<Change>> {
    let mut before = Values::new();
    for member in set.members(scope, Some(Kind::Data)).await? {
        let name = parts(&member.name);
        if name.starts_with(path) || path.starts_with(&name) {
            let text = read_string(scope, &member.hash).await?;
            before.insert(name, serde_json::from_str(&text).map_err(Error::internal)?);
        }
    }
    let after = edited(&before, path, edit)?;
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let changed = names.filter(|name| before.get(*name) != after.get(*name));
    changed
        .map(|name| {
            let content = after.get(name).map(serde_json::to_string).transpose().map_err(Error::internal)?;
            Ok(Change::new(Kind::Data, Name::parse(&name.join("/"))?, content))
        })
        .collect()
}

/// The documents after an edit.
fn edited(before: &Values, path: &[String], edit: &DataEdit) -> Result<Values> {
    let mut values = before.clone();
    let present = value_at(before, path);
    let missing = || Error::not_found(format!("the data at `{}`", path.join("/")));
    let value = match edit {
        DataEdit::Put(value) => Some(value.clone()),
        DataEdit::Add(_) if present.is_some() => {
            return Err(Error::stale(format!("there is data at `{}` already", path.join("/"))));
        }
        DataEdit::Add(value) => Some(value.clone()),
        DataEdit::Remove => {
            present.ok_or_else(missing)?;
            None
        }
        DataEdit::Patch(patch) => {
            let mut value = match present {
                Some(value) => value,
                // The root is there even when nothing is in it.
                None if path.is_empty() => Value::Object(Map::new()),
                None => return Err(missing()),
            };
            json_patch::patch(&mut value, patch).map_err(|error| unfit(&error))?;
            Some(value)
        }
    };
    assign(&mut values, path, value)?;
    Ok(values)
}

/// The value at a path, joined from all documents that have a part in it.
fn value_at(values: &Values, path: &[String]) -> Option<Value> {
    let mut whole = Value::Object(Map::new());
    // An outer document comes before those inside of it, as names sort.
    for (name, value) in values {
        place(&mut whole, name, value.clone()).ok()?;
    }
    let found = path.iter().try_fold(&whole, |value, part| child(value, part))?;
    (!path.is_empty() || !values.is_empty()).then(|| found.clone())
}

/// Puts a value at a path (`None`: nothing), document by document.
fn assign(values: &mut Values, path: &[String], value: Option<Value>) -> Result<()> {
    let is_below = |name: &Vec<String>| name.len() > path.len() && name.starts_with(path);
    match value {
        Some(Value::Object(mut object)) => {
            let parts: BTreeSet<String> = values
                .keys()
                .filter(|name| is_below(name))
                .filter_map(|name| name.get(path.len()))
                .cloned()
                .collect();
            let (kept, gone): (Vec<String>, Vec<String>) =
                parts.into_iter().partition(|part| object.contains_key(part));
            let kept: Vec<(String, Option<Value>)> =
                kept.into_iter().map(|part| (part.clone(), object.remove(&part))).collect();
            for part in gone {
                assign(values, &[path, &[part]].concat(), None)?;
            }
            // What lies in no document below goes before the parts that do: it may be the whole of a
            // document in which such a part then finds its place.
            assign_own(values, path, Some(Value::Object(object)))?;
            kept.into_iter().try_for_each(|(part, value)| assign(values, &[path, &[part]].concat(), value))
        }
        value => {
            values.retain(|name, _| !is_below(name));
            assign_own(values, path, value)
        }
    }
}

/// The same for the part that lies in no document below the path.
fn assign_own(values: &mut Values, path: &[String], value: Option<Value>) -> Result<()> {
    let holder = (0..=path.len())
        .rev()
        .filter_map(|length| path.get(..length))
        .find(|name| values.contains_key(*name));
    match (holder.map(<[String]>::to_vec), value) {
        (Some(holder), None) if holder == path => drop(values.remove(&holder)),
        (Some(holder), value) => {
            let inner = path.get(holder.len()..).unwrap_or_default();
            if let Some(held) = values.get_mut(&holder) {
                match value {
                    Some(value) => place(held, inner, value).map_err(|()| blocked(path))?,
                    None => remove(held, inner),
                }
            }
        }
        (None, None) => {}
        (None, Some(Value::Object(object))) if path.is_empty() || is_split(values, path) => {
            for (name, value) in object {
                assign(values, &[path, &[name]].concat(), Some(value))?;
            }
        }
        (None, Some(_)) if path.is_empty() => {
            return Err(Error::invalid("all data together must be an object"));
        }
        (None, Some(value)) => {
            let length = nameable(path).ok_or_else(|| unnameable(path))?;
            let (name, inner) = path.split_at(length);
            let mut held = Value::Object(Map::new());
            place(&mut held, inner, value).map_err(|()| blocked(path))?;
            values.insert(name.to_vec(), held);
        }
    }
    Ok(())
}

/// Whether documents lie below a path.
fn is_split(values: &Values, path: &[String]) -> bool {
    values.keys().any(|name| name.len() > path.len() && name.starts_with(path))
}

/// Puts a value at a path within a value; objects on the way are made.
fn place(target: &mut Value, path: &[String], value: Value) -> Result<(), ()> {
    let Some((first, rest)) = path.split_first() else {
        *target = value;
        return Ok(());
    };
    match target {
        Value::Object(object) => place(object.entry(first).or_insert(Value::Object(Map::new())), rest, value),
        Value::Array(items) => {
            let at: usize = first.parse().map_err(|_| ())?;
            place(items.get_mut(at).ok_or(())?, rest, value)
        }
        _ => Err(()),
    }
}

/// Removes what lies at a path within a value.
fn remove(target: &mut Value, path: &[String]) {
    let Some((last, above)) = path.split_last() else { return };
    let holder = above.iter().try_fold(target, |value, part| match value {
        Value::Object(object) => object.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    });
    match holder {
        Some(Value::Object(object)) => drop(object.remove(last)),
        Some(Value::Array(items)) => {
            if let Some(at) = last.parse::<usize>().ok().filter(|at| *at < items.len()) {
                items.remove(at);
            }
        }
        _ => {}
    }
}

fn child<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => object.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// How many parts of a path can be a document's name, from the first on.
fn nameable(path: &[String]) -> Option<usize> {
    let is_name =
        |length: &usize| path.get(..*length).is_some_and(|name| Name::parse(&name.join("/")).is_ok());
    (1..=path.len()).take_while(is_name).last()
}

fn parts(name: &str) -> Vec<String> {
    name.split('/').map(str::to_owned).collect()
}

fn blocked(path: &[String]) -> Error {
    let text =
        format!("the data above `{}` is neither an object nor an array that reaches so far", path.join("/"));
    Error::new(ErrorKind::NotFound, "data_conflict", text)
}

fn unnameable(path: &[String]) -> Error {
    let first = path.first().map_or("", String::as_str);
    Error::invalid_name("name of a data document", first, "of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`")
}

/// A patch that does not fit what is there.
fn unfit(error: &json_patch::PatchError) -> Error {
    Error::new(ErrorKind::NotFound, "data_conflict", format!("the patch does not fit: {error}"))
}

#[cfg(test)]
mod tests;
