// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The second evaluator, for what the register machine cannot run, and for Rego tests.
//!
//! It copies what lies beside a policy in data at every evaluation, so it must never decide what
//! the machine can. It recurses, so it always runs on a stack of its own.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, LimitError, Value};

use super::compile;
use super::diagnostic::Diagnostic;
use super::evaluate::{EvaluationError, Question};
use super::guards;
use super::meter;
use super::stack::on_deep_stack;
use super::tree::RuleId;

/// Statements between two looks at the clock.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// Evaluates rules of a snapshot.
pub(super) fn rules(asked: Question<'_>, rules: &[RuleId]) -> Result<Vec<(RuleId, Value)>, EvaluationError> {
    let Question { snapshot, input, options, .. } = asked;
    let program = &snapshot.program;
    let evaluate = || {
        meter::begin(program.limits.memory, options.strict_builtin_errors);
        let prepared = snapshot.interpreter.get_or_init(|| match &program.interpreter {
            Some(engine) => with_data(engine.clone(), &snapshot.data),
            None => Err(EvaluationError::Policy { message: "there is no interpreter".to_owned() }),
        });
        let mut engine = prepared.clone()?;
        limit_time(&mut engine, program.limits.time);
        engine.set_input(input.clone());
        let found = rules.iter().filter_map(|id| program.rules.get(*id).map(|rule| (*id, rule)));
        found.map(|(id, rule)| Ok((id, value(&mut engine, &rule.reference)?))).collect()
    };
    on_deep_stack(evaluate)?
}

/// Gives an engine its data, and lets it prepare for evaluation.
pub(super) fn with_data(mut engine: Engine, data: &Value) -> Result<Engine, EvaluationError> {
    // As in the machine, and as in OPA: a built-in function that fails is undefined.
    engine.set_strict_builtin_errors(false);
    engine.add_data(data.clone()).map_err(|error| EvaluationError::Policy { message: error.to_string() })?;
    guards::guard_interpreter(&mut engine)
        .and_then(|()| compile::make_ready(&mut engine))
        .map_err(|message| EvaluationError::Policy { message })?;
    Ok(engine)
}

pub(super) fn limit_time(engine: &mut Engine, limit: Duration) {
    engine.set_execution_timer_config(ExecutionTimerConfig { limit, check_interval: CLOCK_INTERVAL });
}

/// Evaluates one rule.
pub(super) fn value(engine: &mut Engine, reference: &str) -> Result<Value, EvaluationError> {
    // Rules whose names go on with several variables can only be queried.
    let result = engine.eval_rule(reference.to_owned()).or_else(|error| {
        if !error.to_string().contains("not a valid rule path") {
            return Err(error);
        }
        let answers = engine.eval_query(reference.to_owned(), false)?.result;
        let expression = answers.first().and_then(|answer| answer.expressions.first());
        // Without any entry, such a rule is an empty object.
        Ok(expression.map_or_else(Value::new_object, |expression| expression.value.clone()))
    });
    result.map_err(|error| failure(error.downcast_ref(), &error.to_string()))
}

/// What the interpreter's error means, on the thread that evaluated.
pub(super) fn failure(limit: Option<&LimitError>, text: &str) -> EvaluationError {
    match limit {
        Some(LimitError::TimeLimitExceeded { limit, .. }) => EvaluationError::Timeout { limit: *limit },
        Some(LimitError::MemoryLimitExceeded { limit, .. }) => EvaluationError::memory(*limit),
        Some(LimitError::RegexSizeLimitExceeded { limit }) => EvaluationError::Memory { limit: *limit },
        None => from_text(text),
    }
}

/// Tells limits and conflicts from other failures by the interpreter's words.
fn from_text(text: &str) -> EvaluationError {
    // A guarded function has refused; the interpreter passes on its words only.
    if text.contains("exceeded memory limit") {
        return EvaluationError::memory(0);
    }
    let found = Diagnostic::from_compiler(text, "", "");
    let message = format!("{}:{}:{}: {}", found.file, found.line, found.column, found.message);
    let conflict = ["multiple outputs", "conflicts with rule", "generated multiple times"];
    if conflict.iter().any(|words| found.message.contains(words)) {
        EvaluationError::Conflict { message }
    } else {
        EvaluationError::Policy { message }
    }
}
