// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Configs: what services read to know how to behave, per environment. Documents of the kinds `config`,
//! `schema`, `template` and `variable` are written as all documents are; here they are rendered, layered,
//! checked and resolved.
//!
//! What documents must pass is in `check`, how a config is put together in `resolve`.

mod answers;
pub(crate) mod check;
pub(crate) mod compare;
mod index;
mod layers;
mod names;
mod parse;
mod references;
mod resolve;
pub(crate) mod rules;
mod schema;
mod secrets;
mod shelf;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::api::configs::{ConfigContent, ConfigOrigin, RenderedTemplate, ResolvedConfig, SecretsMode};
use crate::api::documents::Kind;
use crate::auth::{Action, Authorized, PrincipalKind, Target};
use crate::context::RequestContext;
use crate::documents::record::{SetRecord, decode};
use crate::error::{Error, Place, Result};
use crate::ids::{EnvironmentId, Name, ProjectId};
use crate::kit::Kit;
use crate::projects::record::{META, ProjectRecord};
use crate::releases::activate::environment_key;
use crate::releases::read_release;
use crate::releases::record::EnvironmentRecord;
use crate::secrets::Secrets;
use crate::store::Scope;
use answers::{Answer, Answers, Question};
pub(crate) use names::environment_of;
use resolve::{Asked, Resolver, not_rendered};
pub(crate) use shelf::Parsed;
use shelf::Shelf;

/// How many labels a reader names at most.
pub const MAX_LABELS: usize = 8;

/// The configs of all projects.
#[derive(Debug, Clone)]
pub struct Configs {
    kit: Kit,
    secrets: Secrets,
    parsed: Parsed,
    answers: Answers,
}

/// For whom a config is read, and how.
#[derive(Debug, Clone, Default)]
pub struct ReadConfig {
    /// The environment; the key's or the project's if not given.
    pub environment: Option<String>,
    /// Labels as `name=value`, joined by commas, the lowest layer first.
    pub labels: Option<String>,
    /// The instance.
    pub instance: Option<String>,
}

/// A config for a service: its text and what tells it from others.
#[derive(Debug, Clone)]
pub struct ServedConfig {
    /// The effective config as JSON.
    pub json: Bytes,
    /// Changes whenever the config does, and tells nothing of secrets.
    pub tag: String,
    /// Whether it holds secrets, so that nobody may keep it.
    pub is_secret: bool,
    /// The environment that was read.
    pub environment: EnvironmentId,
    /// The release that was read.
    pub release: Arc<str>,
}

/// What is active where a config is read.
struct Active {
    scope: Scope,
    environment: EnvironmentId,
    release: Arc<str>,
}

impl Configs {
    pub(crate) fn new(kit: Kit, secrets: Secrets, parsed: Parsed) -> Self {
        Self { kit, secrets, parsed, answers: Answers::default() }
    }

    /// Resolves a config from the active release of an environment.
    ///
    /// # Errors
    /// `NotFound` if the release has no such config; `Denied` to who may not read a config that it refers
    /// to.
    pub async fn resolve(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &Name,
        read: &ReadConfig,
        provenance: bool,
        secrets: SecretsMode,
    ) -> Result<ResolvedConfig> {
        let active = self.active(ctx, project, name, read, false).await?;
        let answer = self.answer(&active, name, read).await?;
        self.check_references(ctx, &active, &answer).await?;
        let mut content = ConfigContent(answer.resolution.value.clone());
        let unresolved = match secrets {
            SecretsMode::Keep => secrets::kept(&answer.resolution),
            SecretsMode::Resolve => self.reveal(ctx, &active, &answer.resolution, &mut content).await?,
        };
        let provenance = if provenance { Some(self.provenance(&active, &answer).await?) } else { None };
        Ok(ResolvedConfig {
            name: name.to_string(),
            environment: active.environment.to_string(),
            release: active.release.to_string(),
            content,
            layers: answer.resolution.layers.clone(),
            provenance,
            unresolved,
        })
    }

