// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts what built-in functions produce in one evaluation, so that no policy fills the memory.
//!
//! The machine counts instructions, but one call can build a value of any size, and a loop can keep
//! many of them. The count belongs to the evaluation that runs on this thread; an evaluation never
//! changes threads.

use std::cell::Cell;

use regorus::{LimitError, Value};

/// Bytes that a value of a collection takes, about.
const ITEM: usize = 40;

thread_local!(static BUDGET: Cell<Budget> = const { Cell::new(Budget { limit: 0, left: 0 }) });

#[derive(Clone, Copy)]
struct Budget {
    limit: usize,
    left: usize,
}

/// Begins an evaluation that may produce `limit` bytes.
pub(super) fn begin(limit: usize) {
    BUDGET.set(Budget { limit, left: limit });
}

/// Refuses a call that would produce more bytes than are left.
pub(super) fn afford(bytes: usize) -> Result<(), LimitError> {
    let budget = BUDGET.get();
    if bytes <= budget.left { Ok(()) } else { Err(exceeded(budget.limit)) }
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
        left = left.checked_sub(bytes).ok_or_else(|| exceeded(budget.limit))?;
        match value {
            Value::Array(items) => open.extend(items.iter()),
            Value::Set(items) => open.extend(items.iter()),
            Value::Object(entries) => open.extend(entries.iter().flat_map(|(key, value)| [key, value])),
            _ => {}
        }
        if open.len() > left {
            return Err(exceeded(budget.limit));
        }
    }
    Ok(())
}

/// The limit of the evaluation on this thread.
pub(super) fn limit() -> usize {
    BUDGET.get().limit
}

/// The error of a call that is refused, whatever it would cost.
pub(super) fn refused() -> LimitError {
    exceeded(BUDGET.get().limit)
}

fn exceeded(limit: usize) -> LimitError {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    LimitError::MemoryLimitExceeded { usage: limit, limit }
}
