// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `walk`: every value within a value, each with the path to it.
//!
//! The library has it as a loop of its own, which the register machine cannot run. The front-end makes a
//! call of it an iteration over these pairs.

use regorus::Value;

use super::super::costs;
use super::{Outcome, array_of};

/// The pairs of a path and a value, parents first.
pub(super) fn walk(arguments: &[Value]) -> Outcome {
    if let Some(check) = costs::of("walk") {
        check(arguments)?;
    }
    let mut pairs = Vec::new();
    let mut open: Vec<(Vec<Value>, &Value)> = arguments.iter().map(|value| (Vec::new(), value)).collect();
    while let Some((path, value)) = open.pop() {
        let below = |key: &Value| path.iter().cloned().chain([key.clone()]).collect::<Vec<_>>();
        // What is pushed first is popped last.
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate().rev();
                open.extend(items.map(|(index, item)| (below(&Value::from(index)), item)));
            }
            Value::Set(items) => {
                let items: Vec<&Value> = items.iter_sorted().collect();
                open.extend(items.into_iter().rev().map(|item| (below(item), item)));
            }
            Value::Object(entries) => {
                let entries: Vec<_> = entries.iter_sorted().collect();
                open.extend(entries.into_iter().rev().map(|(key, item)| (below(key), item)));
            }
            _ => {}
        }
        pairs.push(Value::from(vec![Value::from(path), value.clone()]));
    }
    Ok(array_of(pairs.into_iter()))
}
