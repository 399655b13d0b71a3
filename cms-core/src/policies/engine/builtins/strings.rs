// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `strings.count` and `strings.split_n`.

use regorus::Value;

use super::{Outcome, meter, mismatch, text};

/// Counts a text in another one. An empty text is found before and after every character.
pub(super) fn count(arguments: &[Value]) -> Outcome {
    let (within, wanted) = (text(arguments, 0)?, text(arguments, 1)?);
    Ok(Value::from(if wanted.is_empty() {
        within.chars().count() + 1
    } else {
        within.matches(wanted).count()
    }))
}

/// Splits a text and gives the first parts; or the last ones, for a negative number.
pub(super) fn split_n(arguments: &[Value]) -> Outcome {
    let (whole, delimiter) = (text(arguments, 0)?, text(arguments, 1)?);
    let number = arguments.get(2).and_then(|number| number.as_i64().ok());
    let number = number.ok_or_else(|| mismatch(arguments, 2, "integer"))?;
    meter::afford_items(whole.len().saturating_add(1))?;
    let parts: Vec<String> = if delimiter.is_empty() {
        whole.chars().map(String::from).collect()
    } else {
        whole.split(delimiter).map(str::to_owned).collect()
    };
    let wanted = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX).min(parts.len());
    let skipped = if number < 0 { parts.len() - wanted } else { 0 };
    Ok(Value::from(parts.into_iter().skip(skipped).take(wanted).map(Value::from).collect::<Vec<_>>()))
}
