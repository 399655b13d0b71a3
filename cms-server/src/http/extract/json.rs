// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A look at a JSON text before anything is built from it: bounded depth, bounded size in nodes, no
//! name twice in one object. Errors name the place and never quote a value.

use std::collections::HashSet;
use std::fmt;

use cms_core::Error;
use cms_core::error::Place;
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// How deep a JSON body may be nested.
pub(crate) const MAX_DEPTH: usize = 64;
/// How many values and names a JSON body may hold.
pub(crate) const MAX_NODES: usize = 100_000;

/// Parses a JSON text strictly.
///
/// # Errors
/// `Invalid` with the place if the text is no JSON object, too deep, too rich, names a field twice, or
/// does not have the form of `T`.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    check(text)?;
    // An array would be taken for the fields in their order.
    require_object(text)?;
    serde_json::from_slice(text).map_err(|error| fault(&error))
}

/// Refuses what is no JSON object, by its first character.
///
/// # Errors
/// `Invalid` for anything else, also for nothing.
pub(crate) fn require_object(text: &[u8]) -> Result<(), Error> {
    if text.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    Err(Error::new(cms_core::ErrorKind::Invalid, "invalid_json", "the JSON body must be an object"))
}

/// Checks that a text is JSON within the limits.
///
/// # Errors
/// `Invalid`, with the place.
pub(crate) fn check(text: &[u8]) -> Result<(), Error> {
    let mut budget = MAX_NODES;
    let mut parser = serde_json::Deserializer::from_slice(text);
    Strict { depth: 0, budget: &mut budget }
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| fault(&error))
}

/// The error for a text that is no JSON of the form asked for. The values that it holds may be
/// secrets: only their kind is told.
pub(crate) fn fault(error: &serde_json::Error) -> Error {
    let place = |line: usize| (line > 0).then(|| u32::try_from(line).unwrap_or(u32::MAX));
    let message = without_values(&error.to_string());
    Error::new(cms_core::ErrorKind::Invalid, "invalid_json", format!("the JSON body is not valid: {message}"))
        .with_places(vec![Place {
            line: place(error.line()),
            column: place(error.column()),
            message,
            ..Place::default()
        }])
}

/// Cuts the place and, where an unexpected value is quoted, the value.
fn without_values(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(message, _)| message);
    for lead in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = text.strip_prefix(lead) {
            let kind: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
            let expected = rest.rsplit_once(", expected ").map_or("something else", |(_, tail)| tail);
            let expected = if expected.starts_with("struct ") { "an object" } else { expected };
            return format!("{lead}{kind}, expected {expected}");
        }
    }
    text.to_owned()
}

struct Strict<'b> {
    depth: usize,
    budget: &'b mut usize,
}

impl Strict<'_> {
    fn deeper(&mut self) -> Strict<'_> {
        Strict { depth: self.depth + 1, budget: self.budget }
    }

    fn spend<E: de::Error>(&mut self) -> Result<(), E> {
        match self.budget.checked_sub(1) {
            Some(rest) => {
                *self.budget = rest;
                Ok(())
            }
            None => Err(E::custom(format_args!("more than {MAX_NODES} values and names"))),
        }
    }

    fn enter<E: de::Error>(&self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            Ok(())
        } else {
            Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(mut self, parser: D) -> Result<(), D::Error> {
        self.spend()?;
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.enter()?;
        while items.next_element_seed(self.deeper())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut seen = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.spend()?;
            if seen.contains(&name) {
                let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
                return Err(de::Error::custom(format_args!("the field `{shown}` is given twice")));
            }
            seen.insert(name);
            fields.next_value_seed(self.deeper())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Login {
        #[expect(dead_code, reason = "only its form matters")]
        username: String,
        #[expect(dead_code, reason = "only its form matters")]
        attempts: u64,
    }

    fn refusal(text: &str) -> String {
        parse::<Login>(text.as_bytes()).unwrap_err().message().to_owned()
    }

    #[test]
    fn hostile_texts_are_refused() {
        for bad in [
            "",
            "{",
            "{}}",
            "nan",
            "1e99999999",
            "\"\\ud800\"",
            "\"a\u{0}\"",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "[1,]",
            &"[".repeat(100_000),
            &format!("{}{}", "[".repeat(65), "]".repeat(65)),
            &format!("[{}1]", "[],".repeat(MAX_NODES)),
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{}", &bad[..bad.len().min(40)]);
        }
        assert!(check(b"\"\xff\"").is_err());
        assert!(check(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()).is_ok());
        assert!(check(br#"{"a":{"a":1},"b":[{"a":null}]}"#).is_ok());
    }

    #[test]
    fn a_field_too_many_is_named() {
        let message = refusal(r#"{"username":"eve","attempts":1,"role":"cms-admin"}"#);
        assert!(message.contains("unknown field `role`"), "{message}");
    }

    #[test]
    fn values_are_never_quoted() {
        let message = refusal(r#"{"username":"eve","attempts":"hunter2"}"#);
        assert!(!message.contains("hunter2"), "{message}");
        assert!(message.contains("invalid type: string, expected u64"), "{message}");
        for text in ["[]", "[\"eve\",1]", "7", "\"x\"", "null"] {
            assert!(refusal(text).contains("must be an object"), "{text}");
        }
        let message = refusal(r#"{"username":"eve","attempts":-5}"#);
        assert!(message.contains("expected u64"), "{message}");
    }

    #[test]
    fn places_are_told() {
        let error = parse::<Login>(b"{\n  \"username\": 1\n}").unwrap_err();
        assert_eq!((error.places()[0].line, error.code()), (Some(2), "invalid_json"));
    }
}
