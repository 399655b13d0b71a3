// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an environment's active release holds, beside answers: its policies, and ad-hoc queries over
//! it. For surfaces that speak OPA's language.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Decisions, failed};
use crate::api::documents::Kind;
use crate::auth::{Action, Target};
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::documents::record::decode;
use crate::documents::set::{Member, read_string};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{EnvironmentId, Name, ProjectId};
use crate::policies::artifacts::options;
use crate::policies::engine::{
    Diagnostic, EvaluationOptions, Input, LookUp, Module, Queries, QueryError, declared,
};
use crate::policies::places;
use crate::releases::activate::environment_key;
use crate::releases::read_release;
use crate::releases::record::{EnvironmentRecord, ReleaseRecord};
use crate::store::Scope;

/// How many bytes of text a listing of policies holds at most.
pub const MAX_LISTED_BYTES: usize = 32 * 1024 * 1024;

/// A policy of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedPolicy {
    /// The name of its document.
    pub name: String,
    /// The Rego text.
    pub text: String,
    /// The package, such as `rag.authz`.
    pub package: String,
    /// The rules and functions that it declares, each once.
    pub rules: Vec<String>,
}

/// What is active in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The active release, if there is one.
    pub release: Option<String>,
    /// Since when.
    pub activated_at: Option<Timestamp>,
}

/// The answers to a query.
#[derive(Debug)]
pub struct Answered {
    /// A JSON array with the bindings of each answer; `None`: there is no answer.
    pub answers: Option<Box<RawValue>>,
    /// The release that was asked.
    pub release: String,
}

impl Decisions {
    /// Tells which release is active.
    ///
    /// # Errors
    /// `NotFound` if there is no such environment.
    pub async fn standing(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
    ) -> Result<Standing> {
        read_standing(&self.whole(ctx, project, environment).await?, environment).await
    }

    /// Tells whether a release is active in an environment, to nobody in particular: for the health
    /// check of a listener that serves this one environment.
    pub async fn is_ready(&self, project: &ProjectId, environment: &EnvironmentId) -> bool {
        let scope = self.kit.db.internal(project);
        let standing = read_standing(&scope, environment).await;
        standing.is_ok_and(|standing| standing.release.is_some())
    }

    /// Lists the policies of the active release, by name.
    ///
    /// # Errors
    /// `TooLarge` if they hold more than [`MAX_LISTED_BYTES`]; `NotFound` without an active release.
    pub async fn policies(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
    ) -> Result<Vec<ReleasedPolicy>> {
        let scope = self.whole(ctx, project, environment).await?;
        let members = active(&scope, environment).await?.set.members(&scope, Some(Kind::Policy)).await?;
        let (mut policies, mut bytes) = (Vec::with_capacity(members.len()), 0_usize);
        for member in members {
            let policy = released(&scope, member).await?;
            bytes = bytes.saturating_add(policy.text.len());
            if bytes > MAX_LISTED_BYTES {
                return Err(Error::too_large(format!(
                    "the policies of the release hold more than {MAX_LISTED_BYTES} bytes; read them one by one"
                )));
            }
            policies.push(policy);
        }
        Ok(policies)
    }

    /// Reads one policy of the active release.
    ///
    /// # Errors
    /// `NotFound` if the release does not hold it.
    pub async fn policy(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
        name: &Name,
    ) -> Result<ReleasedPolicy> {
        let scope = self.whole(ctx, project, environment).await?;
        let members = active(&scope, environment).await?.set.members(&scope, Some(Kind::Policy)).await?;
        let found = members.into_iter().find(|member| member.name == name.as_str());
        released(&scope, found.ok_or_else(|| Error::not_found(format!("the policy `{name}`")))?).await
    }

