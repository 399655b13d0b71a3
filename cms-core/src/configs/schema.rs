// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks values against JSON Schemas (2020-12 unless `$schema` names another draft). Nothing is fetched:
//! `$ref` leads within the schema or to another schema of the project, by its name. Patterns take linear
//! time, and all work is counted, so that no schema takes for ever.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonschema::paths::Location;
use jsonschema::{Keyword, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::error::Place;
use crate::ids::Name;

/// The largest schema, in bytes of its text.
pub(crate) const MAX_SCHEMA_BYTES: usize = 256 * 1024;
/// How many violations are told.
pub(crate) const MAX_VIOLATIONS: usize = 100;
/// How much work a check may be: about one for each value that each keyword looks at.
const MAX_WORK: u64 = 5_000_000;
/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;
/// How much of a violation's text is told.
const MAX_TEXT_CHARS: usize = 400;
/// The keyword that counts work; no schema can name it otherwise.
const METER: &str = "\u{1}cms-meter";
/// Under which scheme schemas of the project are known to each other.
const SCHEME: &str = "cms-schema:///";
/// Keywords whose values are no schemas, whatever they look like.
const LITERALS: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords whose values are schemas by name.
const MAPS: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// The schemas of a project, as they refer to each other.
#[derive(Debug, Clone)]
pub(crate) struct Library(Arc<BTreeMap<String, Value>>);

impl Library {
    /// Takes parsed schemas by name.
    pub(crate) fn new(schemas: BTreeMap<String, Value>) -> Self {
        Self(Arc::new(schemas))
    }

    /// Checks that a schema can be used.
    pub(crate) fn check(&self, name: &str) -> Result<(), Vec<Place>> {
        let Some(schema) = self.0.get(name) else { return Err(vec![missing(name)]) };
        let mut whole = schema.clone();
        prepare(&mut whole).map_err(|message| vec![place(None, message)])?;
        let meter = Meter::default();
        guarded(|| self.compile(&whole, &meter).map(drop)).map_err(|place| vec![place])
    }

    /// Everything in which a value breaks a schema, by JSON Pointer; at most [`MAX_VIOLATIONS`].
    pub(crate) fn violations(&self, name: &str, value: &Value) -> Vec<Place> {
        let Some(schema) = self.0.get(name) else { return vec![missing(name)] };
        let mut whole = schema.clone();
        if let Err(message) = prepare(&mut whole) {
            return vec![place(None, message)];
        }
        let meter = Meter::default();
        let found = guarded(|| {
            let validator = self.compile(&whole, &meter)?;
            let violations = validator.iter_errors(value).take(MAX_VIOLATIONS);
            Ok(violations.map(|error| violation(&error)).collect())
        });
        found.unwrap_or_else(|place| vec![place])
    }

    fn compile(&self, schema: &Value, meter: &Meter) -> Result<Validator, Place> {
        let meter = meter.clone();
        let patterns =
            PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
        jsonschema::options()
            .with_base_uri(SCHEME)
            .with_retriever(self.clone())
            .with_pattern_options(patterns)
            .with_keyword(METER, move |_: &Map<String, Value>, cost: &Value, _: Location| {
                // Compiling is work as well.
                meter.count(1);
                Ok(Box::new(Metered { meter: meter.clone(), cost: cost.as_u64().unwrap_or(1) })
                    as Box<dyn for<'i> Keyword<'i>>)
            })
            .build(schema)
            .map_err(|error| {
                let at = error.instance_path().as_str().to_owned();
                place(Some(at).filter(|at| !at.is_empty()), cut(&error.to_string()))
            })
    }
}

impl Retrieve for Library {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().strip_prefix(SCHEME).unwrap_or_default();
        let schema = self.0.get(name).ok_or_else(|| match Name::parse(name) {
            Ok(name) => format!("there is no schema `{name}` in this project"),
            Err(_) => "nothing is fetched; refer to schemas of this project by name".to_owned(),
        })?;
        let mut schema = schema.clone();
        prepare(&mut schema)?;
        Ok(schema)
    }
}

/// Counts work, and ends what has had enough.
#[derive(Debug, Clone, Default)]
struct Meter(Arc<AtomicU64>);

