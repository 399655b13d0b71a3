// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions: may this caller do this? Answered from the snapshot of an environment's active
//! release, compiled once and shared, without touching the store.

mod answers;
mod evaluation;
mod explain;
mod log;
mod released;

use std::cell::LazyCell;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::decisions::{BatchItem, Decide, DecideBatch, Decision, DecisionBatch};
use crate::auth::{Action, PrincipalKind, Target};
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::counts::Verdict;
use crate::documents::record::decode;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{EnvironmentId, ProjectId};
use crate::kit::Kit;
use crate::policies::artifacts::Artifacts;
use crate::policies::engine::{EvaluationError, EvaluationOptions, Explainer, Queries, QueryPath, Snapshot};
use crate::projects::record::{META, ProjectRecord};
use crate::releases::activate::environment_key;
use crate::releases::read_release;
use crate::releases::record::EnvironmentRecord;
use crate::store::Scope;
use answers::Answers;
use log::{Log, Note, fault};
pub(crate) use log::{check_settings, sweep, verify};
pub use released::{Answered, MAX_LISTED_BYTES, ReleasedPolicy, Standing};

/// How many inputs a batch holds at most.
pub const MAX_BATCH: usize = 1_000;
/// For how many releases what answers ad-hoc queries is kept, and what explains.
const QUERIED_RELEASES: usize = 16;
/// After how many answers of a batch others have their turn.
const YIELD_EVERY: usize = 8;

/// Answers decisions for all projects.
#[derive(Debug, Clone)]
pub struct Decisions {
    kit: Kit,
    artifacts: Artifacts,
    /// What answers ad-hoc queries, by release.
    queries: Arc<Cache<String, Arc<Queries>>>,
    /// What explains decisions, by release.
    explainers: Arc<Cache<String, Arc<Explainer>>>,
    log: Log,
}

/// The active release of an environment, ready to decide. Kept with the environment's record in the
/// read cache, so it goes when the pointer moves.
#[derive(Debug)]
struct Active {
    release: Arc<str>,
    /// One of how many decisions is logged; 0: none.
    logs: u32,
    /// Weak, so that the memory bound of the artifacts holds.
    ready: Mutex<(Weak<Snapshot>, Option<Arc<Answers>>)>,
}

/// An active release that is in use.
#[derive(Debug)]
struct Ready {
    project: ProjectId,
    environment: EnvironmentId,
    release: Arc<str>,
    logs: u32,
    snapshot: Arc<Snapshot>,
    answers: Arc<Answers>,
}

/// What was asked, and when.
struct Asked<'a> {
    path: &'a QueryPath,
    input: Option<&'a str>,
    time: Timestamp,
    started: Instant,
}

/// One evaluation: what came out, and which release answered.
#[derive(Debug)]
pub struct Evaluated {
    /// The result as JSON text; `None`: undefined.
    pub result: Option<Box<RawValue>>,
    /// The id of the decision.
    pub decision_id: String,
    /// The release that decided.
    pub release: Arc<str>,
    /// The environment whose release it was.
    pub environment: EnvironmentId,
    /// The nearest rule that exists, where the path names nothing.
    pub hint: Option<String>,
}

impl Evaluated {
    /// Whether the answer permits something; see [`permits`].
    pub fn is_allowed(&self) -> bool {
        self.result.as_deref().is_some_and(permits)
    }
}

/// Whether a result permits something: it is `true`, or an object whose `allow` is `true`. Everything else, and
/// everything undefined, does not.
pub fn permits(result: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Verdict {
        allow: bool,
    }
    let text = result.get();
    text == "true" || serde_json::from_str::<Verdict>(text).is_ok_and(|verdict| verdict.allow)
}

impl Decisions {
    pub(crate) fn new(kit: Kit, artifacts: Artifacts, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let (queries, explainers) = (Cache::new(QUERIED_RELEASES), Cache::new(QUERIED_RELEASES));
        let (queries, explainers) = (Arc::new(queries), Arc::new(explainers));
        Self { log: Log::new(kit.clone(), tasks, stop), kit, artifacts, queries, explainers }
    }

    /// Answers one question.
    ///
    /// # Errors
    /// `Invalid` for a path or input that cannot be; `Unprocessable` when the evaluation fails or
    /// passes a limit, which is a refusal; `NotFound` without an active release; `Denied` to who asks
    /// for an explanation and may not read policies and data.
    pub async fn decide(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        ask: &Decide<'_>,
    ) -> Result<Decision> {
        let (path, input) = (query_path(&ask.path)?, ask.input.map(RawValue::get));
        let evaluated = self.evaluate(ctx, project, ask.environment.as_deref(), &path, input).await?;
        let explanation = match ask.explain {
            true => Some(self.explain(ctx, project, &evaluated, &path, input).await?),
            false => None,
        };
        let undefined = evaluated.result.is_none();
        Ok(Decision {
            result: evaluated.result.unwrap_or_else(null),
            undefined,
            decision_id: evaluated.decision_id,
            release: evaluated.release.to_string(),
            environment: evaluated.environment.to_string(),
            hint: evaluated.hint,
            explanation,
        })
    }

