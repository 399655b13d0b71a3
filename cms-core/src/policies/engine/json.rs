// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON in and out of the engine's values, without another value in between, within limits.

use std::cell::{Cell, RefCell};
use std::io;

use regorus::Value;
use regorus::value::Object;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::repeats::Repeats;

/// The text is not JSON, or not within limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidJson {
    /// What is wrong.
    pub message: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// Reads one JSON value. Of duplicate keys the last one counts, as in OPA, unless they are refused.
/// Integers are exact, whatever their size; other numbers are doubles.
///
/// # Errors
/// When the text is no UTF-8, no JSON, nests deeper than `depth`, or holds a number that no double
/// can hold.
pub fn from_json(text: &[u8], depth: usize) -> Result<Value, InvalidJson> {
    read(text, depth, Twice::LastCounts, None)
}

/// The same for a document, which may be large and stay for long. No object may name a key twice: two
/// readers could understand it differently.
///
/// # Errors
/// As [`from_json`], and for a key that is given twice.
pub(super) fn from_strict_json(text: &[u8], depth: usize) -> Result<Value, InvalidJson> {
    let repeats = RefCell::new(Repeats::new());
    read(text, depth, Twice::Refused, Some(&repeats))
}

fn read(
    text: &[u8],
    limit: usize,
    twice: Twice,
    repeats: Option<&RefCell<Repeats>>,
) -> Result<Value, InvalidJson> {
    let has_large = Cell::new(false);
    let nested = Nested { left: limit, limit, twice, repeats, has_large: &has_large, exact: false };
    let read = |nested: Nested<'_>| {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = nested.deserialize(&mut deserializer)?;
        deserializer.end().map(|()| value)
    };
    let value = read(nested).map_err(|error| InvalidJson::new(&error))?;
    if !has_large.get() {
        return Ok(value);
    }
    // Rare, and slower: every value is looked at as text first.
    read(Nested { exact: true, ..nested }).map_err(|error| InvalidJson::new(&error))
}

/// Writes a value as JSON: sets as sorted arrays, keys that are no strings as their JSON text.
/// What is undefined inside of an object or an array is left out.
///
/// # Errors
/// [`TooLarge`] once the text exceeds `limit` bytes.
pub fn to_json(value: &Value, limit: usize) -> Result<Vec<u8>, TooLarge> {
    let mut bounded = Bounded { bytes: Vec::with_capacity(128), limit };
    match serde_json::to_writer(&mut bounded, &Shown(value)) {
        Ok(()) => Ok(bounded.bytes),
        Err(_) => Err(TooLarge { limit }),
    }
}

/// The text would be longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer exceeds {limit} bytes of JSON")]
pub struct TooLarge {
    /// The limit.
    pub limit: usize,
}

impl InvalidJson {
    fn new(error: &serde_json::Error) -> Self {
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        let text = error.to_string();
        // The place has fields of its own.
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Self { message, line: place(error.line()), column: place(error.column()) }
    }
}

/// Reads a value that may nest `left` levels more.
#[derive(Clone, Copy)]
struct Nested<'r> {
    left: usize,
    limit: usize,
    twice: Twice,
    repeats: Option<&'r RefCell<Repeats>>,
    /// Whether there was an integer of more than 64 bits, which the parser makes a double.
    has_large: &'r Cell<bool>,
    /// Whether such integers are read digit by digit.
    exact: bool,
}

/// From here on a double may stand for an integer that no 64 bits hold.
const LARGE: f64 = 9_223_372_036_854_775_808.0;

/// What becomes of a key that an object names twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    LastCounts,
    Refused,
}

impl Nested<'_> {
    fn text(self, text: &str) -> Value {
        match self.repeats {
            Some(repeats) => repeats.borrow_mut().text(text),
            None => Value::String(text.into()),
        }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(format!("values nest deeper than {}", self.limit))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if !self.exact {
            return deserializer.deserialize_any(self);
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let is_integer = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
        if is_integer && let Ok(number) = Value::from_numeric_string(text) {
            return Ok(number);
        }
        serde_json::Deserializer::from_str(text).deserialize_any(self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.abs() >= LARGE {
            self.has_large.set(true);
        }
        if value.is_finite() { Ok(Value::from(value)) } else { Err(E::custom("number out of range")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::with_capacity(items.size_hint().unwrap_or(0).min(64));
        while let Some(value) = items.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(match self.repeats {
            Some(repeats) => repeats.borrow_mut().list(values),
            None => Value::from(values),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Object::new();
        while let Some(key) = entries.next_key_seed(Key(self))? {
            if self.twice == Twice::Refused && object.get(&key).is_some() {
                return Err(serde::de::Error::custom(format_args!("the key {key} is given twice")));
            }
            object.insert(key, entries.next_value_seed(inner)?);
        }
        Ok(object.into_value())
    }
}

/// Reads a key, which JSON says is a string.
struct Key<'r>(Nested<'r>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.0.text(value))
    }
}

/// A value as JSON shows it.
struct Shown<'a>(&'a Value);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null | Value::Undefined => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Number(_) => number(self.0, serializer),
            Value::Array(items) => serializer.collect_seq(items.iter().filter(defined).map(Shown)),
            Value::Set(items) => serializer.collect_seq(items.iter_sorted().filter(defined).map(Shown)),
            Value::Object(entries) => {
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in entries.iter_sorted().filter(|(_, value)| defined(value)) {
                    match key {
                        Value::String(key) => map.serialize_entry(key.as_ref(), &Shown(value))?,
                        _ => {
                            let key = serde_json::to_string(&Shown(key)).map_err(S::Error::custom)?;
                            map.serialize_entry(&key, &Shown(value))?;
                        }
                    }
                }
                map.end()
            }
        }
    }
}

fn defined(value: &&Value) -> bool {
    !matches!(value, Value::Undefined)
}

fn number<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(number) = value.as_u64() {
        serializer.serialize_u64(number)
    } else if let Ok(number) = value.as_i64() {
        serializer.serialize_i64(number)
    } else if value.as_f64().is_err() {
        // An integer of any size, which would lose its last digits as a double.
        let digits = value.as_number().map(|number| number.format_decimal()).map_err(S::Error::custom)?;
        RawValue::from_string(digits).map_err(S::Error::custom)?.serialize(serializer)
    } else {
        value.serialize(serializer)
    }
}

/// Collects bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(part.len()) > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
