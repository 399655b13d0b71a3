// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From documents to the config that a service reads: each layer is rendered, the layers are put on each
//! other, and references to other configs are replaced. References to secrets stay as they are written:
//! what comes out here may be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::layers::{Layered, push};
use super::names::Layer;
use super::references::{Part, Reference, for_template, may_refer, part_of, parts};
use super::shelf::{Shelf, Written, is_template};
use super::template::{Names, Renderer};
use crate::api::configs::ConfigLayer;
use crate::error::{Error, Place, Result};
use crate::ids::Name;

/// How far references lead, from config to config.
const MAX_REFERENCES_DEEP: usize = 8;
/// How large a config is with everything that it refers to, in bytes of JSON.
const MAX_RESOLVED_BYTES: usize = 4 * 1024 * 1024;
/// How many strings of one layer are rendered at most.
const MAX_RENDERED: usize = 2_000;
/// How long the strings of one layer may take together.
const RENDER_TIME: Duration = Duration::from_secs(5);

/// For whom a config is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) environment: String,
    /// In the order in which they are put on each other.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) instance: Option<String>,
}

impl Asked {
    /// The layers that there may be, the lowest first.
    fn layers(&self) -> Vec<Layer> {
        let mut layers = vec![Layer::Base, Layer::Environment(self.environment.clone())];
        layers.extend(self.labels.iter().map(|(name, value)| Layer::Label(name.clone(), value.clone())));
        layers.extend(self.instance.clone().map(Layer::Instance));
        layers
    }
}

/// A config, resolved but for its secrets.
#[derive(Debug, Clone)]
pub(crate) struct Resolution {
    pub(crate) value: Value,
    /// The layer of each value, as a place in `layers`.
    pub(crate) origins: BTreeMap<String, usize>,
    pub(crate) layers: Vec<ConfigLayer>,
    /// The secrets that are referred to, and where.
    pub(crate) secrets: Vec<(String, Reference)>,
    /// The other configs that something was taken from.
    pub(crate) configs: BTreeSet<Name>,
    /// The schema that it keeps to.
    pub(crate) schema: Option<String>,
}

/// Resolves configs of one shelf in one environment.
pub(crate) struct Resolver<'a> {
    shelf: Shelf<'a>,
    renderer: Arc<Renderer>,
    names: Names,
    asked: &'a Asked,
}

/// What one resolution has come across.
#[derive(Default)]
struct Walk {
    /// The configs that are being resolved, each for the one before it.
    stack: Vec<Name>,
    known: BTreeMap<Name, Value>,
    bytes: usize,
}

