// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `urlquery.*`, as Go's `net/url` writes and reads queries: `~` stays as it is, `*` does not, a space is
//! `+`, and `;` separates nothing.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regorus::Value;
use regorus::value::Object;

use super::{Failure, Outcome, meter, mismatch, text};

/// What is escaped; a space has a sign of its own.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// Encodes a text for a query.
pub(super) fn encode(arguments: &[Value]) -> Outcome {
    meter::afford_text(arguments)?;
    Ok(Value::from(encoded(text(arguments, 0)?)))
}

/// Writes a query of an object's keys, each with a text or with several.
pub(super) fn encode_object(arguments: &[Value]) -> Outcome {
    meter::afford_text(arguments)?;
    let Some(Value::Object(entries)) = arguments.first() else {
        return Err(mismatch(arguments, 0, "object"));
    };
    let wrong = || mismatch(arguments, 0, "object of strings, or of arrays or sets of strings");
    let mut pairs = Vec::new();
    for (key, values) in entries.iter() {
        let Value::String(key) = key else { return Err(wrong()) };
        let values: Vec<&Value> = match values {
            one @ Value::String(_) => vec![one],
            Value::Array(several) => several.iter().collect(),
            Value::Set(several) => several.iter().collect(),
            _ => return Err(wrong()),
        };
        for value in values {
            let Value::String(value) = value else { return Err(wrong()) };
            pairs.push(format!("{}={}", encoded(key), encoded(value)));
        }
    }
    Ok(Value::from(pairs.join("&")))
}

/// Decodes what was encoded for a query.
pub(super) fn decode(arguments: &[Value]) -> Outcome {
    Ok(Value::from(decoded(text(arguments, 0)?)?))
}

/// The keys of a query, each with its values in order.
pub(super) fn decode_object(arguments: &[Value]) -> Outcome {
    let query = text(arguments, 0)?;
    meter::afford_items(query.matches('&').count() + 1)?;
    let mut found: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pair.contains(';') {
            return Err("invalid semicolon separator in query".into());
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.entry(Value::from(decoded(key)?)).or_default().push(Value::from(decoded(value)?));
    }
    let found = found.into_iter().map(|(key, values)| (key, Value::from(values)));
    Ok(Value::from(found.collect::<Object>()))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string().replace(' ', "+")
}

fn decoded(text: &str) -> Result<String, Failure> {
    let is_escape =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if let Some(rest) = text.split('%').skip(1).find(|rest| !is_escape(rest)) {
        let shown: String = rest.chars().take(2).collect();
        return Err(Failure::Failed(format!("invalid URL escape \"%{shown}\"")));
    }
    Ok(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned())
}
