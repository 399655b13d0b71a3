// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What documents of configs must pass: each its own form, and together every environment's effective
//! result. It must render, its references must lead somewhere, its schema must hold and the project's
//! rules in `config.validate` must not object; these are asked in `rules`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::index::Known;
use super::names::{BASE, Layer, split};
use super::resolve::{Asked, Resolution, Resolver, not_rendered};
use super::rules::objections;
use super::schema::{Library, MAX_SCHEMA_BYTES, MAX_VIOLATIONS};
use super::shelf::{Parsed, Shelf, Written, invalid};
use super::template::{MAX_REMEMBERED_BYTES, MAX_SOURCE_BYTES, Names, Renderer};
use super::{parse, references};
use crate::api::documents::Kind;
use crate::documents::Change;
use crate::documents::record::{SetRecord, decode};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::ids::{EnvironmentId, Name};
use crate::policies::engine::Snapshot;
use crate::projects::record::{META, ProjectRecord};
use crate::store::Scope;

/// Names that variables cannot have: templates know them already.
const RESERVED: [&str; 3] = ["env", "loop", "project"];

/// Whether a kind is one of those that are checked here.
pub(crate) fn is_config(kind: Kind) -> bool {
    matches!(kind, Kind::Config | Kind::Schema | Kind::Template | Kind::Variable)
}

/// Refuses changes after which a config could not be read somewhere. `rules` are the policies as they
/// will be.
///
/// # Errors
/// `Unprocessable` with the places of what is wrong.
pub(crate) async fn check(
    scope: &Scope,
    set: &SetRecord,
    changes: &[Change],
    parsed: &Parsed,
    rules: Option<&Arc<Snapshot>>,
) -> Result<()> {
    let environments = environments(scope).await?;
    changes
        .iter()
        .filter(|change| is_config(change.kind))
        .try_for_each(|change| form(change, &environments))?;
    let shelf = Shelf { scope, set, changes, parsed };
    let has = |kind| changes.iter().any(|change| change.kind == kind);
    let all = has(Kind::Template) || has(Kind::Variable);
    let whole = Whole::new(shelf, rules).await?;
    if has(Kind::Schema) {
        check_schemas(&whole.library, &shelf).await?;
    }
    let touched = if all { None } else { Some(whole.touched(has(Kind::Schema))?) };
    let mut refused = None;
    for environment in &environments {
        let checked = whole.check(environment, all, touched.as_ref()).await;
        refused = match (refused, checked) {
            (refused, Ok(())) => refused,
            (None, Err(error)) => Some(error),
            (Some(first), Err(error)) if error.kind() == ErrorKind::Unprocessable => {
                Some(together(first, &error))
            }
            (Some(_), Err(error)) => return Err(error),
        };
    }
    refused.map_or(Ok(()), Err)
}

/// The first error with what is wrong elsewhere as well.
fn together(first: Error, other: &Error) -> Error {
    let mut places = first.places().to_vec();
    // What is wrong whatever the environment is told once.
    places.extend(other.places().iter().filter(|place| !first.places().contains(place)).cloned());
    places.truncate(MAX_VIOLATIONS);
    first.with_places(places)
}

/// Refuses a release that has a config which cannot be read in an environment: for promotion.
///
/// # Errors
/// As [`check`].
pub(crate) async fn check_release(
    scope: &Scope,
    set: &SetRecord,
    environment: &EnvironmentId,
    parsed: &Parsed,
    rules: Option<&Arc<Snapshot>>,
) -> Result<()> {
    let whole = Whole::new(Shelf { scope, set, changes: &[], parsed }, rules).await?;
    whole.check(environment.as_str(), true, None).await
}

pub(super) async fn environments(scope: &Scope) -> Result<Vec<String>> {
    let Some(entry) = scope.fresh(META).await? else { return Ok(Vec::new()) };
    Ok(decode::<ProjectRecord>(&entry.key, &entry.value)?.environments)
}

/// Checks a document by itself.
fn form(change: &Change, environments: &[String]) -> Result<()> {
    let Change { kind, name, content, .. } = change;
    let known = |environment: &str| {
        if environments.iter().any(|known| known == environment) {
            return Ok(());
        }
        let text =
            format!("the project has no environment `{environment}`; it has {}", environments.join(", "));
        Err(Error::unprocessable("unknown_environment", text))
    };
    let Some(text) = content else { return Ok(()) };
    let refuse = |place| Err(invalid(kind.as_str(), name.as_str(), place));
    match kind {
        Kind::Config => {
            if let (Layer::Environment(environment), _) = split(name)? {
                known(&environment)?;
            }
            Written::read(text).map(drop).or_else(refuse)
        }
        Kind::Variable => {
            if name.as_str() != BASE {
                known(name.as_str())?;
            }
            variables(text).or_else(refuse)
        }
        Kind::Schema if text.len() > MAX_SCHEMA_BYTES => {
            refuse(plain(format!("a schema holds at most {MAX_SCHEMA_BYTES} bytes")))
        }
        Kind::Schema => parse::value(text).map(drop).or_else(refuse),
        Kind::Template if text.len() > MAX_SOURCE_BYTES => {
            refuse(plain(format!("a template holds at most {MAX_SOURCE_BYTES} bytes")))
        }
        Kind::Template | Kind::Policy | Kind::Data => Ok(()),
    }
}

