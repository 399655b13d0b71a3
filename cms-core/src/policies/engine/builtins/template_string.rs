// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `internal.template_string`: what the template `$"a {x}"` becomes.

use std::fmt::Write;

use regorus::Value;

use super::{Failure, Outcome, array, meter};

/// Joins the parts of a template. An expression comes as a set, which is empty if it is undefined.
pub(super) fn template_string(arguments: &[Value]) -> Outcome {
    let parts = array(arguments, 0)?;
    meter::afford_text(parts)?;
    let mut joined = String::new();
    for part in parts {
        match part {
            Value::Set(values) if values.len() > 1 => {
                return Err(Failure::Conflict(
                    "template-strings must not produce multiple outputs".to_owned(),
                ));
            }
            Value::Set(values) => match values.iter().next() {
                Some(value) => append(&mut joined, value),
                None => joined.push_str("<undefined>"),
            },
            other => append(&mut joined, other),
        }
    }
    Ok(Value::from(joined))
}

fn append(text: &mut String, value: &Value) {
    match value {
        Value::String(string) => text.push_str(string),
        other => write_term(text, other),
    }
}

/// Writes a value as a term of Rego, the way that OPA does. Values nest no deeper than the limits on
/// inputs, data and policies allow.
pub(super) fn write_term(text: &mut String, value: &Value) {
    match value {
        Value::Array(items) => enclosed(text, '[', ']', items.iter(), write_term),
        Value::Set(items) if items.is_empty() => text.push_str("set()"),
        Value::Set(items) => enclosed(text, '{', '}', items.iter(), write_term),
        Value::Object(entries) => enclosed(text, '{', '}', entries.iter_sorted(), |text, (key, value)| {
            write_term(text, key);
            text.push_str(": ");
            write_term(text, value);
        }),
        // Writing to a string does not fail.
        scalar => drop(write!(text, "{scalar}")),
    }
}

fn enclosed<T>(
    text: &mut String,
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    text.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write(text, item);
    }
    text.push(close);
}
