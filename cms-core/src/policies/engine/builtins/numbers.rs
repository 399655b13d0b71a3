// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Functions of numbers whose arguments OPA takes otherwise than the library.

use regorus::Value;

use super::{Failure, Outcome, integer, library};

/// The numbers from one to another, by steps. The library divides by a step of zero.
pub(super) fn range_step(arguments: &[Value]) -> Outcome {
    for index in 0..2 {
        integer(arguments, index)?;
    }
    if integer(arguments, 2)? < 1 {
        return Err("step must be a positive integer".into());
    }
    library("numbers.range_step", arguments)
}

/// A number from a text, around which nothing may stand.
pub(super) fn to_number(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::String(text)] if text.trim() != text.as_ref() => {
            Err(Failure::Failed(format!("`{text}` is no number")))
        }
        [Value::String(text)] if is_no_finite(text) => {
            Err(Failure::Type("operand 1 must be valid number string but got string".to_owned()))
        }
        _ => library("to_number", arguments),
    }
}

/// Whether a text is one of Go's words for what is not finite, or not a number.
fn is_no_finite(text: &str) -> bool {
    let word = text.trim_start_matches(['+', '-']);
    ["inf", "infinity", "nan"].iter().any(|known| word.eq_ignore_ascii_case(known))
}