    /// Reads a config as a service does: whole or not at all. With `known`, the tag of what the service
    /// has, it waits for another one for a while.
    ///
    /// # Errors
    /// As [`Configs::resolve`]; `Denied` as well to who may not read a secret that it refers to.
    pub async fn read(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &Name,
        read: &ReadConfig,
        known: Option<&str>,
        wait: Duration,
    ) -> Result<ServedConfig> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            // Before reading, so that no change falls in between.
            let bell = |area| self.kit.db.bell(project, area);
            let bells = (!wait.is_zero()).then(|| (bell("env"), bell("sec")));
            let served = self.read_now(ctx, project, name, read).await?;
            let Some((mut environments, mut secrets)) = bells.filter(|_| known == Some(served.tag.as_str()))
            else {
                return Ok(served);
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(served),
                _ = environments.changed() => {}
                // A secret may stand in the config.
                _ = secrets.changed() => {}
            }
        }
    }

    async fn read_now(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &Name,
        read: &ReadConfig,
    ) -> Result<ServedConfig> {
        let active = self.active(ctx, project, name, read, true).await?;
        let answer = self.answer(&active, name, read).await?;
        self.check_references(ctx, &active, &answer).await?;
        let (json, tag) = match answer.resolution.secrets.is_empty() {
            true => (answer.json.clone(), answer.tag.clone()),
            false => self.revealed(ctx, &active, &answer).await?,
        };
        let is_secret = !answer.resolution.secrets.is_empty();
        Ok(ServedConfig { json, tag, is_secret, environment: active.environment, release: active.release })
    }

    /// Renders a template from the active release of an environment.
    ///
    /// # Errors
    /// `NotFound` if the release has no such template.
    pub async fn render(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &Name,
        environment: Option<&str>,
    ) -> Result<RenderedTemplate> {
        let read = ReadConfig { environment: environment.map(str::to_owned), ..ReadConfig::default() };
        let active = self.active(ctx, project, name, &read, false).await?;
        let set = read_release(&active.scope, &active.release).await?.set;
        let shelf = self.shelf(&active.scope, &set);
        if shelf.find(Kind::Template, name.as_str()).await?.is_none() {
            return Err(Error::not_found(format!("the template `{name}` in `{}`", active.environment)));
        }
        let (renderer, names) =
            (shelf.renderer().await?, shelf.variables(active.environment.as_str()).await?);
        let template = name.to_string();
        let work = move || renderer.render(&template, &names);
        let output = self.kit.lane.run(project, work).await?.map_err(|fault| {
            let place = Place {
                line: fault.line,
                column: fault.column,
                message: fault.to_string(),
                ..Place::default()
            };
            not_rendered("template", name.as_str(), active.environment.as_str(), place)
        })?;
        Ok(RenderedTemplate {
            name: name.to_string(),
            environment: active.environment.to_string(),
            release: active.release.to_string(),
            output,
        })
    }

    fn shelf<'a>(&'a self, scope: &'a Scope, set: &'a SetRecord) -> Shelf<'a> {
        Shelf { scope, set, changes: &[], parsed: &self.parsed }
    }

    /// What the release holds, put together now or before.
    async fn answer(&self, active: &Active, name: &Name, read: &ReadConfig) -> Result<Arc<Answer>> {
        let asked = Asked {
            environment: active.environment.to_string(),
            labels: labels(read.labels.as_deref())?,
            instance: read.instance.as_deref().map(checked).transpose()?,
        };
        let question = Question::new(active.scope.project(), &active.release, name, &asked);
        let make = async {
            let set = read_release(&active.scope, &active.release).await?.set;
            let shelf = self.shelf(&active.scope, &set);
            let (renderer, names) =
                (shelf.renderer().await?, shelf.variables(active.environment.as_str()).await?);
            let resolution = Resolver::new(shelf, renderer, names, &asked).resolve(name).await?;
            Answer::new(resolution.ok_or_else(|| {
                Error::not_found(format!("the config `{name}` in the environment `{}`", active.environment))
            })?)
        };
        self.answers.find(question, make).await
    }

    /// Who reads a config must be allowed to read those that it refers to.
    async fn check_references(&self, ctx: &RequestContext, active: &Active, answer: &Answer) -> Result<()> {
        for name in &answer.resolution.configs {
            self.authorize(ctx, active.scope.project(), Some(&active.environment), name).await?;
        }
        Ok(())
    }

    async fn provenance(&self, active: &Active, answer: &Answer) -> Result<BTreeMap<String, ConfigOrigin>> {
        let set = read_release(&active.scope, &active.release).await?.set;
        let shelf = self.shelf(&active.scope, &set);
        let mut origins = BTreeMap::new();
        for (pointer, place) in &answer.resolution.origins {
            let Some(layer) = answer.resolution.layers.get(*place) else { continue };
            let written = shelf.config(&layer.document).await?;
            let source = written.and_then(|(_, written)| {
                let object = serde_json::Value::Object(written.object.clone());
                object.pointer(pointer).cloned()
            });
            let source = source.filter(|source| answer.resolution.value.pointer(pointer) != Some(source));
            origins.insert(pointer.clone(), ConfigOrigin { layer: layer.clone(), source });
        }
        Ok(origins)
    }

    /// The environment that is meant, for who may read there. Services read `prod` where nothing is said
    /// and there is one.
    async fn active(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        name: &Name,
        read: &ReadConfig,
        prod: bool,
    ) -> Result<Active> {
        let given = read.environment.as_deref().map(EnvironmentId::parse).transpose()?;
        let bound = match &ctx.principal.kind {
            PrincipalKind::Key { environment, .. } => environment.clone(),
            _ => None,
        };
        let named = given.or(bound);
        let proof = self.authorize(ctx, project, named.as_ref(), name).await?;
        let scope = self.kit.scope(&proof);
        let environment = match named {
            Some(environment) => environment,
            None => {
                let environment = default_environment(&scope, prod).await?;
                self.authorize(ctx, project, Some(&environment), name).await?;
                environment
            }
        };
        let cached = scope.cached(&environment_key(environment.as_str())).await?;
        let missing = || Error::not_found(format!("environment `{environment}`"));
        let entry = cached.entry().ok_or_else(missing)?;
        // Not kept with the entry: decisions keep what is theirs there.
        let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
        let release = record.release.ok_or_else(|| {
            Error::not_found(format!("an active release of `{environment}`"))
                .with_hint("activate a release in it first")
        })?;
        Ok(Active { scope, environment, release: release.into() })
    }

    async fn authorize(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: Option<&EnvironmentId>,
        name: &Name,
    ) -> Result<Authorized> {
        let target = Target::new(project, "config").environment(environment).path(name);
        self.kit.authorize(ctx, Action::ConfigRead, target).await
    }
}

