// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The documents that are looked at together: those of a release, or the current ones with changes that
//! are about to be made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use super::index::Index;
use super::references::{Part, Reference, may_refer, parts};
use super::template::{Names, Renderer};
use super::{names, parse};
use crate::api::documents::Kind;
use crate::documents::record::{SetRecord, VersionRecord, decode};
use crate::documents::set::{hash, read_string};
use crate::documents::{Change, version_key};
use crate::error::{Error, Place, Result};
use crate::ids::Name;
use crate::store::Scope;

/// How much text parsed configs are kept of, in bytes.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// A config as it is written, parsed.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Map<String, Value>,
    /// The configs that it refers to.
    pub(crate) refers: BTreeSet<Name>,
    /// Whether something in it is to be rendered.
    pub(crate) has_templates: bool,
    bytes: usize,
}

/// Parsed configs by the hash of their text, and what is known of all of them. Cloning shares both.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    texts: Arc<Cache<String, Arc<Written>, BySize>>,
    pub(super) index: Index,
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<String, Arc<Written>> for BySize {
    fn weight(&self, _: &String, written: &Arc<Written>) -> u64 {
        written.bytes as u64 + 256
    }
}

impl Default for Parsed {
    fn default() -> Self {
        let texts = Arc::new(Cache::with_weighter(1_024, KEPT_BYTES, BySize));
        Self { texts, index: Index::default() }
    }
}

impl Parsed {
    fn of(&self, text: &Text) -> Result<Arc<Written>, Place> {
        if let Some(kept) = self.texts.get(&text.hash) {
            return Ok(kept);
        }
        let written = Arc::new(Written::read(&text.text)?);
        self.texts.insert(text.hash.clone(), written.clone());
        Ok(written)
    }
}

impl Written {
    /// Reads a config.
    pub(crate) fn read(text: &str) -> Result<Self, Place> {
        let (object, _) = parse::object(text)?;
        let mut written =
            Self { object: Map::new(), refers: BTreeSet::new(), has_templates: false, bytes: text.len() };
        for (pointer, text) in strings(&object) {
            let fail = |message| Place { path: Some(pointer.clone()), message, ..Place::default() };
            for part in parts(text).map_err(fail)? {
                match part {
                    Part::Reference(Reference::Config { name, .. }, _) => {
                        written.refers.insert(name);
                    }
                    Part::Reference(Reference::Secret { .. }, _) => {}
                    Part::Text(text) => written.has_templates |= is_template(text),
                }
            }
        }
        written.object = object;
        Ok(written)
    }
}

/// Whether a text is to be rendered.
pub(crate) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

/// Every string of an object that may mean more than itself, with its JSON Pointer.
pub(crate) fn strings(object: &Map<String, Value>) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let mut pointer = String::new();
    object.iter().for_each(|(key, value)| below(&mut pointer, key, value, &mut found));
    found
}

fn below<'v>(pointer: &mut String, key: &str, value: &'v Value, found: &mut Vec<(String, &'v str)>) {
    let length = pointer.len();
    super::layers::push(pointer, key);
    match value {
        Value::String(text) if is_template(text) || may_refer(text) => {
            found.push((pointer.clone(), text));
        }
        Value::Object(object) => object.iter().for_each(|(key, value)| below(pointer, key, value, found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| below(pointer, &at.to_string(), item, found));
        }
        _ => {}
    }
    pointer.truncate(length);
}

/// The text of a document, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// The version; 0 for what is about to be written.
    pub(crate) version: u64,
    pub(crate) hash: String,
    pub(crate) text: String,
    /// The schema that a config keeps to.
    pub(crate) schema: Option<String>,
}

/// Documents, looked up by kind and name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelf<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) set: &'a SetRecord,
    pub(crate) changes: &'a [Change],
    pub(crate) parsed: &'a Parsed,
}

impl Shelf<'_> {
    /// Finds a document.
    pub(crate) async fn find(&self, kind: Kind, name: &str) -> Result<Option<Text>> {
        let pending = self.changes.iter().rfind(|change| change.kind == kind && change.name.as_str() == name);
        if let Some(change) = pending {
            return Ok(change.content.clone().map(|text| Text {
                version: 0,
                hash: hash(text.as_bytes()),
                text,
                schema: change.schema.clone(),
            }));
        }
        let Some(entry) = self.set.find(self.scope, kind, name).await? else { return Ok(None) };
        let schema = match kind {
            Kind::Config => self.binding(&Name::parse(name)?, entry.version).await?,
            _ => None,
        };
        let text = read_string(self.scope, &entry.hash).await?;
        Ok(Some(Text { version: entry.version, hash: entry.hash, text, schema }))
    }

    /// Finds a config, parsed.
    pub(crate) async fn config(&self, name: &str) -> Result<Option<(Text, Arc<Written>)>> {
        let Some(text) = self.find(Kind::Config, name).await? else { return Ok(None) };
        let written = self.parsed.of(&text).map_err(|place| invalid("config", name, place))?;
        Ok(Some((text, written)))
    }

    async fn binding(&self, name: &Name, version: u64) -> Result<Option<String>> {
        let cached = self.scope.cached(&version_key(Kind::Config, name, version)).await?;
        let record = cached.parsed(|entry| decode::<VersionRecord>(&entry.key, &entry.value))?;
        Ok(record.and_then(|record| record.schema.clone()))
    }

    /// The names of all documents of a kind.
    pub(crate) async fn names(&self, kind: Kind) -> Result<BTreeSet<String>> {
        let members = self.set.members(self.scope, Some(kind)).await?;
        let mut names: BTreeSet<String> = members.into_iter().map(|member| member.name).collect();
        for change in self.changes.iter().filter(|change| change.kind == kind) {
            match change.content {
                Some(_) => names.insert(change.name.to_string()),
                None => names.remove(change.name.as_str()),
            };
        }
        Ok(names)
    }

    /// All documents of a kind, by name.
    pub(crate) async fn all(&self, kind: Kind) -> Result<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for name in self.names(kind).await? {
            if let Some(found) = self.find(kind, &name).await? {
                texts.insert(name, found.text);
            }
        }
        Ok(texts)
    }

    /// The templates, ready to render.
    pub(crate) async fn renderer(&self) -> Result<Arc<Renderer>> {
        Ok(Arc::new(Renderer::new(self.all(Kind::Template).await?)))
    }

    /// What templates can name in an environment.
    pub(crate) async fn variables(&self, environment: &str) -> Result<Names> {
        let mut variables = Map::new();
        // `base` is no environment's own, whatever it is called.
        for name in [names::BASE, environment] {
            if let Some(found) = self.find(Kind::Variable, name).await? {
                let read = parse::object(&found.text).map_err(|place| invalid("variable", name, place))?;
                variables.extend(read.0);
            }
        }
        Ok(Names::new(environment, self.scope.project().as_str(), &variables))
    }
}

/// The error for a text that its kind does not accept.
pub(crate) fn invalid(kind: &'static str, name: &str, place: Place) -> Error {
    let code = match kind {
        "schema" => "invalid_schema",
        "template" => "invalid_template",
        "variable" => "invalid_variable",
        _ => "invalid_config",
    };
    let text = format!("the {kind} `{name}` is not accepted: {}", place.message);
    Error::unprocessable(code, text).with_places(vec![place])
}
