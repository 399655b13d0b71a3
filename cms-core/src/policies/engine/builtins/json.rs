// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `json.*` where the library differs.

use regorus::Value;

use super::super::{Limits, from_json, to_json};
use super::{Failure, Outcome, library, library_or_fail, meter};

/// Writes a value as JSON, the way that Go does.
pub(super) fn marshal(arguments: &[Value]) -> Outcome {
    let [value] = arguments else { return Ok(Value::Undefined) };
    marshalled(value).map(Value::from)
}

/// A value as JSON. Characters that have a meaning in HTML are escaped, as Go does.
pub(super) fn marshalled(value: &Value) -> Result<String, Failure> {
    meter::afford_text([value])?;
    let text = to_json(value, usize::MAX).map_err(|error| Failure::Failed(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|error| Failure::Failed(error.to_string()))?;
    if !text.contains(ESCAPED) {
        return Ok(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if ESCAPED.contains(&character) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    Ok(escaped)
}

const ESCAPED: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];

/// Whether a text is JSON. What is no text is none.
pub(super) fn is_valid(arguments: &[Value]) -> Outcome {
    texts_only("json.is_valid", arguments)
}

/// Whether a text is YAML. What is no text is none; of several documents, the first counts.
pub(super) fn yaml_is_valid(arguments: &[Value]) -> Outcome {
    if let [Value::String(text)] = arguments
        && let Some((first, _)) = text.split_once("\n---")
    {
        return texts_only("yaml.is_valid", &[Value::from(first)]);
    }
    texts_only("yaml.is_valid", arguments)
}

/// Whether a text is encoded in base64. What is no text is not.
pub(super) fn base64_is_valid(arguments: &[Value]) -> Outcome {
    texts_only("base64.is_valid", arguments)
}

fn texts_only(name: &'static str, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::String(_)] => library(name, arguments),
        _ => Ok(Value::from(false)),
    }
}

/// Whether a schema is one, and why it is not.
pub(super) fn verify_schema(arguments: &[Value]) -> Outcome {
    let told = match arguments {
        [Value::String(_) | Value::Object(_)] => library("json.verify_schema", arguments),
        _ => Err(NO_SCHEMA.into()),
    };
    match told {
        Err(Failure::Failed(why) | Failure::Type(why)) => {
            Ok(Value::from(vec![Value::from(false), Value::from(format!("jsonschema: {why}"))]))
        }
        other => other,
    }
}

const NO_SCHEMA: &str = "wrong type, expected string or object";

/// Changes a document by a list of operations.
pub(super) fn patch(arguments: &[Value]) -> Outcome {
    library_or_fail("json.patch", arguments, "the patch does not apply")
}

/// Whether a document fits a schema, and why it does not. Either may be a text.
pub(super) fn match_schema(arguments: &[Value]) -> Outcome {
    let [document, schema] = arguments else { return Ok(Value::Undefined) };
    if !matches!(schema, Value::String(_) | Value::Object(_)) {
        return Err(NO_SCHEMA.into());
    }
    let (document, schema) = (parsed(document, "document")?, parsed(schema, "schema")?);
    if library("json.verify_schema", std::slice::from_ref(&schema))?[0] != Value::from(true) {
        return Err("the schema is not valid".into());
    }
    let told = library("json.match_schema", &[document, schema])?;
    if told[0] == Value::from(true) {
        return Ok(Value::from(vec![Value::from(true), Value::new_array()]));
    }
    let error = [
        ("error", told[1].clone()),
        ("desc", told[1].clone()),
        ("field", "(root)".into()),
        ("type", "schema".into()),
    ];
    let error: regorus::value::Object =
        error.into_iter().map(|(name, value)| (Value::from(name), value)).collect();
    Ok(Value::from(vec![Value::from(false), Value::from(vec![Value::from(error)])]))
}

fn parsed(value: &Value, what: &str) -> Result<Value, Failure> {
    match value {
        Value::String(text) => from_json(text.as_bytes(), Limits::default().depth)
            .map_err(|error| Failure::Failed(format!("the {what} is no JSON: {error}"))),
        other => Ok(other.clone()),
    }
}
