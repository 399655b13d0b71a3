// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `object.*` where the library takes what OPA refuses.

use regorus::Value;

use super::{Failure, Outcome, library, type_of};

/// Whether a collection is part of another one of its kind. A set may be part of an array.
pub(super) fn subset(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Object(_), Value::Object(_)]
        | [Value::Array(_), Value::Array(_) | Value::Set(_)]
        | [Value::Set(_), Value::Set(_)] => library("object.subset", arguments),
        _ => Err(Failure::Type(
            "both arguments object.subset must be of the same type or array and set".to_owned(),
        )),
    }
}

/// One object of all in an array; the later of them count.
pub(super) fn union_n(arguments: &[Value]) -> Outcome {
    if let [Value::Array(items)] = arguments
        && let Some(other) = items.iter().find(|item| !matches!(item, Value::Object(_)))
    {
        let given = type_of(other);
        let text = format!("operand 1 must be array of objects but got array containing {given}");
        return Err(Failure::Type(text));
    }
    library("object.union_n", arguments)
}
