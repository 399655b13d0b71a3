// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads JSON, YAML and TOML into one kind of value, within limits. The text stays as it was written;
//! which of the three it is, is told from the text alone, so that every reader tells the same.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::api::configs::Format;
use crate::error::Place;

/// How deep values may nest.
const MAX_DEPTH: usize = 64;
/// How large a value may be, in bytes, once aliases stand for themselves.
const MAX_VALUE_BYTES: usize = 4 * 1024 * 1024;
/// How deep brackets may stand in each other in YAML, whose reader takes the square of that in time.
const MAX_BRACKETS: usize = 1_000;
/// The key under which the TOML reader hands out dates.
const TOML_DATE: &str = "$__toml_private_datetime";

/// Reads an object.
pub(crate) fn object(text: &str) -> Result<(Map<String, Value>, Format), Place> {
    match value(text)? {
        (Value::Object(object), format) => Ok((object, format)),
        (Value::Null, format) if text.lines().all(is_blank) => Ok((Map::new(), format)),
        _ => Err(place("it must be an object: keys with values", None)),
    }
}

/// Reads any value.
pub(crate) fn value(text: &str) -> Result<(Value, Format), Place> {
    let json = match from_json(text) {
        Ok(value) => return Ok((value, Format::Json)),
        Err(place) => place,
    };
    // What begins like JSON was meant to be JSON, or is YAML that looks like it.
    if text.trim_start().starts_with(['{', '[', '"']) {
        return from_toml(text)
            .map(|value| (value, Format::Toml))
            .or_else(|_| from_yaml(text).map(|value| (value, Format::Yaml)))
            .map_err(|_| json);
    }
    match from_toml(text) {
        Ok(value) => Ok((value, Format::Toml)),
        Err(toml) => match from_yaml(text) {
            Ok(value @ (Value::Object(_) | Value::Array(_) | Value::Null)) => Ok((value, Format::Yaml)),
            // A line of TOML with a slip in it is a word in YAML.
            Ok(_) => Err(toml),
            Err(yaml) => Err(yaml),
        },
    }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}

fn from_json(text: &str) -> Result<Value, Place> {
    let size = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Bounded::whole(&size)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            place(message, Some((error.line(), error.column())))
        })
}

fn from_yaml(text: &str) -> Result<Value, Place> {
    if brackets(text) > MAX_BRACKETS {
        return Err(place(&format!("brackets stand in each other more than {MAX_BRACKETS} deep"), None));
    }
    let size = Cell::new(0);
    let read = Bounded::whole(&size).deserialize(yaml_serde::Deserializer::from_str(text));
    read.map_err(|error| {
        let at = error.location().map(|at| (at.line(), at.column()));
        let text = error.to_string();
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        place(message, at)
    })
}

/// How deep brackets stand in each other, at most; those in strings count as well.
fn brackets(text: &str) -> usize {
    let deeper = |(depth, most): (usize, usize), byte| match byte {
        b'[' | b'{' => (depth + 1, most.max(depth + 1)),
        b']' | b'}' => (depth.saturating_sub(1), most),
        _ => (depth, most),
    };
    text.bytes().fold((0, 0), deeper).1
}

fn from_toml(text: &str) -> Result<Value, Place> {
    let size = Cell::new(0);
    let read = toml::Deserializer::parse(text)
        .and_then(|deserializer| Bounded::whole(&size).deserialize(deserializer));
    read.map_err(|error| {
        let at = error.span().and_then(|span| text.get(..span.start)).map(end_of);
        place(error.message(), at)
    })
}

/// The line and column at which a text ends.
pub(super) fn end_of(text: &str) -> (usize, usize) {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

fn place(message: &str, at: Option<(usize, usize)>) -> Place {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    Place {
        line: at.map(|(line, _)| number(line)),
        column: at.map(|(_, column)| number(column)),
        message: message.to_owned(),
        ..Place::default()
    }
}

/// Reads a value that may nest `left` levels more; all of them count their size together.
#[derive(Clone, Copy)]
struct Bounded<'s> {
    left: usize,
    size: &'s Cell<usize>,
}

