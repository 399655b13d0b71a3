// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every backend refuses before it changes anything, so that all refuse the same.

use std::collections::BTreeSet;

use super::{
    MAX_KEY_BYTES, MAX_TRANSACTION_ITEMS, MAX_VALUE_BYTES, Operation, StoreError, StoreErrorKind,
    StoreResult, Transaction,
};

/// How much of a key that is too long an error shows.
const SHOWN_KEY_CHARS: usize = 80;

/// Checks the limits that hold on every backend, in the name of `backend`.
///
/// # Errors
/// `TooLarge` for a key, value or transaction past its limit; `Unsupported` for an empty key or
/// prefix and for a transaction that touches a key twice.
pub fn check_transaction(backend: &'static str, transaction: &Transaction) -> StoreResult<()> {
    let items = transaction.conditions.len() + transaction.operations.len() + transaction.erased.len();
    if items > MAX_TRANSACTION_ITEMS {
        let text =
            format!("a transaction of {items} items is past the limit of {MAX_TRANSACTION_ITEMS}: split it");
        return Err(StoreError::new(backend, StoreErrorKind::TooLarge, text));
    }
    for condition in &transaction.conditions {
        check_key(backend, condition.key())?;
    }
    for operation in &transaction.operations {
        check_operation(backend, operation)?;
    }
    for prefix in &transaction.erased {
        check_key(backend, prefix)?;
    }
    check_overlap(backend, &transaction.operations)
}

fn check_operation(backend: &'static str, operation: &Operation) -> StoreResult<()> {
    match operation {
        Operation::Put { key, value, .. } => {
            check_key(backend, key)?;
            if value.len() > MAX_VALUE_BYTES {
                let text = format!(
                    "a value of {} bytes is past the limit of {MAX_VALUE_BYTES}: split it",
                    value.len()
                );
                return Err(StoreError::new(backend, StoreErrorKind::TooLarge, text).with_key(key));
            }
            Ok(())
        }
        Operation::Delete { key } => check_key(backend, key),
        Operation::DeletePrefix { prefix } => check_key(backend, prefix),
    }
}

fn check_key(backend: &'static str, key: &str) -> StoreResult<()> {
    if key.is_empty() {
        let text = "an empty key or prefix is not allowed";
        return Err(StoreError::new(backend, StoreErrorKind::Unsupported, text));
    }
    if key.len() > MAX_KEY_BYTES {
        let text = format!("a key of {} bytes is past the limit of {MAX_KEY_BYTES}", key.len());
        let shown: String = key.chars().take(SHOWN_KEY_CHARS).collect();
        return Err(StoreError::new(backend, StoreErrorKind::TooLarge, text).with_key(shown));
    }
    Ok(())
}

/// Refuses a key that two operations touch: backends differ in what that would mean.
fn check_overlap(backend: &'static str, operations: &[Operation]) -> StoreResult<()> {
    let twice = |key: &str| {
        let text = "a transaction may touch a key only once";
        StoreError::new(backend, StoreErrorKind::Unsupported, text).with_key(key)
    };
    let mut keys = BTreeSet::new();
    for operation in operations {
        if let Operation::Put { key, .. } | Operation::Delete { key } = operation
            && !keys.insert(key.as_str())
        {
            return Err(twice(key));
        }
    }
    let mut prefixes: Vec<&str> = Vec::new();
    for operation in operations {
        let Operation::DeletePrefix { prefix } = operation else { continue };
        let nested = |other: &&str| prefix.starts_with(*other) || other.starts_with(prefix.as_str());
        let touched = keys.range(prefix.as_str()..).next().filter(|key| key.starts_with(prefix.as_str()));
        if let Some(key) = touched.copied().or_else(|| prefixes.iter().copied().find(nested)) {
            return Err(twice(key));
        }
        prefixes.push(prefix);
    }
    Ok(())
}