    /// Answers an ad-hoc query over the active release.
    ///
    /// # Errors
    /// `Unprocessable` with places if the query is refused, and when its evaluation fails or passes a
    /// limit.
    pub async fn query(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
        query: String,
        input: Option<String>,
    ) -> Result<Answered> {
        let scope = self.whole(ctx, project, environment).await?;
        if let Some(look_up) = LookUp::read(&query) {
            let ready = self.load(&scope, environment.clone()).await?;
            let options = EvaluationOptions::default();
            let (found, _) = self.decided(ctx, &ready, &look_up.path, input.as_deref(), options).await;
            let answers = found?.and_then(|value| bound(&look_up, &value)).map(RawValue::from_string);
            let answers = answers.transpose().map_err(Error::internal)?;
            return Ok(Answered { answers, release: ready.release.to_string() });
        }
        let record = active(&scope, environment).await?;
        let queries = self.queries(&scope, &record).await?;
        let answers = self.kit.lane.run(project, move || ask(&queries, &query, input.as_deref())).await?;
        Ok(Answered { answers: answers?, release: record.id })
    }

    /// What answers queries over a release, made when it is first asked.
    async fn queries(&self, scope: &Scope, record: &ReleaseRecord) -> Result<Arc<Queries>> {
        if let Some(kept) = self.queries.get(&record.id) {
            return Ok(kept);
        }
        let modules = self.artifacts.modules(scope, &record.set).await?;
        let (data, options) = (self.artifacts.data(scope, &record.set).await?, options(scope));
        let work = move || Queries::new(&modules, &data, &options);
        let made = self
            .kit
            .lane
            .run(scope.project(), work)
            .await?
            .map_err(|found| refused("the policies do not compile", &found))?;
        let made = Arc::new(made);
        self.queries.insert(record.id.clone(), made.clone());
        Ok(made)
    }

    /// The project, for who may ask for every decision of the environment.
    async fn whole(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: &EnvironmentId,
    ) -> Result<Scope> {
        // Without a name: a key that is narrowed to some rules must not see the others.
        let target = Target::new(project, "decision").environment(Some(environment));
        Ok(self.kit.scope(&self.kit.authorize(ctx, Action::Decide, target).await?))
    }
}

async fn read_standing(scope: &Scope, environment: &EnvironmentId) -> Result<Standing> {
    let cached = scope.cached(&environment_key(environment.as_str())).await?;
    let Some(entry) = cached.entry() else {
        return Err(Error::not_found(format!("environment `{environment}`")));
    };
    let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
    Ok(Standing { release: record.release, activated_at: record.activated_at })
}

async fn active(scope: &Scope, environment: &EnvironmentId) -> Result<ReleaseRecord> {
    match read_standing(scope, environment).await?.release {
        Some(release) => read_release(scope, &release).await,
        None => Err(Error::not_found(format!("an active release of `{environment}`"))
            .with_hint("activate a release in it first")),
    }
}

async fn released(scope: &Scope, member: Member) -> Result<ReleasedPolicy> {
    let text = read_string(scope, &member.hash).await?;
    let module = Module::new(member.name, text.as_str());
    let info =
        declared(&module, &options(scope)).map_err(|found| refused("the policy is damaged", &found))?;
    Ok(ReleasedPolicy { name: module.name, text, package: info.package, rules: info.rules })
}

/// The one answer to a query that looks a document up.
fn bound(look_up: &LookUp, value: &RawValue) -> Option<String> {
    match &look_up.variable {
        Some(variable) => Some(format!("[{{\"{variable}\":{}}}]", value.get())),
        None => (value.get() != "false").then(|| "[{}]".to_owned()),
    }
}

fn ask(queries: &Queries, query: &str, input: Option<&str>) -> Result<Option<Box<RawValue>>> {
    let input = match input {
        Some(text) => Input::read(text.as_bytes(), queries.limits())
            .map_err(|error| Error::new(ErrorKind::Invalid, "invalid_input", error.to_string()))?,
        None => Input::NONE,
    };
    let answers = queries.ask(query, &input).map_err(|error| match error {
        QueryError::Refused(found) => refused("the query is not accepted", &found),
        QueryError::Failed(error) => failed(error),
    })?;
    if answers.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(queries.to_json(answers).map_err(failed)?).map_err(Error::internal)?;
    RawValue::from_string(text).map(Some).map_err(Error::internal)
}

pub(super) fn refused(words: &str, found: &[Diagnostic]) -> Error {
    Error::unprocessable("invalid_policy", words).with_places(places(found))
}
