// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Operators in the form of functions: `plus(1, 2)`, `equal(a, b)`.

use std::cmp::Ordering;

use regorus::Value;

use super::super::costs;
use super::decimal::{Decimal, decimals};
use super::{Failure, Outcome, items, library, mismatch};

/// Computes with two numbers, whose type has no public name. With fractions it computes in decimals.
macro_rules! numbers {
    ($arguments:expr, $decimal:path, |$left:ident, $right:ident| $result:expr) => {{
        let [left, right] = $arguments else { return Ok(Value::Undefined) };
        let $left = left.as_number().map_err(|_| mismatch($arguments, 0, "number"))?;
        let $right = right.as_number().map_err(|_| mismatch($arguments, 1, "number"))?;
        if !($left.is_integer() && $right.is_integer())
            && let Some(result) = decimals($left.as_f64(), $right.as_f64(), $decimal)
        {
            return Ok(Value::from(result));
        }
        $result.map(Value::from).map_err(|error| Failure::Failed(error.to_string()))
    }};
}

pub(super) fn plus(arguments: &[Value]) -> Outcome {
    numbers!(arguments, Decimal::plus, |left, right| left.add(right))
}

pub(super) fn minus(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Set(left), Value::Set(right)] => Ok(Value::from(
            left.iter().filter(|item| !right.contains(item)).cloned().collect::<regorus::value::Set>(),
        )),
        _ => numbers!(arguments, Decimal::minus, |left, right| left.sub(right)),
    }
}

pub(super) fn mul(arguments: &[Value]) -> Outcome {
    if let [left, right] = arguments {
        costs::multiply(left, right)?;
    }
    numbers!(arguments, Decimal::times, |left, right| left.mul(right))
}

pub(super) fn div(arguments: &[Value]) -> Outcome {
    if is_zero(arguments) {
        return Err("divide by zero".into());
    }
    numbers!(arguments, Decimal::by, |left, right| left.clone().divide(right))
}

pub(super) fn rem(arguments: &[Value]) -> Outcome {
    if is_zero(arguments) {
        return Err("modulo by zero".into());
    }
    numbers!(arguments, Decimal::none, |left, right| left.clone().modulo(right))
}

/// The sum of numbers. Those without fractions are left to the library.
pub(super) fn sum(arguments: &[Value]) -> Outcome {
    let numbers = items(arguments, 0)?;
    let has_fraction = |number: &&Value| number.as_f64().is_ok_and(|number| number.fract() != 0.0);
    if !numbers.iter().any(has_fraction) || numbers.iter().any(|number| number.as_number().is_err()) {
        return library("sum", arguments);
    }
    numbers.into_iter().try_fold(Value::from(0), |sum, number| plus(&[sum, number.clone()]))
}

pub(super) fn and(arguments: &[Value]) -> Outcome {
    sets(arguments, |left, right| left.iter().filter(|item| right.contains(item)).cloned().collect())
}

pub(super) fn or(arguments: &[Value]) -> Outcome {
    sets(arguments, |left, right| left.iter().chain(right.iter()).cloned().collect())
}

pub(super) fn equal(arguments: &[Value]) -> Outcome {
    compared(arguments, Ordering::is_eq)
}

pub(super) fn neq(arguments: &[Value]) -> Outcome {
    compared(arguments, Ordering::is_ne)
}

pub(super) fn lt(arguments: &[Value]) -> Outcome {
    compared(arguments, Ordering::is_lt)
}

pub(super) fn lte(arguments: &[Value]) -> Outcome {
    compared(arguments, Ordering::is_le)
}

pub(super) fn gt(arguments: &[Value]) -> Outcome {
    compared(arguments, Ordering::is_gt)
}

pub(super) fn gte(arguments: &[Value]) -> Outcome {
    compared(arguments, Ordering::is_ge)
}

/// Whether a value is in a collection.
pub(super) fn member(arguments: &[Value]) -> Outcome {
    let [value, collection] = arguments else { return Ok(Value::Undefined) };
    Ok(Value::from(match collection {
        Value::Array(items) => items.iter().any(|item| item == value),
        Value::Set(items) => items.contains(value),
        Value::Object(entries) => entries.iter().any(|(_, item)| item == value),
        _ => false,
    }))
}

/// Whether a value is in a collection under a key.
pub(super) fn member_with_key(arguments: &[Value]) -> Outcome {
    let [key, value, collection] = arguments else { return Ok(Value::Undefined) };
    let found = match collection {
        Value::Set(items) => items.get(key),
        Value::Array(_) | Value::Object(_) => Some(&collection[key]),
        _ => None,
    };
    Ok(Value::from(found == Some(value)))
}

fn compared(arguments: &[Value], holds: fn(Ordering) -> bool) -> Outcome {
    let [left, right] = arguments else { return Ok(Value::Undefined) };
    Ok(Value::from(holds(left.cmp(right))))
}

fn is_zero(arguments: &[Value]) -> bool {
    arguments.get(1).is_some_and(|divisor| *divisor == Value::from(0))
}

fn sets(
    arguments: &[Value],
    compute: impl FnOnce(&regorus::value::Set, &regorus::value::Set) -> regorus::value::Set,
) -> Outcome {
    let [left, right] = arguments else { return Ok(Value::Undefined) };
    let left = left.as_set().map_err(|_| mismatch(arguments, 0, "set"))?;
    let right = right.as_set().map_err(|_| mismatch(arguments, 1, "set"))?;
    Ok(Value::from(compute(left, right)))
}
