// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers a query: finds what a path means, runs the rules that it needs, and joins them with data.

use std::time::Duration;

use regorus::Value;
use regorus::rvm::vm::{RegoVM, VmError};

use super::builtins::{self, CallError};
use super::conflicts;
use super::interpreter;
use super::json::{self, TooLarge};
use super::limits::Limits;
use super::meter::{self, Refusal};
use super::pool::Machine;
use super::program::{Runs, Shard};
use super::snapshot::Snapshot;
use super::stack::{Failed, guarded, on_deep_stack};
use super::tree::{Meaning, Node, RuleId};

/// What an evaluation in a hurry may take: a hundred times what most policies do.
const HURRIED_INSTRUCTIONS: usize = 20_000;
const HURRIED_TIME: Duration = Duration::from_millis(2);

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluation {
    /// This is what stands there.
    Defined(Value),
    /// Nothing stands there, which is neither `false` nor `null`.
    Undefined,
}

impl Evaluation {
    /// Whether the answer is exactly `true`.
    pub fn is_true(&self) -> bool {
        matches!(self, Self::Defined(Value::Bool(true)))
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Defined(value) => Some(value),
            Self::Undefined => None,
        }
    }

    /// The value as JSON, if there is one.
    ///
    /// # Errors
    /// When the text would exceed `limit` bytes.
    pub fn to_json(&self, limit: usize) -> Result<Option<Vec<u8>>, EvaluationError> {
        self.value().map(|value| json::to_json(value, limit)).transpose().map_err(EvaluationError::from)
    }
}

impl From<Value> for Evaluation {
    fn from(value: Value) -> Self {
        if matches!(value, Value::Undefined) { Self::Undefined } else { Self::Defined(value) }
    }
}

/// Why there is no answer. Whoever asked for permission does not have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// The time limit.
    #[error("the policy did not finish within {} ms", limit.as_millis())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The instruction limit.
    #[error("the policy did not finish within {limit} instructions")]
    Instructions {
        /// The limit.
        limit: usize,
    },
    /// The limit of what the built-in functions may produce.
    #[error("the policy's functions would produce more than {limit} bytes")]
    Memory {
        /// The limit.
        limit: usize,
    },
    /// A limit of one function.
    #[error("`{function}` would exceed {limit} {unit}")]
    Function {
        /// The function, or the operator.
        function: &'static str,
        /// The limit.
        limit: usize,
        /// What it counts.
        unit: &'static str,
    },
    /// The limit of an answer's size.
    #[error("the answer exceeds {limit} bytes of JSON")]
    Output {
        /// The limit.
        limit: usize,
    },
    /// A rule or a function has two values at once.
    #[error("{message}")]
    Conflict {
        /// Which, and where.
        message: String,
    },
    /// A number became larger than the engine's arithmetic allows.
    #[error("a number became too large in `{operation}`")]
    Number {
        /// The operation.
        operation: String,
    },
    /// An argument of a built-in function has the wrong type.
    #[error("the policy failed: {message}")]
    Type {
        /// Of which function, and which type it must have.
        message: String,
    },
    /// An error of the policy that no other variant names.
    #[error("the policy failed: {message}")]
    Policy {
        /// What happened.
        message: String,
    },
    /// A defect of the engine, caught.
    #[error("the policy engine failed")]
    Panicked {
        /// For the log.
        message: String,
    },
}

impl EvaluationError {
    /// A stable word for the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "policy_time_limit",
            Self::Instructions { .. } => "policy_instruction_limit",
            Self::Memory { .. } | Self::Function { .. } => "policy_memory_limit",
            Self::Output { .. } => "policy_output_limit",
            Self::Conflict { .. } => "eval_conflict_error",
            Self::Number { .. } => "policy_number_limit",
            Self::Type { .. } => "eval_type_error",
            Self::Policy { .. } => "eval_builtin_error",
            Self::Panicked { .. } => "policy_engine_failure",
        }
    }
}

impl From<TooLarge> for EvaluationError {
    fn from(error: TooLarge) -> Self {
        Self::Output { limit: error.limit }
    }
}

impl From<Failed> for EvaluationError {
    fn from(failed: Failed) -> Self {
        Self::Panicked { message: failed.message }
    }
}