/// What is thrown when the work is too much; never leaves this file.
struct Exhausted;

impl Meter {
    fn count(&self, work: u64) {
        if self.0.fetch_add(work, Ordering::Relaxed).saturating_add(work) > MAX_WORK {
            // The validator has no other way to be stopped. No panic hook runs for this.
            resume_unwind(Box::new(Exhausted));
        }
    }
}

/// Stands in every schema and counts each look at a value.
struct Metered {
    meter: Meter,
    cost: u64,
}

impl<'i> Keyword<'i> for Metered {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        let size = match instance {
            Value::String(text) => text.len() / 64,
            Value::Array(items) => items.len() / 16,
            Value::Object(entries) => entries.len() / 16,
            _ => 0,
        };
        self.meter.count(self.cost.saturating_mul(1 + size as u64));
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.validate(instance).is_ok()
    }
}

/// Runs what may be stopped by the meter.
fn guarded<T>(work: impl FnOnce() -> Result<T, Place>) -> Result<T, Place> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = if payload.is::<Exhausted>() {
            "the check takes too many steps; simplify the schema"
        } else {
            "the schema cannot be checked"
        };
        Err(place(None, text))
    })
}

/// Puts the meter into each schema, and names other schemas in full.
fn prepare(schema: &mut Value) -> Result<(), String> {
    match schema {
        Value::Array(items) => items.iter_mut().try_for_each(prepare),
        Value::Object(keywords) => {
            let mut cost = 1_u64;
            for (keyword, value) in keywords.iter_mut() {
                cost += match &*value {
                    Value::Array(items) => items.len() as u64,
                    Value::Object(entries) => entries.len() as u64,
                    _ => 0,
                };
                match (keyword.as_str(), &mut *value) {
                    (literal, _) if LITERALS.contains(&literal) => {}
                    (map, Value::Object(schemas)) if MAPS.contains(&map) => {
                        schemas.values_mut().try_for_each(prepare)?;
                    }
                    ("$ref" | "$dynamicRef", Value::String(to)) => *to = whole_reference(to)?,
                    _ => prepare(value)?,
                }
            }
            keywords.insert(METER.to_owned(), Value::from(cost));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A reference with the scheme of this project's schemas, unless it stays within its schema.
fn whole_reference(to: &str) -> Result<String, String> {
    let (document, fragment) = to.split_once('#').map_or((to, None), |(name, part)| (name, Some(part)));
    if let Some(fragment) = fragment {
        check_fragment(fragment)?;
    }
    if document.is_empty() || document.starts_with(SCHEME) {
        return Ok(to.to_owned());
    }
    if let Err(_wrong) = Name::parse(document) {
        let shown: String = to.chars().take(80).flat_map(char::escape_default).collect();
        return Err(format!(
            "`$ref` to `{shown}` is refused: nothing is fetched; refer to schemas of this project by name"
        ));
    }
    Ok(format!("{SCHEME}{to}"))
}

/// What is no schema is not metered, and so must not be used as one.
fn check_fragment(fragment: &str) -> Result<(), String> {
    let mut before = "";
    for part in fragment.split('/') {
        if LITERALS.contains(&part) && !MAPS.contains(&before) {
            return Err(format!("`$ref` leads into `{part}`, which holds no schema"));
        }
        before = part;
    }
    Ok(())
}

fn violation(error: &ValidationError<'_>) -> Place {
    place(Some(error.instance_path().as_str().to_owned()), cut(&error.to_string()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn missing(name: &str) -> Place {
    place(None, format!("there is no schema `{name}` in this project"))
}

fn place(path: Option<String>, message: impl Into<String>) -> Place {
    Place { path, message: message.into(), code: Some("schema"), ..Place::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn library(schemas: Value) -> Library {
        Library::new(schemas.as_object().unwrap().clone().into_iter().collect())
    }

    fn told(schema: Value, value: Value) -> Vec<(String, String)> {
        let found = library(json!({ "s": schema })).violations("s", &value);
        found.into_iter().map(|place| (place.path.unwrap_or_default(), place.message)).collect()
    }

    #[test]
    fn all_violations_are_told_with_their_places() {
        let schema = json!({"type": "object", "required": ["host"], "properties": {
            "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "ssl": {"type": "boolean"}}});
        assert_eq!(told(schema.clone(), json!({"host": "h", "port": 5432})), vec![]);
        let found = told(schema, json!({"port": 99999, "ssl": "yes"}));
        let mut places: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["", "/port", "/ssl"], "{found:?}");
        assert!(found.iter().any(|(_, message)| message.contains("99999") && message.contains("65535")));
    }

    #[test]
    fn schemas_refer_to_each_other_by_name() {
        let schemas = library(json!({
            "team/db": {"properties": {"port": {"$ref": "common/port"}, "name": {"$ref": "common/port#/$defs/name"}}},
            "common/port": {"type": "integer", "$defs": {"name": {"$ref": "text"}}},
            "text": {"type": "string"},
        }));
        assert!(schemas.check("team/db").is_ok(), "{:?}", schemas.check("team/db"));
        let found = schemas.violations("team/db", &json!({"port": "x", "name": 1}));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(schemas.violations("team/db", &json!({"port": 1, "name": "n"})), vec![]);
    }

    #[test]
    fn violations_are_capped() {
        let many: Vec<Value> = (0..500).map(Value::from).collect();
        assert_eq!(told(json!({"items": {"type": "string"}}), Value::Array(many)).len(), MAX_VIOLATIONS);
    }

    #[test]
    fn nothing_is_fetched() {
        for reference in [
            "http://127.0.0.1:1/x.json",
            "https://json.schemastore.org/package.json",
            "file:///etc/passwd",
            "//evil/x",
            "../../../etc/passwd",
            "urn:x",
            "nowhere",
        ] {
            for schema in [
                json!({"$ref": reference}),
                json!({"properties": {"a": {"$dynamicRef": reference}}}),
                json!({"x": {"allOf": [{"$ref": reference}]}, "$ref": "#/x"}),
            ] {
                let schemas = library(json!({ "s": schema }));
                assert!(schemas.check("s").is_err(), "{reference}");
                assert!(!schemas.violations("s", &json!({"a": 1})).is_empty(), "{reference}");
            }
        }
        let remote = library(json!({"s": {"$schema": "https://evil.example/meta", "type": "object"}}));
        assert!(remote.check("s").is_err());
    }

    #[test]
    fn hostile_schemas_end_in_errors() {
        let mut doubling = Map::new();
        for level in 0..24 {
            let below = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            doubling.insert(format!("d{level}"), json!({"allOf": [below, below]}));
        }
        doubling.insert("d24".to_owned(), json!({"type": "object"}));
        let trees =
            json!({"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
        let deep = (0..40).fold(json!(1), |value, _| json!({ "a": value }));
        let words: Vec<Value> = (0..20_000).map(Value::from).collect();
        let numbers: Vec<Value> = (100_000..300_000).map(Value::from).collect();
        for (schema, value, says) in [
            (json!({"$ref": "#/$defs/d0", "$defs": doubling}), json!({}), "too many steps"),
            (trees, deep, "too many steps"),
            (json!({"items": {"enum": words}}), json!(numbers), "too many steps"),
            (json!({"enum": [{"allOf": []}], "$ref": "#/enum/0"}), json!(1), "holds no schema"),
            (json!({"pattern": "(a{1000}){1000}"}), json!("a"), ""),
            (json!({"pattern": "(?<=a)b"}), json!("ab"), ""),
            (json!({"pattern": "("}), json!("ab"), ""),
            (json!({"type": "nothing"}), json!(1), ""),
        ] {
            let found = told(schema, value);
            let [(_, message), ..] = found.as_slice() else { panic!("nothing was refused ({says})") };
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn schemas_that_lead_in_circles_come_to_an_end() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"not": {"$ref": "#"}}),
            json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
        ] {
            told(schema.clone(), json!({"left": {"right": {}}}));
        }
    }

    #[test]
    fn catastrophic_patterns_take_linear_time() {
        let text = format!("{}!", "a".repeat(100_000));
        assert_eq!(told(json!({"pattern": "^(a+)+$"}), json!(text)).len(), 1);
    }
}
