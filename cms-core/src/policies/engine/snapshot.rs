// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program and its data, ready to decide: what an environment's active release is in memory.

use std::sync::{Arc, OnceLock};

use regorus::{Engine, Value};

use super::data::Data;
use super::diagnostic::{Diagnostic, code};
use super::evaluate::{self, Evaluation, EvaluationError, EvaluationOptions, Question};
use super::json::{self, InvalidJson};
use super::limits::Limits;
use super::path::QueryPath;
use super::pool::Pool;
use super::program::Program;

/// A program over data. Shared by all threads; deciding takes `&self`.
pub struct Snapshot {
    pub(super) program: Arc<Program>,
    pub(super) data: Value,
    pub(super) pool: Pool,
    /// The interpreter with this data, made when it is first needed.
    pub(super) interpreter: OnceLock<Result<Engine, EvaluationError>>,
}

/// What a decision is asked about.
#[derive(Debug, Clone)]
pub struct Input(pub(super) Value);

impl Input {
    /// No input: every reference to `input` is undefined.
    pub const NONE: Self = Self(Value::Undefined);

    /// Reads JSON, at most as much and as deep as the program's limits allow.
    ///
    /// # Errors
    /// When the text is too long, too deep, or not JSON.
    pub fn from_json(text: &[u8], program: &Program) -> Result<Self, InvalidJson> {
        Self::read(text, program.limits())
    }

    /// The same within limits that are given.
    ///
    /// # Errors
    /// As [`Input::from_json`].
    pub fn read(text: &[u8], limits: &Limits) -> Result<Self, InvalidJson> {
        if text.len() > limits.input_bytes {
            let message =
                format!("the input has {} bytes; at most {} are allowed", text.len(), limits.input_bytes);
            return Err(InvalidJson { message, line: 1, column: 1 });
        }
        json::from_json(text, limits.depth).map(Self)
    }
}

impl From<Value> for Input {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Snapshot {
    /// Joins a program and data.
    ///
    /// # Errors
    /// When a rule and a data document would stand in the same place.
    pub fn new(program: Arc<Program>, data: &Data) -> Result<Self, Vec<Diagnostic>> {
        let value = data.to_value();
        let found: Vec<Diagnostic> =
            program.rules.iter().filter_map(|rule| conflict(&rule.path, data, &value)).collect();
        if !found.is_empty() {
            return Err(found);
        }
        let pool = Pool::new(program.shards.len());
        Ok(Self { program, data: value, pool, interpreter: OnceLock::new() })
    }

    /// The same program over other data.
    ///
    /// # Errors
    /// As [`Snapshot::new`].
    pub fn with_data(&self, data: &Data) -> Result<Self, Vec<Diagnostic>> {
        Self::new(Arc::clone(&self.program), data)
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Answers what stands at a path, given an input.
    ///
    /// # Errors
    /// When the evaluation reaches a limit or fails. Whoever asks for permission treats every error
    /// as a refusal.
    pub fn evaluate(&self, path: &QueryPath, input: &Input) -> Result<Evaluation, EvaluationError> {
        self.evaluate_with(path, input, EvaluationOptions::default())
    }

    /// Answers as [`Snapshot::evaluate`] does, with options.
    ///
    /// # Errors
    /// As [`Snapshot::evaluate`], and when a built-in function fails and the options say that it counts.
    pub fn evaluate_with(
        &self,
        path: &QueryPath,
        input: &Input,
        options: EvaluationOptions,
    ) -> Result<Evaluation, EvaluationError> {
        let asked = Question { snapshot: self, input: &input.0, options, hurried: false };
        evaluate::evaluate(asked, path.segments())
    }

    /// Answers as [`Snapshot::evaluate_with`] does, if it takes a millisecond or two; `None` if it takes
    /// more, or may. So a thread that others wait for need not be spent on it.
    ///
    /// # Errors
    /// As [`Snapshot::evaluate_with`].
    pub fn evaluate_hurried(
        &self,
        path: &QueryPath,
        input: &Input,
        options: EvaluationOptions,
    ) -> Result<Option<Evaluation>, EvaluationError> {
        let asked = Question { snapshot: self, input: &input.0, options, hurried: true };
        match evaluate::evaluate(asked, path.segments()) {
            Ok(evaluation) => Ok(Some(evaluation)),
            Err(EvaluationError::Timeout { .. } | EvaluationError::Instructions { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("program", &self.program).finish_non_exhaustive()
    }
}

/// Finds data where a rule is, or data that is no object above a rule.
fn conflict(path: &[String], data: &Data, value: &Value) -> Option<Diagnostic> {
    let mut found = value;
    for (index, segment) in path.iter().enumerate() {
        found = found.as_object().ok()?.get(&Value::from(segment.as_str()))?;
        if index + 1 < path.len() && matches!(found, Value::Object(_)) {
            continue;
        }
        let document = data.document_at(path).unwrap_or_default();
        let message = format!(
            "the rule `{}` and the data document `{document}` stand in the same place",
            path.join(".")
        );
        return Some(Diagnostic::new(document, (1, 1), code::CONFLICT, message));
    }
    None
}