/// Checks a schema that stands alone, and a config with it, both as texts. Templates and references stand as
/// they are written.
pub fn check_file(schema: &str, config: Option<&str>) -> Vec<Place> {
    const NAME: &str = "schema";
    let schema = match parse::value(schema) {
        Ok((schema, _)) => schema,
        Err(place) => return vec![place],
    };
    let library = schema::Library::new(BTreeMap::from([(NAME.to_owned(), schema)]));
    match config.map(parse::object) {
        None => library.check(NAME).err().unwrap_or_default(),
        Some(Ok((config, _))) => library.violations(NAME, &serde_json::Value::Object(config)),
        Some(Err(place)) => vec![place],
    }
}

async fn default_environment(scope: &Scope, prod: bool) -> Result<EnvironmentId> {
    let cached = scope.cached(META).await?;
    let entry = cached.entry().ok_or_else(|| Error::not_found(format!("project `{}`", scope.project())))?;
    let project: ProjectRecord = decode(&entry.key, &entry.value)?;
    let has = |wanted: &str| project.environments.iter().find(|name| *name == wanted);
    let name = match project.environments.as_slice() {
        [only] => only,
        names => has("prod").filter(|_| prod).or_else(|| has("default")).ok_or_else(|| {
            Error::invalid(format!("the project has several environments; name one of: {}", names.join(", ")))
        })?,
    };
    EnvironmentId::parse(name)
}

/// Reads labels: `region=eu,tier=gold`.
fn labels(text: Option<&str>) -> Result<Vec<(String, String)>> {
    let pairs = text.into_iter().flat_map(|text| text.split(',')).filter(|pair| !pair.trim().is_empty());
    let labels = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Error::invalid("labels are written as `name=value`, joined by commas: `region=eu,tier=gold`")
        })?;
        Ok((checked(name.trim())?, checked(value.trim())?))
    });
    let labels = labels.collect::<Result<Vec<_>>>()?;
    if labels.len() > MAX_LABELS {
        return Err(Error::invalid(format!("at most {MAX_LABELS} labels can be named")));
    }
    Ok(labels)
}

/// A part of the name of a layer.
fn checked(text: &str) -> Result<String> {
    match Name::parse(text) {
        Ok(name) if !name.as_str().contains('/') => Ok(name.to_string()),
        Ok(_) => Err(Error::invalid_name("label or instance", text, "one part, without `/`")),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
