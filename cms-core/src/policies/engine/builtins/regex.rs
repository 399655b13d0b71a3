// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `regex.*`, with expressions in the [dialect](super::dialect) that OPA has.

use std::borrow::Cow;
use std::cell::RefCell;

use ::regex::Regex;
use regorus::Value;

use super::super::costs;
use super::{Failure, Outcome, array_of, dialect, library, strings, text};

/// Whether a text matches a template, of which the parts between delimiters are expressions.
pub(super) fn template_match(arguments: &[Value]) -> Outcome {
    let (template, value) = (text(arguments, 0)?, text(arguments, 1)?);
    let delimiter = |index: usize| -> Result<char, Failure> {
        let mut characters = text(arguments, index)?.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) => Ok(only),
            _ => Err("a delimiter must be one character".into()),
        }
    };
    let (open, close) = (delimiter(2)?, delimiter(3)?);
    let mut pattern = String::from("^");
    let mut literal = String::new();
    let mut expression: Option<String> = None;
    let mut depth = 0_usize;
    for character in template.chars() {
        match &mut expression {
            None if character == open => {
                pattern.push_str(&escaped(&std::mem::take(&mut literal)));
                expression = Some(String::new());
                depth = 1;
            }
            None if character == close => return Err("the template has unbalanced delimiters".into()),
            None => literal.push(character),
            Some(inner) => {
                depth = match character {
                    c if c == open => depth + 1,
                    c if c == close => depth - 1,
                    _ => depth,
                };
                if depth > 0 {
                    inner.push(character);
                } else {
                    pattern.push_str(&format!("({inner})"));
                    expression = None;
                }
            }
        }
    }
    if expression.is_some() {
        return Err("the template has unbalanced delimiters".into());
    }
    pattern.push_str(&escaped(&literal));
    pattern.push('$');
    matches(&[Value::from(pattern), Value::from(value)])
}

/// Whether a text is an expression. What is no text is none.
pub(super) fn is_valid(arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::String(_)] => translated("regex.is_valid", arguments, 0),
        _ => Ok(Value::from(false)),
    }
}

/// Whether an expression matches a text.
pub(super) fn matches(arguments: &[Value]) -> Outcome {
    translated("regex.match", arguments, 0)
}

/// The first matches in a text.
pub(super) fn find_n(arguments: &[Value]) -> Outcome {
    translated("regex.find_n", arguments, 0)
}

/// The first matches in a text, with those of their groups.
pub(super) fn find_all_string_submatch_n(arguments: &[Value]) -> Outcome {
    translated("regex.find_all_string_submatch_n", arguments, 0)
}

/// A text with something else in the place of every match.
pub(super) fn replace(arguments: &[Value]) -> Outcome {
    translated("regex.replace", arguments, 1)
}

/// Calls the library, with the expression in its dialect.
fn translated(name: &'static str, arguments: &[Value], expression: usize) -> Outcome {
    match arguments.get(expression) {
        Some(Value::String(pattern)) => match dialect::translated(pattern) {
            Cow::Borrowed(_) => library(name, arguments),
            Cow::Owned(pattern) => {
                let mut arguments = arguments.to_vec();
                arguments.splice(expression..=expression, [Value::from(pattern)]);
                library(name, &arguments)
            }
        },
        _ => library(name, arguments),
    }
}

/// Escapes what has a meaning in an expression.
pub(super) fn escaped(literal: &str) -> String {
    strings::escaped(literal, r"\.+*?()|[]{}^$")
}

/// Splits a text where an expression matches. One that matches nothing splits between characters, but as
/// in Go neither before the first nor behind the last.
pub(super) fn split(arguments: &[Value]) -> Outcome {
    let (pattern, text) = (text(arguments, 0)?, text(arguments, 1)?);
    if text.is_empty() && !pattern.is_empty() {
        return Ok(array_of(std::iter::once("")));
    }
    costs::matches(arguments, 1)?;
    let expression = compiled(pattern)?;
    let (mut parts, mut begun, mut ended) = (Vec::new(), 0, 0);
    for found in expression.find_iter(text) {
        ended = found.start();
        if found.end() > 0 {
            parts.extend(text.get(begun..ended));
        }
        begun = found.end();
    }
    if ended < text.len() {
        parts.extend(text.get(begun..));
    }
    Ok(array_of(parts.into_iter()))
}

thread_local! {
    /// What was compiled last: calls of a loop mostly ask for the same.
    static LAST: RefCell<Option<(String, Regex)>> = const { RefCell::new(None) };
}

fn compiled(pattern: &str) -> Result<Regex, Failure> {
    let known = LAST.with_borrow(|last| {
        last.as_ref().filter(|(known, _)| known == pattern).map(|(_, expression)| expression.clone())
    });
    if let Some(expression) = known {
        return Ok(expression);
    }
    let expression = Regex::new(&dialect::translated(pattern))
        .map_err(|error| Failure::Failed(format!("invalid regex: {error}")))?;
    LAST.set(Some((pattern.to_owned(), expression.clone())));
    Ok(expression)
}