impl From<VmError> for EvaluationError {
    fn from(error: VmError) -> Self {
        match error {
            VmError::TimeLimitExceeded { limit, .. } => Self::Timeout { limit },
            VmError::InstructionLimitExceeded { limit, .. } => Self::Instructions { limit },
            VmError::MemoryLimitExceeded { limit, .. } => Self::memory(limit),
            VmError::RegexSizeLimitExceeded { limit, .. } => Self::Memory { limit },
            VmError::NumericOverflow { operation, .. } => Self::Number { operation: operation.to_owned() },
            VmError::RuleDataConflict { message, .. } => Self::Conflict { message },
            other => Self::Policy { message: other.to_string() },
        }
    }
}

impl EvaluationError {
    /// The error behind one about memory, on the thread that evaluated: a call that failed, a limit of
    /// a function, or memory indeed.
    pub(super) fn memory(limit: u64) -> Self {
        if let Some(CallError { code, message }) = meter::failure() {
            return match code {
                builtins::CONFLICT_ERROR => Self::Conflict { message },
                builtins::TYPE_ERROR => Self::Type { message },
                _ => Self::Policy { message },
            };
        }
        match meter::refusal() {
            Some(Refusal { function, limit, unit }) => Self::Function { function, limit, unit },
            None => Self::Memory { limit: usize::try_from(limit).unwrap_or(usize::MAX) },
        }
    }
}

/// Chains of calls up to this length run on the caller's stack, longer ones on a stack of their own.
const SHALLOW: usize = 64;

/// How an evaluation goes about what OPA leaves to the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvaluationOptions {
    /// Whether an error of a built-in function ends the evaluation. Else its call is undefined.
    pub strict_builtin_errors: bool,
}

impl EvaluationOptions {
    /// An error of a built-in function ends the evaluation.
    pub const STRICT: Self = Self { strict_builtin_errors: true };
}

/// What is asked of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) input: &'a Value,
    pub(super) options: EvaluationOptions,
    /// Whether only little may be spent.
    pub(super) hurried: bool,
}

/// See [`Snapshot::evaluate`].
pub(super) fn evaluate(asked: Question<'_>, path: &[String]) -> Result<Evaluation, EvaluationError> {
    let Question { snapshot, .. } = asked;
    let value = match snapshot.program.tree.resolve(path) {
        Meaning::Rule(rule, below) => descend(&rule_value(asked, rule)?, below).clone(),
        Meaning::Branch(node) => branch_value(asked, node, descend(&snapshot.data, path))?,
        Meaning::Data => descend(&snapshot.data, path).clone(),
    };
    Ok(value.into())
}

/// Follows a path into a value. Parts that are numbers also index arrays.
fn descend<'a>(value: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(value, |value, part| match value {
        Value::Array(items) => {
            part.parse().ok().and_then(|index: usize| items.get(index)).unwrap_or(&Value::Undefined)
        }
        Value::Object(entries) => entries.get(&Value::from(part.as_str())).unwrap_or(&Value::Undefined),
        Value::Set(items) => items.get(&Value::from(part.as_str())).unwrap_or(&Value::Undefined),
        _ => &Value::Undefined,
    })
}

fn rule_value(asked: Question<'_>, rule: RuleId) -> Result<Value, EvaluationError> {
    match asked.snapshot.program.rules.get(rule) {
        Some(found) => match found.runs {
            Runs::Machine { shard, entry } => {
                run(asked, shard, entry, |machine| machine.execute_entry_point_by_index(entry))
            }
            Runs::Interpreter if asked.hurried => Err(EvaluationError::Timeout { limit: HURRIED_TIME }),
            Runs::Interpreter => interpreter::rules(asked, &[rule])
                .map(|values| values.into_iter().next().map_or(Value::Undefined, |(_, value)| value)),
        },
        None => Ok(Value::Undefined),
    }
}

/// What stands at a place with rules below it: the data there, and over it the rules that have values.
fn branch_value(asked: Question<'_>, node: &Node, data: &Value) -> Result<Value, EvaluationError> {
    let mut values = rule_values(asked, &node.rules())?;
    Ok(assemble(node, data, &mut values))
}

fn assemble(node: &Node, data: &Value, values: &mut Vec<(RuleId, Value)>) -> Value {
    if let Some(rule) = node.rule() {
        let found = values.iter().position(|(id, _)| *id == rule);
        return found.map_or(Value::Undefined, |index| values.swap_remove(index).1);
    }
    let mut joined = if matches!(data, Value::Object(_)) { data.clone() } else { Value::new_object() };
    for (segment, child) in node.children() {
        let key = Value::from(segment);
        let value = assemble(child, &joined[&key], values);
        if let (Ok(object), false) = (joined.as_object_mut(), matches!(value, Value::Undefined)) {
            object.insert(key, value);
        }
    }
    joined
}

