// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Explains decisions to who may read what they rest on: the policies and the data of the project.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::released::refused;
use super::{Decisions, Evaluated};
use crate::api::explanations::{
    DefinitionOutcome, Explanation, FailedExpression, ShownValue, TriedDefinition,
};
use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::policies::artifacts::options;
use crate::policies::engine::{self, Explained, Explainer, Input, Module, QueryPath, Seen, Shown, Tried};
use crate::releases::read_release;
use crate::store::Scope;

impl Decisions {
    /// Explains what was answered at a path for an input.
    ///
    /// An explanation quotes policies and shows values of data, so the caller needs the right to read
    /// both, beside the right to decide.
    ///
    /// # Errors
    /// `Denied` to who may not read policies and data; `NotFound` without such a release.
    pub async fn explain(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        evaluated: &Evaluated,
        path: &QueryPath,
        input: Option<&str>,
    ) -> Result<Explanation> {
        let proof = self.kit.authorize(ctx, Action::PolicyRead, Target::new(project, "policy")).await?;
        self.kit.authorize(ctx, Action::DataRead, Target::new(project, "data")).await?;
        let scope = self.kit.scope(&proof);
        let explainer = self.explainer(&scope, &evaluated.release).await?;
        let asked = path.segments().join(".");
        let (path, input) = (path.clone(), input.map(str::to_owned));
        let explain = move || {
            let input = match &input {
                Some(text) => Input::read(text.as_bytes(), explainer.limits())
                    .map_err(|error| Error::new(ErrorKind::Invalid, "invalid_input", error.to_string()))?,
                None => Input::NONE,
            };
            Ok::<_, Error>(explainer.explain(&path, &input))
        };
        let mut told = self.kit.lane.run(project, explain).await??;
        // A path that leads into a rule's value is answered by a part of what is explained.
        if told.results.iter().any(|result| result.name == asked) {
            told.hold_to(evaluated.result.as_ref().map(|result| result.get()));
        }
        Ok(told.into())
    }

    /// What explains the decisions of a release, made when it is first needed.
    async fn explainer(&self, scope: &Scope, release: &str) -> Result<Arc<Explainer>> {
        if let Some(kept) = self.explainers.get(release) {
            return Ok(kept);
        }
        let record = read_release(scope, release).await?;
        let modules = self.artifacts.modules(scope, &record.set).await?;
        let (data, options) = (self.artifacts.data(scope, &record.set).await?, options(scope));
        let make = move || {
            let deciding: Vec<Module> =
                modules.into_iter().filter(|module| !module.holds_tests(&options)).collect();
            Explainer::new(&deciding, &data, &options)
        };
        let made = self
            .kit
            .lane
            .run(scope.project(), make)
            .await?
            .map_err(|found| refused("the policies cannot be explained", &found))?;
        let made = Arc::new(made);
        self.explainers.insert(release.to_owned(), made.clone());
        Ok(made)
    }
}

impl From<engine::Explanation> for Explanation {
    fn from(told: engine::Explanation) -> Self {
        let text = told.lines();
        Self { tried: told.tried.into_iter().map(Into::into).collect(), incomplete: told.incomplete, text }
    }
}

impl From<Tried> for TriedDefinition {
    fn from(tried: Tried) -> Self {
        let all = |shown: Vec<Shown>| shown.into_iter().map(Into::into).collect();
        Self {
            rule: tried.rule,
            document: tried.document,
            line: tried.line,
            outcome: match tried.outcome {
                Explained::Held => DefinitionOutcome::Held,
                Explained::Failed => DefinitionOutcome::Failed,
                Explained::Default => DefinitionOutcome::Default,
                Explained::Stopped => DefinitionOutcome::Stopped,
            },
            arguments: all(tried.arguments),
            values: all(tried.values),
            variables: all(tried.variables),
            failed_at: tried.failure.map(|failure| FailedExpression {
                line: failure.line,
                text: failure.text,
                values: all(failure.values),
            }),
            because: tried.because.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Shown> for ShownValue {
    fn from(shown: Shown) -> Self {
        let (value, about) = match shown.value {
            Seen::Undefined => (None, None),
            Seen::Json(text) => (RawValue::from_string(text).ok(), None),
            Seen::Described(words) => (None, Some(words)),
        };
        Self { name: shown.name, value, about }
    }
}
