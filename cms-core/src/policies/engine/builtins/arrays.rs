// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `array.flatten`.

use regorus::Value;

use super::{Outcome, array, meter};

/// Joins the arrays in an array, one level deep, with its other items.
pub(super) fn flatten(arguments: &[Value]) -> Outcome {
    let mut flat: Vec<Value> = Vec::new();
    for item in array(arguments, 0)? {
        let count = match item {
            Value::Array(inner) => inner.len(),
            _ => 1,
        };
        meter::afford_items(flat.len().saturating_add(count))?;
        match item {
            Value::Array(inner) => flat.extend(inner.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Ok(Value::from(flat))
}