impl<'s> Bounded<'s> {
    fn whole(size: &'s Cell<usize>) -> Self {
        Self { left: MAX_DEPTH, size }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(format!("values nest deeper than {MAX_DEPTH}"))),
        }
    }

    fn count<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        // A value takes room of its own, however short it is.
        let size = self.size.get().saturating_add(bytes).saturating_add(8);
        self.size.set(size);
        if size <= MAX_VALUE_BYTES {
            return Ok(());
        }
        Err(E::custom(format!("it is larger than {MAX_VALUE_BYTES} bytes with its aliases in place")))
    }

    fn put<T: Into<Value>, E: serde::de::Error>(self, value: T) -> Result<Value, E> {
        self.count(0)?;
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.put(())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.put(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.put(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.put(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.put(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.put(number),
            None => Err(E::custom("a number must be finite")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.count(text.len())?;
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        self.count(0)?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        self.count(0)?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key == TOML_DATE {
                return entries.next_value_seed(deeper);
            }
            if key == "<<" {
                return Err(A::Error::custom("merge keys (`<<`) are not supported; use layers instead"));
            }
            self.count(key.len())?;
            let value = entries.next_value_seed(deeper)?;
            if object.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("the key `{}` is given twice", shown(&key))));
            }
        }
        Ok(Value::Object(object))
    }
}

/// A key as messages quote it.
fn shown(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_formats_say_the_same() {
        let expected = json!({"db": {"host": "h", "port": 5432, "ssl": true}, "tags": ["a", "b"]});
        for (text, format) in [
            (r#"{"db":{"host":"h","port":5432,"ssl":true},"tags":["a","b"]}"#, Format::Json),
            ("db:\n  host: h\n  port: 5432\n  ssl: true\ntags: [a, b]\n", Format::Yaml),
            ("tags = ['a', 'b']\n[db]\nhost = 'h'\nport = 5432\nssl = true\n", Format::Toml),
            ("{db: {host: h, port: 5432, ssl: true}, tags: [a, b]}", Format::Yaml),
        ] {
            let (object, found) = object(text).unwrap();
            assert_eq!((Value::Object(object), found), (expected.clone(), format), "{text}");
        }
    }

    #[test]
    fn nothing_is_an_empty_object() {
        for text in ["", "\n", "# nothing yet\n", "{}", "---\n"] {
            assert!(object(text).unwrap().0.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn dates_are_texts_and_words_are_no_switches() {
        let (toml, _) = object("day = 2026-01-02\nat = 2026-01-02T03:04:05Z\n").unwrap();
        assert_eq!(Value::Object(toml), json!({"day": "2026-01-02", "at": "2026-01-02T03:04:05Z"}));
        let (yaml, _) = object("country: no\non: yes\n").unwrap();
        assert_eq!(Value::Object(yaml), json!({"country": "no", "on": "yes"}));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, line, says) in [
            ("{\"a\": 1,\n \"a\": 2}", 2, "given twice"),
            ("{\"a\": 1,\n \"b\" 2}", 2, "expected `:`"),
            ("a: 1\na: 2\n", 2, "given twice"),
            ("a = 1\na = 2\n", 2, "duplicate"),
            ("a: !secret x\n", 1, "tag"),
            ("a: .nan\n", 1, "finite"),
            ("base: &b {x: 1}\nc:\n  <<: *b\n", 3, "merge keys"),
        ] {
            let place = object(text).unwrap_err();
            assert!(place.message.contains(says), "{text:?}: {place:?}");
            assert!(place.line.is_some_and(|found| found.abs_diff(line) <= 1), "{text:?}: {place:?}");
        }
        assert!(object("[1]").is_err() && object("7").is_err() && object("just words").is_err());
        assert!(object("a: 1\n---\nb: 2\n").is_err(), "one document at a time");
    }

    #[test]
    fn bombs_and_wells_end_early() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = level - 1;
            let aliases = vec![format!("*a{before}"); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(object(&bomb).is_err());
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(60_000), vec!["*a"; 2_000].join(","));
        assert!(object(&long).unwrap_err().message.contains("aliases"), "{:?}", object(&long).err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(object(&deep).is_err());
        assert!(object(&format!("a: {}{}", "[".repeat(50_000), "]".repeat(50_000))).is_err());
        assert!(object(&format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000))).is_err());
    }
}