    /// Answers many questions from one release.
    ///
    /// # Errors
    /// As [`Decisions::decide`]; the failure of one input is in its answer.
    pub async fn decide_batch(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        ask: &DecideBatch<'_>,
    ) -> Result<DecisionBatch> {
        if ask.inputs.len() > MAX_BATCH {
            return Err(Error::too_large(format!(
                "a batch holds at most {MAX_BATCH} inputs, not {}",
                ask.inputs.len()
            )));
        }
        let path = query_path(&ask.path)?;
        let ready = self.active(ctx, project, ask.environment.as_deref(), &path).await?;
        let now = self.kit.now();
        let ids = Ids::new(now);
        let nearest = LazyCell::new(|| ready.snapshot.program().nearest(&path).map(Arc::<str>::from));
        let mut results = Vec::with_capacity(ask.inputs.len());
        for (place, input) in ask.inputs.iter().enumerate() {
            let started = Instant::now();
            let answer = self.answer(&ready, &path, Some(input.get()), EvaluationOptions::default()).await;
            let decision_id = ids.next();
            let asked = Asked { path: &path, input: Some(input.get()), time: now, started };
            self.note(ctx, &ready, &asked, &answer, &decision_id);
            let hint = matches!(answer, Ok(None)).then(|| nearest.clone()).flatten();
            results.push(item(answer, decision_id, hint));
            if place % YIELD_EVERY == YIELD_EVERY - 1 {
                // A thousand slow answers must not hold a thread that others wait for.
                tokio::task::yield_now().await;
            }
        }
        Ok(DecisionBatch {
            results,
            release: ready.release.to_string(),
            environment: ready.environment.to_string(),
        })
    }

    /// Evaluates a path for an input, for surfaces with answers of their own shape.
    ///
    /// # Errors
    /// As [`Decisions::decide`].
    pub async fn evaluate(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: Option<&str>,
        path: &QueryPath,
        input: Option<&str>,
    ) -> Result<Evaluated> {
        let options = EvaluationOptions::default();
        self.evaluate_with(ctx, project, environment, path, input, options).await
    }

    /// Evaluates as [`Decisions::evaluate`] does, with options.
    ///
    /// # Errors
    /// As [`Decisions::decide`], and when a built-in function fails and the options say that it counts.
    pub async fn evaluate_with(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: Option<&str>,
        path: &QueryPath,
        input: Option<&str>,
        options: EvaluationOptions,
    ) -> Result<Evaluated> {
        let ready = self.active(ctx, project, environment, path).await?;
        let (result, decision_id) = self.decided(ctx, &ready, path, input, options).await;
        let result = result?;
        let hint = if result.is_none() { ready.snapshot.program().nearest(path) } else { None };
        let Ready { release, environment, .. } = ready;
        Ok(Evaluated { result, decision_id, release, environment, hint })
    }

    /// Makes one decision and notes it; its id as well.
    async fn decided(
        &self,
        ctx: &RequestContext,
        ready: &Ready,
        path: &QueryPath,
        input: Option<&str>,
        options: EvaluationOptions,
    ) -> (Result<Option<Box<RawValue>>>, String) {
        let (started, now) = (Instant::now(), self.kit.now());
        let decision_id = Ids::new(now).next();
        let result = self.answer(ready, path, input, options).await;
        self.note(ctx, ready, &Asked { path, input, time: now, started }, &result, &decision_id);
        (result, decision_id)
    }

    /// Notes a decision for the log, where the environment has one.
    fn note(
        &self,
        ctx: &RequestContext,
        ready: &Ready,
        asked: &Asked<'_>,
        answer: &Result<Option<Box<RawValue>>>,
        decision_id: &str,
    ) {
        if !is_chosen(decision_id, ready.logs) {
            return;
        }
        self.log.note(Note {
            project: ready.project.clone(),
            environment: ready.environment.clone(),
            release: ready.release.clone(),
            snapshot: ready.snapshot.clone(),
            decision_id: decision_id.to_owned(),
            path: asked.path.segments().join("/"),
            input: asked.input.map(str::to_owned),
            result: answer.as_ref().ok().cloned().flatten(),
            fault: answer.as_ref().err().map(fault),
            caller: ctx.principal.clone(),
            address: ctx.address,
            request_id: ctx.request_id.clone(),
            time: asked.time,
            took: asked.started.elapsed(),
        });
    }