/// Evaluates rules: a whole shard at once where all of its rules are wanted.
fn rule_values(asked: Question<'_>, wanted: &[RuleId]) -> Result<Vec<(RuleId, Value)>, EvaluationError> {
    let Question { snapshot, .. } = asked;
    let mut values = Vec::with_capacity(wanted.len());
    let mut interpreted = Vec::new();
    let mut whole = vec![false; snapshot.program.shards.len()];
    for rule in wanted {
        match snapshot.program.rules.get(*rule).map(|rule| rule.runs) {
            Some(Runs::Machine { shard, .. }) => {
                let Some(done) = whole.get_mut(shard).filter(|done| !**done) else { continue };
                *done = true;
                values.extend(shard_values(asked, shard, wanted)?);
            }
            Some(Runs::Interpreter) => interpreted.push(*rule),
            None => {}
        }
    }
    if !interpreted.is_empty() && asked.hurried {
        return Err(EvaluationError::Timeout { limit: HURRIED_TIME });
    }
    if !interpreted.is_empty() {
        values.extend(interpreter::rules(asked, &interpreted)?);
    }
    Ok(values)
}

/// The values of those rules of a shard that are wanted.
fn shard_values(
    asked: Question<'_>,
    shard: usize,
    wanted: &[RuleId],
) -> Result<Vec<(RuleId, Value)>, EvaluationError> {
    let Some(found) = asked.snapshot.program.shards.get(shard) else { return Ok(Vec::new()) };
    let own: Vec<_> = found.rules.iter().filter(|(rule, _)| wanted.contains(rule)).collect();
    if own.len() < found.rules.len() {
        return own.into_iter().map(|(rule, _)| Ok((*rule, rule_value(asked, *rule)?))).collect();
    }
    let all = found.program.get_entry_points().len().saturating_sub(1);
    run(asked, shard, all, |machine| {
        machine.execute_entry_point_by_index(all)?;
        let registers = machine.get_registers();
        let value = |register: usize| registers.get(register).cloned().unwrap_or(Value::Undefined);
        Ok(found.rules.iter().map(|(rule, register)| (*rule, value(*register))).collect())
    })
}

/// Runs a program of the snapshot from an entry point, on a machine of its pool.
fn run<T: Send>(
    asked: Question<'_>,
    shard: usize,
    entry: usize,
    work: impl FnOnce(&mut RegoVM) -> Result<T, VmError> + Send,
) -> Result<T, EvaluationError> {
    let Question { snapshot, input, options, hurried } = asked;
    let Some(found) = snapshot.program.shards.get(shard) else {
        return Err(EvaluationError::Policy { message: "the rule has no program".to_owned() });
    };
    let make = || Machine::new(found, &snapshot.data);
    let work = |machine: &mut Machine| {
        meter::begin(snapshot.program.limits.memory, options.strict_builtin_errors);
        machine.select(found, entry, input);
        machine.bound(bounds(&snapshot.program.limits, hurried));
        let machine = &mut machine.machine;
        machine.set_input(input.clone());
        let result = work(machine).map_err(|error| failure(error, found));
        machine.set_input(Value::Undefined);
        result
    };
    let run = || snapshot.pool.with(shard, make, work);
    let result = if found.depth <= SHALLOW { guarded(run) } else { on_deep_stack(run) };
    result??
}

/// How many instructions, and how much time, an evaluation may take.
fn bounds(limits: &Limits, hurried: bool) -> (usize, Duration) {
    match hurried {
        true => (limits.instructions.min(HURRIED_INSTRUCTIONS), limits.time.min(HURRIED_TIME)),
        false => (limits.instructions, limits.time),
    }
}

/// Tells conflicts from limits.
fn failure(error: VmError, shard: &Shard) -> EvaluationError {
    let number = match error {
        VmError::RegexSizeLimitExceeded { limit, .. } => conflicts::conflict_of(limit),
        _ => None,
    };
    match number.map(|number| shard.conflicts.get(number).map_or("a rule", String::as_str)) {
        Some(rule) => EvaluationError::Conflict { message: format!("`{rule}` has more than one value") },
        None => error.into(),
    }
}
