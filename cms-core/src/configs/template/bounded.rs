// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What keeps values and output small: filters that stand in for minijinja's own where these make much of
//! little, the writer of output, and the way out of its values.

use std::io;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Deserialize;

use super::{Fault, MAX_OUTPUT_BYTES, MAX_REMEMBERED_BYTES};

/// How many items a loop goes over at most, and how many parts a value has that is remembered.
const MAX_ITEMS: usize = 10_000;
/// How deep a value that is remembered nests.
const MAX_DEPTH: usize = 16;

/// Adds the filters.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("remembered", remembered);
    environment.add_filter("number", number);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("tojson", to_json);
}

/// Lets a value be given a name if it is small.
fn remembered(value: Value) -> Result<Value, Error> {
    let mut left = Left { bytes: MAX_REMEMBERED_BYTES, items: MAX_ITEMS };
    left.take(&value, MAX_DEPTH)?;
    Ok(value)
}

struct Left {
    bytes: usize,
    items: usize,
}

impl Left {
    fn take(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.items = self.items.checked_sub(1).ok_or_else(|| {
            refused(format!("what is remembered or looped over has at most {MAX_ITEMS} parts"))
        })?;
        if let Some(text) = value.as_str() {
            self.bytes = self.bytes.checked_sub(text.len()).ok_or_else(|| {
                refused(format!(
                    "what is remembered or looped over holds at most {MAX_REMEMBERED_BYTES} bytes"
                ))
            })?;
            return Ok(());
        }
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
            return Ok(());
        }
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| refused(format!("what is remembered nests at most {MAX_DEPTH} deep")))?;
        let is_map = value.kind() == ValueKind::Map;
        for item in value.try_iter()? {
            if is_map {
                self.take(&value.get_item(&item)?, depth)?;
            }
            self.take(&item, depth)?;
        }
        Ok(())
    }
}

/// Lets a number through and nothing else.
fn number(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Number => Ok(value),
        kind => Err(refused(format!("only numbers can be multiplied, not a {kind}"))),
    }
}

/// As minijinja's filter of the name, for results of a bounded length.
fn replace(text: String, from: String, to: String) -> Result<String, Error> {
    let found = text.matches(&from).count();
    check(text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(text.replace(&from, &to))
}

/// As minijinja's filter of the name, for results of a bounded length.
fn join(items: Value, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut text = String::new();
    for (place, item) in items.try_iter()?.enumerate() {
        if place > 0 {
            text.push_str(&separator);
        }
        text.push_str(&bounded_text(&item)?);
        check(text.len())?;
    }
    Ok(text)
}

/// As minijinja's filter of the name, for results of a bounded length.
fn indent(text: String, width: usize) -> Result<String, Error> {
    let lines = text.lines().count();
    check(text.len().saturating_add(lines.saturating_mul(width)))?;
    let margin = " ".repeat(width);
    Ok(text.lines().collect::<Vec<_>>().join(&format!("\n{margin}")))
}

/// Writes a value as JSON, for results of a bounded length.
fn to_json(value: Value) -> Result<String, Error> {
    let value = self::value(&value).map_err(refused)?;
    let text = value.to_string();
    check(text.len())?;
    Ok(text)
}

fn bounded_text(value: &Value) -> Result<String, Error> {
    use std::fmt::Write as _;
    let mut text = Text(String::new());
    write!(text, "{value}").map_err(|_| check(usize::MAX).err().unwrap_or_else(|| refused("too long")))?;
    Ok(text.0)
}

/// A text that refuses to grow beyond what may be remembered.
struct Text(String);

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_REMEMBERED_BYTES {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn check(bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_REMEMBERED_BYTES {
        return Ok(());
    }
    Err(refused(format!("the result of a filter holds at most {MAX_REMEMBERED_BYTES} bytes")))
}

fn refused(says: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, says.into())
}

/// Takes a value out of the template.
pub(super) fn value(value: &Value) -> Result<serde_json::Value, String> {
    let mut left = Left { bytes: MAX_OUTPUT_BYTES, items: MAX_ITEMS };
    left.take(value, MAX_DEPTH).map_err(|error| error.detail().unwrap_or("it is too large").to_owned())?;
    if value.is_undefined() {
        return Err("it is undefined".to_owned());
    }
    serde_json::Value::deserialize(value.clone()).map_err(|error| error.to_string())
}

/// Takes output up to its limit.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    is_over: bool,
}

impl Output {
    /// What is wrong with the output, if that is why the rendering ended.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.is_over.then(|| Fault::plain(format!("the output holds at most {MAX_OUTPUT_BYTES} bytes")))
    }

    pub(super) fn into_text(self) -> Result<String, std::string::FromUtf8Error> {
        String::from_utf8(self.bytes)
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > MAX_OUTPUT_BYTES {
            self.is_over = true;
            return Err(io::Error::other("the output is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
