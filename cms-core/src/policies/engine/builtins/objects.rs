// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `object.*` where the library takes what OPA refuses.

use regorus::Value;

use super::{Failure, Outcome, library, type_of};

/// Whether a collection is part of another one of its kind. A set may be part of an array that is not
/// empty, and as in OPA it is if the array has at least as many items that the set has, each counted as
/// often as it stands there.
pub(super) fn subset(arguments: &[Value]) -> Outcome {
    let [whole, part] = arguments else { return Ok(Value::Undefined) };
    let found = match (whole, part) {
        (Value::Array(whole), Value::Set(part)) => {
            let count = whole.iter().filter(|item| part.contains(item)).count();
            !whole.is_empty() && count >= part.len()
        }
        _ => is_part(whole, part).ok_or_else(|| {
            Failure::Type("both arguments object.subset must be of the same type or array and set".to_owned())
        })?,
    };
    Ok(Value::from(found))
}

/// Whether a collection is part of another one; nothing for two that are not of one kind.
fn is_part(whole: &Value, part: &Value) -> Option<bool> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => Some(part.iter().all(|(key, part)| {
            whole.get(key).is_some_and(|whole| whole == part || is_part(whole, part) == Some(true))
        })),
        (Value::Set(whole), Value::Set(part)) => Some(part.iter().all(|item| whole.contains(item))),
        (Value::Array(whole), Value::Array(part)) => {
            let mut runs = whole.as_slice().windows(part.len().max(1));
            Some(part.is_empty() || runs.any(|run| run == part.as_slice()))
        }
        _ => None,
    }
}

/// One object of all in an array; the later of them count.
pub(super) fn union_n(arguments: &[Value]) -> Outcome {
    if let [Value::Array(items)] = arguments
        && let Some(other) = items.iter().find(|item| !matches!(item, Value::Object(_)))
    {
        let given = type_of(other);
        let text = format!("operand 1 must be array of objects but got array containing {given}");
        return Err(Failure::Type(text));
    }
    library("object.union_n", arguments)
}
