// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts what built-in functions produce in one evaluation, so that no policy fills the memory, and
//! knows which of them was refused for what.
//!
//! The machine counts instructions, but one call can build a value of any size, and a loop can keep
//! many of them. The count belongs to the evaluation that runs on this thread; an evaluation never
//! changes threads.

use std::cell::{Cell, RefCell};

use regorus::{LimitError, Value};

use super::builtins::CallError;

/// Bytes that a value of a collection takes, about.
pub(super) const ITEM: usize = 40;

thread_local!(static BUDGET: Cell<Budget> = const { Cell::new(Budget::none()) });

thread_local!(static FAILURE: RefCell<Option<CallError>> = const { RefCell::new(None) });

#[derive(Clone, Copy)]
struct Budget {
    limit: usize,
    left: usize,
    /// Whether an error of a function ends the evaluation.
    strict: bool,
    /// The function that is being called, or was last.
    function: &'static str,
    /// What a function was refused for.
    refused: Option<Refusal>,
}

/// A function that would exceed a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) function: &'static str,
    pub(super) limit: usize,
    /// What the limit counts: `bytes`.
    pub(super) unit: &'static str,
}

impl Budget {
    const fn none() -> Self {
        Self { limit: 0, left: 0, strict: false, function: "", refused: None }
    }
}

/// Begins an evaluation that may produce `limit` bytes.
pub(super) fn begin(limit: usize, strict: bool) {
    BUDGET.set(Budget { limit, left: limit, strict, ..Budget::none() });
    FAILURE.take();
}

/// Notes which function is being called.
pub(super) fn enter(function: &'static str) {
    BUDGET.set(Budget { function, ..BUDGET.get() });
}

/// Whether an error of a function ends the evaluation on this thread.
pub(super) fn is_strict() -> bool {
    BUDGET.get().strict
}

/// Ends the evaluation on this thread with the error of a call. Gives an error that every evaluator
/// passes on, in place of that.
pub(super) fn fail(error: CallError) -> LimitError {
    FAILURE.replace(Some(error));
    LimitError::MemoryLimitExceeded { usage: 0, limit: 0 }
}

/// The error of a call that ended the evaluation on this thread.
pub(super) fn failure() -> Option<CallError> {
    FAILURE.take()
}

/// What the evaluation on this thread was refused for, if a function was.
pub(super) fn refusal() -> Option<Refusal> {
    BUDGET.get().refused
}

/// Refuses a call that would produce more bytes than are left.
pub(super) fn afford(bytes: usize) -> Result<(), LimitError> {
    let budget = BUDGET.get();
    if bytes <= budget.left { Ok(()) } else { Err(exceeded()) }
}

/// Refuses a call that would produce more values than there is room for.
pub(super) fn afford_items(count: usize) -> Result<(), LimitError> {
    afford(count.saturating_mul(ITEM))
}

/// Refuses a call that counts more of something than is allowed.
pub(super) fn at_most(limit: usize, count: usize, unit: &'static str) -> Result<(), LimitError> {
    if count <= limit { Ok(()) } else { Err(exceeds(limit, unit)) }
}

/// Counts what a call has produced.
pub(super) fn charge(value: &Value) -> Result<(), LimitError> {
    let bytes = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(shallow).sum(),
        Value::Set(items) => items.iter().map(shallow).sum(),
        Value::Object(entries) => entries.iter().map(|(key, value)| shallow(key) + shallow(value)).sum(),
        _ => return Ok(()),
    };
    afford(bytes)?;
    let budget = BUDGET.get();
    BUDGET.set(Budget { left: budget.left.saturating_sub(bytes), ..budget });
    Ok(())
}

fn shallow(value: &Value) -> usize {
    match value {
        Value::String(text) => ITEM + text.len(),
        _ => ITEM,
    }
}

/// Refuses a call that would write out values whose text is longer than what is left. Values that
/// share parts may be far longer in writing than in memory, so counting stops at the limit.
pub(super) fn afford_text<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<(), LimitError> {
    let budget = BUDGET.get();
    let mut left = budget.left;
    let mut open: Vec<&Value> = values.into_iter().collect();
    while let Some(value) = open.pop() {
        let bytes = match value {
            Value::String(text) => text.len() + 2,
            Value::Number(_) => 8,
            _ => 2,
        };
        left = left.checked_sub(bytes).ok_or_else(exceeded)?;
        match value {
            Value::Array(items) => open.extend(items.iter()),
            Value::Set(items) => open.extend(items.iter()),
            Value::Object(entries) => open.extend(entries.iter().flat_map(|(key, value)| [key, value])),
            _ => {}
        }
        if open.len() > left {
            return Err(exceeded());
        }
    }
    Ok(())
}

fn exceeded() -> LimitError {
    exceeds(BUDGET.get().limit, "bytes that functions may produce")
}

/// The error of a call that would exceed a limit.
pub(super) fn exceeds(limit: usize, unit: &'static str) -> LimitError {
    let budget = BUDGET.get();
    BUDGET.set(Budget { refused: Some(Refusal { function: budget.function, limit, unit }), ..budget });
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    LimitError::MemoryLimitExceeded { usage: limit, limit }
}