fn variables(text: &str) -> Result<(), Place> {
    let (object, _) = parse::object(text)?;
    for (name, value) in &object {
        let fail = |says: String| Err(Place { path: Some(format!("/{name}")), ..plain(says) });
        let is_name = name
            .chars()
            .enumerate()
            .all(|(at, sign)| sign == '_' || sign.is_ascii_alphabetic() || (at > 0 && sign.is_ascii_digit()));
        if !is_name || name.is_empty() {
            return fail(
                "a variable is named with letters, digits and `_`, and begins with no digit".to_owned(),
            );
        }
        if RESERVED.contains(&name.as_str()) {
            return fail(format!("`{name}` is the name of something else in templates"));
        }
        if value.to_string().len() > MAX_REMEMBERED_BYTES {
            return fail(format!("a variable holds at most {MAX_REMEMBERED_BYTES} bytes"));
        }
    }
    Ok(())
}

async fn library(shelf: &Shelf<'_>) -> Result<Library> {
    let mut schemas = BTreeMap::new();
    for (name, text) in shelf.all(Kind::Schema).await? {
        let (schema, _) = parse::value(&text).map_err(|place| invalid("schema", &name, place))?;
        schemas.insert(name, schema);
    }
    Ok(Library::new(schemas))
}

/// Schemas may refer to those that are changed, so all are looked at.
async fn check_schemas(library: &Library, shelf: &Shelf<'_>) -> Result<()> {
    let (library, names) = (library.clone(), shelf.names(Kind::Schema).await?);
    let work = move || {
        for name in names {
            if let Err(places) = library.check(&name) {
                let says = places.first().map(|place| place.message.clone()).unwrap_or_default();
                let text = format!("the schema `{name}` is not accepted: {says}");
                return Err(Error::unprocessable("invalid_schema", text).with_places(places));
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// All documents as they will be.
pub(super) struct Whole<'a> {
    shelf: Shelf<'a>,
    library: Library,
    rules: Option<&'a Arc<Snapshot>>,
    renderer: Arc<Renderer>,
    /// Every config document.
    index: Vec<Arc<Known>>,
}

impl<'a> Whole<'a> {
    /// Documents with changes, and the policies as they will be.
    pub(super) async fn new(shelf: Shelf<'a>, rules: Option<&'a Arc<Snapshot>>) -> Result<Self> {
        let (library, renderer) = (library(&shelf).await?, shelf.renderer().await?);
        Ok(Self { shelf, library, rules, renderer, index: shelf.parsed.index.of(&shelf).await? })
    }

    /// The configs that changes can alter: those with a changed layer, those that refer to them, and if a
    /// schema changes, all that keep to one.
    fn touched(&self, schemas: bool) -> Result<BTreeSet<Name>> {
        let changed = self.shelf.changes.iter().filter(|change| change.kind == Kind::Config);
        let mut touched: BTreeSet<Name> =
            changed.map(|change| Ok(split(&change.name)?.1)).collect::<Result<_>>()?;
        if schemas {
            touched
                .extend(self.index.iter().filter(|known| known.has_schema).map(|known| known.config.clone()));
        }
        let referring: Vec<&Known> =
            self.index.iter().map(Arc::as_ref).filter(|known| !known.refers.is_empty()).collect();
        loop {
            let is_new =
                |known: &&&Known| !touched.contains(&known.config) && !known.refers.is_disjoint(&touched);
            let more: Vec<Name> = referring.iter().filter(is_new).map(|known| known.config.clone()).collect();
            if more.is_empty() {
                return Ok(touched);
            }
            touched.extend(more);
        }
    }

    /// Checks an environment: its templates, where these may have changed, and its configs, or only some.
    async fn check(&self, environment: &str, templates: bool, only: Option<&BTreeSet<Name>>) -> Result<()> {
        if templates {
            self.check_templates(environment).await?;
        }
        self.check_configs(environment, only).await
    }

    async fn check_templates(&self, environment: &str) -> Result<()> {
        let names = self.shelf.variables(environment).await?;
        let (renderer, templates) = (self.renderer.clone(), self.shelf.names(Kind::Template).await?);
        let environment = environment.to_owned();
        let work = move || {
            templates.iter().try_for_each(|name| {
                renderer.render(name, &names).map(drop).map_err(|fault| {
                    let place = Place { line: fault.line, column: fault.column, ..plain(fault.to_string()) };
                    not_rendered("template", name, &environment, place)
                })
            })
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }

    /// Checks configs, or all of them.
    async fn check_configs(&self, environment: &str, only: Option<&BTreeSet<Name>>) -> Result<()> {
        if only.is_some_and(BTreeSet::is_empty) {
            return Ok(());
        }
        let names = self.shelf.variables(environment).await?;
        for (config, asked) in self.layers(environment, only) {
            self.check_config(&config, &asked, names.clone()).await?;
        }
        Ok(())
    }

    /// What the rules say of any config in an environment: where rules change, which may hit all of them.
    pub(super) async fn all_objections(&self, environment: &str) -> Result<Vec<(Name, Vec<Place>)>> {
        let (names, mut found) = (self.shelf.variables(environment).await?, Vec::new());
        for (config, asked) in self.layers(environment, None) {
            let resolver = Resolver::new(self.shelf, self.renderer.clone(), names.clone(), &asked);
            // What cannot be resolved was so before; that is not the rules' doing.
            let Ok(Some(resolution)) = resolver.resolve(&config).await else { continue };
            let places = self.objections(&config, &asked, &resolution.value).await?;
            if !places.is_empty() {
                found.push((config, places));
            }
        }
        Ok(found)
    }

    /// The configs that there are in an environment, each with the layers that may stand above: none, and
    /// each alone.
    fn layers(&self, environment: &str, only: Option<&BTreeSet<Name>>) -> Vec<(Name, Asked)> {
        let mut found: BTreeMap<&Name, BTreeSet<Above>> = BTreeMap::new();
        for known in &self.index {
            if only.is_some_and(|only| !only.contains(&known.config)) {
                continue;
            }
            let above = match &known.layer {
                Layer::Environment(name) if name != environment => continue,
                Layer::Base | Layer::Environment(_) => (Vec::new(), None),
                Layer::Label(name, value) => (vec![(name.clone(), value.clone())], None),
                Layer::Instance(id) => (Vec::new(), Some(id.clone())),
            };
            found.entry(&known.config).or_default().insert(above);
        }
        let asked = |(labels, instance)| Asked { environment: environment.to_owned(), labels, instance };
        let each = |(config, above): (&Name, BTreeSet<Above>)| {
            let config = config.clone();
            above.into_iter().map(move |above| (config.clone(), asked(above)))
        };
        found.into_iter().flat_map(each).collect()
    }

    async fn check_config(&self, config: &Name, asked: &Asked, names: Names) -> Result<()> {
        let resolver = Resolver::new(self.shelf, self.renderer.clone(), names, asked);
        let Some(resolution) = resolver.resolve(config).await? else { return Ok(()) };
        if let Some(schema) = &resolution.schema {
            self.check_schema(config, asked, schema, &resolution).await?;
        }
        self.check_rules(config, asked, &resolution.value).await
    }

    async fn check_schema(
        &self,
        config: &Name,
        asked: &Asked,
        schema: &str,
        resolution: &Resolution,
    ) -> Result<()> {
        let (library, name, value) = (self.library.clone(), schema.to_owned(), resolution.value.clone());
        let found = tokio::task::spawn_blocking(move || library.violations(&name, &value));
        let mut places = found.await.map_err(Error::internal)?;
        // What a secret holds is not known here, only that it is a text.
        places.retain(|place| {
            let at = |(pointer, _): &(String, references::Reference)| place.path.as_ref() == Some(pointer);
            !resolution.secrets.iter().any(at) || place.message.contains("is not of type")
        });
        if places.is_empty() {
            return Ok(());
        }
        let text = format!(
            "the config `{config}` does not keep to the schema `{schema}` in the environment `{}`",
            asked.environment
        );
        Err(Error::unprocessable("schema_violation", text).with_places(in_environment(places, asked)))
    }

    /// What the rules say of a config.
    pub(super) async fn objections(&self, config: &Name, asked: &Asked, value: &Value) -> Result<Vec<Place>> {
        let Some(rules) = self.rules else { return Ok(Vec::new()) };
        let messages = objections(rules, config, &asked.environment, value).await?;
        let place = |message| Place { code: Some("rule"), ..plain(message) };
        Ok(in_environment(messages.into_iter().map(place).collect(), asked))
    }

    async fn check_rules(&self, config: &Name, asked: &Asked, value: &Value) -> Result<()> {
        let places = self.objections(config, asked, value).await?;
        let Some(first) = places.first() else { return Ok(()) };
        let text = format!("the rules in `config.validate` refuse the config `{config}` {}", first.message);
        Err(Error::unprocessable("config_refused", text).with_places(places))
    }
}

/// The labels and the instance to ask for.
type Above = (Vec<(String, String)>, Option<String>);

fn in_environment(mut places: Vec<Place>, asked: &Asked) -> Vec<Place> {
    for place in &mut places {
        place.message = format!("in the environment `{}`: {}", asked.environment, place.message);
    }
    places
}

fn plain(message: String) -> Place {
    Place { message, ..Place::default() }
}
