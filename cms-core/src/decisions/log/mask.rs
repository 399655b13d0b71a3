// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy keeps out of the log of its decisions: `data.system.log.drop` drops one altogether,
//! `data.system.log.mask` names parts of it that are removed or replaced
//! (<https://www.openpolicyagent.org/docs/management-decision-logs#masking-sensitive-data>).

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::decision_log::LoggedDecision;
use crate::policies::engine::{Input, QueryPath, Snapshot};

/// How many parts of one decision may be masked.
const MAX_MASKS: usize = 256;
/// How long the list of them may be, as JSON.
const MAX_MASK_BYTES: usize = 64 * 1024;

/// What becomes of a decision.
#[derive(Debug)]
pub(super) enum Masked {
    Keep(Box<LoggedDecision>),
    /// The policy does not want it.
    Dropped,
    /// The policy could not say what to mask. Nothing is kept that it may have wanted to hide.
    Failed(String),
}

/// Asks the policies of the release that decided.
pub(super) fn mask(snapshot: &Snapshot, decision: LoggedDecision) -> Masked {
    match try_mask(snapshot, decision) {
        Ok(Some(kept)) => Masked::Keep(Box::new(kept)),
        Ok(None) => Masked::Dropped,
        Err(message) => Masked::Failed(message),
    }
}

fn try_mask(snapshot: &Snapshot, mut decision: LoggedDecision) -> Result<Option<LoggedDecision>, String> {
    let parse = |text| QueryPath::parse(text).map_err(|error| error.to_string());
    let (drop, mask) = (parse("system/log/drop")?, parse("system/log/mask")?);
    let (drops, masks) = (snapshot.program().defines(&drop), snapshot.program().defines(&mask));
    if !drops && !masks {
        return Ok(Some(decision));
    }
    let event = serde_json::to_vec(&decision).map_err(|error| error.to_string())?;
    let input = Input::from_json(&event, snapshot.program()).map_err(|error| error.to_string())?;
    let evaluate = |path| snapshot.evaluate(path, &input).map_err(|error| error.to_string());
    if drops && evaluate(&drop)?.is_true() {
        return Ok(None);
    }
    if masks {
        let wanted = evaluate(&mask)?.to_json(MAX_MASK_BYTES).map_err(|error| error.to_string())?;
        if let Some(wanted) = wanted {
            let masks = serde_json::from_slice(&wanted)
                .map_err(|error| format!("`data.system.log.mask` is no list of masks: {error}"))?;
            apply(&mut decision, masks)?;
        }
    }
    Ok(Some(decision))
}

/// One part that is to be hidden, as policies write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Mask {
    /// Removes what is at this JSON Pointer.
    Remove(String),
    Change(Change),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    op: Operation,
    path: String,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operation {
    #[default]
    Remove,
    Upsert,
}

fn apply(decision: &mut LoggedDecision, masks: Vec<Mask>) -> Result<(), String> {
    if masks.len() > MAX_MASKS {
        return Err(format!("`data.system.log.mask` names more than {MAX_MASKS} parts"));
    }
    let mut input = tree(decision.input.as_deref())?;
    let mut result = tree(decision.result.as_deref())?;
    for mask in masks {
        let (pointer, value) = match mask {
            Mask::Remove(path) | Mask::Change(Change { op: Operation::Remove, path, .. }) => (path, None),
            Mask::Change(Change { op: Operation::Upsert, path, value }) => (path, Some(value)),
        };
        let (root, below) = match pointer.strip_prefix("/input") {
            Some(below) => (&mut input, below),
            None => match pointer.strip_prefix("/result") {
                Some(below) => (&mut result, below),
                None => return Err(format!("`{pointer}` is neither in `/input` nor in `/result`")),
            },
        };
        // A part that is not there needs no hiding.
        let (is_done, told) = match value {
            None => (remove(root, below), &mut decision.erased),
            Some(value) => (replace(root, below, value), &mut decision.masked),
        };
        if is_done {
            told.push(pointer);
        }
    }
    decision.input = text(input)?;
    decision.result = text(result)?;
    Ok(())
}

fn tree(text: Option<&RawValue>) -> Result<Option<Value>, String> {
    text.map(|text| serde_json::from_str(text.get())).transpose().map_err(|error| error.to_string())
}

fn text(tree: Option<Value>) -> Result<Option<Box<RawValue>>, String> {
    tree.map(|tree| serde_json::value::to_raw_value(&tree)).transpose().map_err(|error| error.to_string())
}

/// The value that holds the place, and the last part of its pointer.
fn parent<'v>(root: &'v mut Value, pointer: &str) -> Option<(&'v mut Value, String)> {
    let (above, last) = pointer.rsplit_once('/')?;
    Some((root.pointer_mut(above)?, last.replace("~1", "/").replace("~0", "~")))
}

fn remove(root: &mut Option<Value>, pointer: &str) -> bool {
    if pointer.is_empty() {
        return root.take().is_some();
    }
    match root.as_mut().and_then(|root| parent(root, pointer)) {
        Some((Value::Object(fields), name)) => fields.remove(&name).is_some(),
        Some((Value::Array(items), place)) => match place.parse::<usize>() {
            Ok(place) if place < items.len() => {
                items.remove(place);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn replace(root: &mut Option<Value>, pointer: &str, value: Value) -> bool {
    if pointer.is_empty() {
        *root = Some(value);
        return true;
    }
    match root.as_mut().and_then(|root| parent(root, pointer)) {
        Some((Value::Object(fields), name)) => {
            fields.insert(name, value);
            true
        }
        Some((Value::Array(items), place)) => {
            match place.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                Some(item) => {
                    *item = value;
                    true
                }
                None => false,
            }
        }
        _ => false,
    }
}
