// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `json.filter` and `json.remove`: what of a document lies under some paths. The library takes a path of
//! text by its slashes alone; OPA drops slashes in front, and reads `~1` as `/` and `~0` as `~`
//! (RFC 6901).

use std::collections::BTreeMap;

use regorus::Value;
use regorus::value::{Object, Set};

use super::{Failure, Outcome, items, meter, mismatch};

/// The part of an object that lies under the paths.
pub(super) fn filter(arguments: &[Value]) -> Outcome {
    let (document, paths) = read(arguments)?;
    Ok(kept(document, &paths))
}

/// An object without what lies under the paths.
pub(super) fn remove(arguments: &[Value]) -> Outcome {
    let (document, paths) = read(arguments)?;
    Ok(left(document, Some(&paths)).unwrap_or(Value::Undefined))
}

/// Paths, by their first step. A path that ends takes everything below it.
enum Paths {
    End,
    On(BTreeMap<Value, Paths>),
}

impl Paths {
    fn add(&mut self, path: &[Value]) {
        let Self::On(steps) = self else { return };
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            steps.insert(first.clone(), Self::End);
        } else {
            steps.entry(first.clone()).or_insert_with(|| Self::On(BTreeMap::new())).add(rest);
        }
    }

    fn step(&self, key: &Value) -> Option<&Self> {
        match self {
            Self::End => None,
            Self::On(steps) => steps.get(key),
        }
    }
}

fn read(arguments: &[Value]) -> Result<(&Value, Paths), Failure> {
    let Some(document @ Value::Object(_)) = arguments.first() else {
        return Err(mismatch(arguments, 0, "object"));
    };
    meter::afford_text([document])?;
    let mut paths = Paths::On(BTreeMap::new());
    for path in items(arguments, 1)? {
        match path {
            Value::String(text) => paths.add(&steps(text)),
            Value::Array(steps) => paths.add(steps.as_slice()),
            _ => {
                let wanted = "one of {set, array} containing string paths or array of path segments";
                return Err(mismatch(arguments, 1, wanted));
            }
        }
    }
    Ok((document, paths))
}

fn steps(text: &str) -> Vec<Value> {
    if text.is_empty() {
        return Vec::new();
    }
    let steps = text.trim_start_matches('/').split('/');
    steps.map(|step| Value::from(step.replace("~1", "/").replace("~0", "~"))).collect()
}

/// The place of an item of an array, as a path names it.
fn place(index: usize) -> Value {
    Value::from(index.to_string())
}

fn kept(value: &Value, paths: &Paths) -> Value {
    if matches!(paths, Paths::End) {
        return value.clone();
    }
    match value {
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries =
                entries.filter_map(|(key, value)| Some((key.clone(), kept(value, paths.step(key)?))));
            Value::from(entries.collect::<Object>())
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.filter_map(|(index, item)| Some(kept(item, paths.step(&place(index))?)));
            Value::from(items.collect::<Vec<_>>())
        }
        Value::Set(items) => {
            let items = items.iter().filter_map(|item| Some(kept(item, paths.step(item)?)));
            Value::from(items.collect::<Set>())
        }
        other => other.clone(),
    }
}

fn left(value: &Value, paths: Option<&Paths>) -> Option<Value> {
    let Some(paths) = paths else { return Some(value.clone()) };
    if matches!(paths, Paths::End) {
        return None;
    }
    Some(match value {
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries =
                entries.filter_map(|(key, value)| Some((key.clone(), left(value, paths.step(key))?)));
            Value::from(entries.collect::<Object>())
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.filter_map(|(index, item)| left(item, paths.step(&place(index))));
            Value::from(items.collect::<Vec<_>>())
        }
        Value::Set(items) => {
            let items = items.iter().filter_map(|item| left(item, paths.step(item)));
            Value::from(items.collect::<Set>())
        }
        other => other.clone(),
    })
}