type Later<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(shelf: Shelf<'a>, renderer: Arc<Renderer>, names: Names, asked: &'a Asked) -> Self {
        Self { shelf, renderer, names, asked }
    }

    /// Resolves a config; `None` if there is no layer of it.
    pub(crate) async fn resolve(&self, name: &Name) -> Result<Option<Resolution>> {
        let Some((layered, layers, schema)) = self.layered(name).await? else { return Ok(None) };
        let origins = layered.origins();
        let mut walk = Walk { stack: vec![name.clone()], ..Walk::default() };
        let mut value = layered.into_value();
        self.refer(&mut value, &mut String::new(), &mut walk).await?;
        let mut secrets = Vec::new();
        find_secrets(&value, &mut String::new(), &mut secrets);
        let configs = walk.known.into_keys().collect();
        Ok(Some(Resolution { value, origins, layers, secrets, configs, schema }))
    }

    /// Renders the layers of a config and puts them on each other.
    async fn layered(&self, name: &Name) -> Result<Option<(Layered, Vec<ConfigLayer>, Option<String>)>> {
        let (mut whole, mut layers, mut schema) = (None::<Layered>, Vec::new(), None);
        for layer in self.asked.layers() {
            let Some(document) = layer.document(name) else { continue };
            let Some((text, written)) = self.shelf.config(document.as_str()).await? else { continue };
            let object = self.rendered(&document, written).await?;
            match &mut whole {
                Some(whole) => whole.put(object, layers.len()),
                None => whole = Some(Layered::base(object, 0)),
            }
            layers.push(ConfigLayer {
                layer: layer.as_str().to_owned(),
                document: document.to_string(),
                version: text.version,
            });
            schema = text.schema.or(schema);
        }
        Ok(whole.map(|whole| (whole, layers, schema)))
    }

    async fn rendered(&self, document: &Name, written: Arc<Written>) -> Result<Map<String, Value>> {
        if !written.has_templates {
            return Ok(written.object.clone());
        }
        let (renderer, names) = (self.renderer.clone(), self.names.clone());
        let work = move || render(&renderer, &names, &written.object);
        let rendered = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
        rendered.map_err(|place| not_rendered("config", document.as_str(), &self.asked.environment, place))
    }

    /// Replaces references to other configs.
    fn refer<'f>(
        &'f self,
        value: &'f mut Value,
        pointer: &'f mut String,
        walk: &'f mut Walk,
    ) -> Later<'f, ()> {
        Box::pin(async move {
            match value {
                Value::String(text) if may_refer(text) => {
                    if let Some(found) = self.replaced(text, pointer, walk).await? {
                        *value = found;
                    }
                }
                Value::Array(items) => {
                    for (at, item) in items.iter_mut().enumerate() {
                        let length = pointer.len();
                        push(pointer, &at.to_string());
                        self.refer(item, pointer, walk).await?;
                        pointer.truncate(length);
                    }
                }
                Value::Object(entries) => {
                    for (key, entry) in entries.iter_mut() {
                        let length = pointer.len();
                        push(pointer, key);
                        self.refer(entry, pointer, walk).await?;
                        pointer.truncate(length);
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// What a string with references stands for; `None`: itself.
    async fn replaced(&self, text: &str, pointer: &str, walk: &mut Walk) -> Result<Option<Value>> {
        let fail = |message: String| self.unresolved(walk_name(&walk.stack), pointer, message);
        let parts = parts(text).map_err(fail)?;
        if let [Part::Reference(reference @ Reference::Config { .. }, _)] = parts.as_slice() {
            return self.looked_up(reference, pointer, walk).await;
        }
        if !parts.iter().any(|part| matches!(part, Part::Reference(Reference::Config { .. }, _))) {
            return Ok(None);
        }
        let mut whole = String::with_capacity(text.len());
        for part in &parts {
            match part {
                Part::Text(text) | Part::Reference(Reference::Secret { .. }, text) => whole.push_str(text),
                Part::Reference(reference, _) => match self.looked_up(reference, pointer, walk).await? {
                    Some(Value::String(text)) => whole.push_str(&text),
                    Some(Value::Object(_) | Value::Array(_)) | None => {
                        let says = format!("`{reference}` is no single value, and cannot stand in a text");
                        return Err(self.unresolved(walk_name(&walk.stack), pointer, says));
                    }
                    Some(value) => whole.push_str(&value.to_string()),
                },
            }
        }
        Ok(Some(Value::String(whole)))
    }

    async fn looked_up(
        &self,
        reference: &Reference,
        pointer: &str,
        walk: &mut Walk,
    ) -> Result<Option<Value>> {
        let Reference::Config { name, part } = reference else { return Ok(None) };
        let from = walk_name(&walk.stack).to_owned();
        let whole = match walk.known.get(name) {
            Some(known) => known.clone(),
            None => {
                let value = self.referred(name, &from, pointer, walk).await?;
                walk.known.insert(name.clone(), value.clone());
                value
            }
        };
        let found = part.as_ref().map_or(Some(&whole), |part| part_of(&whole, part));
        let found = found.cloned().ok_or_else(|| {
            self.unresolved(&from, pointer, format!("`{reference}` names nothing that is there"))
        })?;
        walk.bytes = walk.bytes.saturating_add(found.to_string().len());
        if walk.bytes > MAX_RESOLVED_BYTES {
            let says = format!("with what it refers to, it is larger than {MAX_RESOLVED_BYTES} bytes");
            return Err(self.unresolved(&from, pointer, says));
        }
        Ok(Some(found))
    }

    async fn referred(&self, name: &Name, from: &str, pointer: &str, walk: &mut Walk) -> Result<Value> {
        if walk.stack.contains(name) {
            let mut circle: Vec<String> = walk.stack.iter().map(|name| format!("`{name}`")).collect();
            circle.push(format!("`{name}`"));
            let text = format!("configs refer to each other in a circle: {}", circle.join(" → "));
            let place = Place { path: Some(pointer.to_owned()), message: text.clone(), ..Place::default() };
            return Err(Error::unprocessable("reference_cycle", text).with_places(vec![place]));
        }
        if walk.stack.len() >= MAX_REFERENCES_DEEP {
            let says = format!("references lead further than {MAX_REFERENCES_DEEP} configs");
            return Err(self.unresolved(from, pointer, says));
        }
        let Some((layered, ..)) = self.layered(name).await? else {
            let says = format!("it refers to the config `{name}`, which does not exist");
            return Err(self.unresolved(from, pointer, says));
        };
        let mut value = layered.into_value();
        walk.stack.push(name.clone());
        self.refer(&mut value, &mut String::new(), walk).await?;
        walk.stack.pop();
        Ok(value)
    }

    fn unresolved(&self, config: &str, pointer: &str, message: String) -> Error {
        let text = format!(
            "the config `{config}` cannot be resolved for the environment `{}`: {message}",
            self.asked.environment
        );
        let place = Place { path: Some(pointer.to_owned()), message, ..Place::default() };
        Error::unprocessable("unresolved_reference", text).with_places(vec![place])
    }
}

fn walk_name(stack: &[Name]) -> &str {
    stack.last().map_or("", Name::as_str)
}

/// Renders the strings of an object. The place of what fails is a JSON Pointer with a line and a column
/// within the string.
fn render(
    renderer: &Renderer,
    names: &Names,
    object: &Map<String, Value>,
) -> Result<Map<String, Value>, Place> {
    let mut work = Work { renderer, names, count: 0, until: Instant::now() + RENDER_TIME };
    let mut pointer = String::new();
    object.iter().map(|(key, value)| Ok((key.clone(), work.value(value, &mut pointer, key)?))).collect()
}

struct Work<'a> {
    renderer: &'a Renderer,
    names: &'a Names,
    count: usize,
    until: Instant,
}

impl Work<'_> {
    fn value(&mut self, value: &Value, pointer: &mut String, key: &str) -> Result<Value, Place> {
        let length = pointer.len();
        push(pointer, key);
        let rendered = match value {
            Value::String(text) if is_template(text) => self.text(text, pointer)?,
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let rendered = items.map(|(at, item)| self.value(item, pointer, &at.to_string()));
                Value::Array(rendered.collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let entries = entries.iter();
                let rendered =
                    entries.map(|(key, value)| Ok((key.clone(), self.value(value, pointer, key)?)));
                Value::Object(rendered.collect::<Result<_, Place>>()?)
            }
            other => other.clone(),
        };
        pointer.truncate(length);
        Ok(rendered)
    }

    fn text(&mut self, text: &str, pointer: &str) -> Result<Value, Place> {
        let place = |message: String| Place { path: Some(pointer.to_owned()), message, ..Place::default() };
        self.count += 1;
        if self.count > MAX_RENDERED {
            return Err(place(format!("more than {MAX_RENDERED} strings are to be rendered")));
        }
        if Instant::now() > self.until {
            return Err(place(format!("rendering takes longer than {} s", RENDER_TIME.as_secs())));
        }
        let parts = parts(text).map_err(place)?;
        let is_plain = !parts.iter().any(|part| matches!(part, Part::Text(text) if is_template(text)));
        if is_plain {
            return Ok(Value::from(text));
        }
        let rendered = match parts.as_slice() {
            [Part::Text(text)] => self.renderer.render_string(text, self.names),
            parts => self.renderer.render_string(&for_template(parts), self.names),
        };
        rendered.map_err(|fault| Place {
            line: fault.line,
            column: fault.column,
            ..place(match &fault.template {
                Some(template) => format!("{} (in the template `{template}`)", fault.message),
                None => fault.message.clone(),
            })
        })
    }
}

/// The error for something that cannot be rendered in an environment.
pub(crate) fn not_rendered(kind: &str, name: &str, environment: &str, place: Place) -> Error {
    let text = format!(
        "the {kind} `{name}` cannot be rendered for the environment `{environment}`: {}",
        place.message
    );
    let message = format!("in the environment `{environment}`: {}", place.message);
    Error::unprocessable("invalid_template", text).with_places(vec![Place { message, ..place }])
}

fn find_secrets(value: &Value, pointer: &mut String, found: &mut Vec<(String, Reference)>) {
    match value {
        Value::String(text) if may_refer(text) => {
            for part in parts(text).unwrap_or_default() {
                if let Part::Reference(reference @ Reference::Secret { .. }, _) = part {
                    found.push((pointer.clone(), reference));
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let length = pointer.len();
                push(pointer, &at.to_string());
                find_secrets(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries {
                let length = pointer.len();
                push(pointer, key);
                find_secrets(entry, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