    /// What answers for an environment.
    async fn active(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        environment: Option<&str>,
        path: &QueryPath,
    ) -> Result<Ready> {
        let given = environment.map(EnvironmentId::parse).transpose()?;
        let bound = match &ctx.principal.kind {
            PrincipalKind::Key { environment, .. } => environment.clone(),
            _ => None,
        };
        let named = given.or(bound);
        // Named, so that a key can be narrowed to the rules under a prefix.
        let mut target = Target::new(project, "decision").environment(named.as_ref());
        target.name = (!path.segments().is_empty()).then(|| path.to_string());
        let proof = self.kit.authorize(ctx, Action::Decide, target).await?;
        let scope = self.kit.scope(&proof);
        let environment = match named {
            Some(environment) => environment,
            None => only_environment(&scope).await?,
        };
        self.load(&scope, environment).await
    }

    async fn load(&self, scope: &Scope, environment: EnvironmentId) -> Result<Ready> {
        let cached = scope.cached(&environment_key(environment.as_str())).await?;
        let active = cached
            .parsed(|entry| {
                let record: EnvironmentRecord = decode(&entry.key, &entry.value)?;
                let release = record.release.ok_or_else(|| {
                    Error::not_found(format!("an active release of `{environment}`"))
                        .with_hint("activate a release in it first")
                })?;
                let logs = record.decision_log.map_or(0, |log| log.every);
                Ok(Active { release: release.into(), logs, ready: Mutex::default() })
            })?
            .ok_or_else(|| Error::not_found(format!("environment `{environment}`")))?;
        let (project, logs) = (scope.project().clone(), active.logs);
        let release = active.release.clone();
        let (kept, answers) = active.ready.lock().clone();
        if let (Some(snapshot), Some(answers)) = (kept.upgrade(), answers) {
            return Ok(Ready { project, environment, release, logs, snapshot, answers });
        }
        let record = read_release(scope, &release).await?;
        let snapshot = self.artifacts.snapshot(scope, &record.set).await?;
        let answers = Arc::new(Answers::of(&snapshot));
        *active.ready.lock() = (Arc::downgrade(&snapshot), Some(answers.clone()));
        Ok(Ready { project, environment, release, logs, snapshot, answers })
    }
}

/// The environment that is meant when none is named: the project's only one, or `default`.
async fn only_environment(scope: &Scope) -> Result<EnvironmentId> {
    let cached = scope.cached(META).await?;
    let project = cached
        .parsed(|entry| decode::<ProjectRecord>(&entry.key, &entry.value))?
        .ok_or_else(|| Error::not_found(format!("project `{}`", scope.project())))?;
    let name = match project.environments.as_slice() {
        [only] => only,
        names => names.iter().find(|name| *name == "default").ok_or_else(|| {
            Error::invalid(format!("the project has several environments; name one of: {}", names.join(", ")))
        })?,
    };
    EnvironmentId::parse(name)
}

/// Parses a path as clients write it.
///
/// # Errors
/// `Invalid`, saying what a path looks like.
pub fn query_path(text: &str) -> Result<QueryPath> {
    QueryPath::parse(text).map_err(|error| Error::new(ErrorKind::Invalid, "invalid_path", error.to_string()))
}

/// One answer of a batch.
fn item(answer: Result<Option<Box<RawValue>>>, decision_id: String, hint: Option<Arc<str>>) -> BatchItem {
    let error = answer.as_ref().err().map(ToString::to_string);
    let result = answer.ok().flatten();
    let undefined = result.is_none();
    BatchItem { result: result.unwrap_or_else(null), undefined, decision_id, error, hint }
}

fn verdict(result: &Result<Option<Box<RawValue>>>) -> Verdict {
    match result {
        Ok(Some(value)) => match value.get() {
            "true" => Verdict::True,
            "false" => Verdict::False,
            _ => Verdict::Value,
        },
        Ok(None) => Verdict::Undefined,
        Err(_) => Verdict::Error,
    }
}

fn failed(error: EvaluationError) -> Error {
    Error::unprocessable(error.code(), error.to_string())
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// Whether a decision is among those that are logged: by the random part of its id.
fn is_chosen(decision_id: &str, every: u32) -> bool {
    let random = || u32::from_str_radix(decision_id.get(decision_id.len().saturating_sub(8)..)?, 16).ok();
    every == 1 || (every > 1 && random().is_some_and(|random| random % every == 0))
}

/// Makes ids of decisions: UUIDs of version 7, so that they sort by time.
struct Ids(uuid::Timestamp);

impl Ids {
    fn new(now: Timestamp) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        Self(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos))
    }

    fn next(&self) -> String {
        uuid::Uuid::new_v7(self.0).to_string()
    }
}
