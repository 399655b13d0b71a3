// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `regex.*` where the library differs.

use regorus::Value;

use super::{Failure, Outcome, array_of, library, strings, text};

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
    library("regex.match", &[Value::from(pattern), Value::from(value)])
}

/// Escapes what has a meaning in an expression.
fn escaped(literal: &str) -> String {
    strings::escaped(literal, r"\.+*?()|[]{}^$")
}

/// Splits a text where an expression matches. One that matches nothing splits between characters.
pub(super) fn split(arguments: &[Value]) -> Outcome {
    if text(arguments, 0)?.is_empty() {
        return Ok(array_of(text(arguments, 1)?.chars().map(String::from)));
    }
    library("regex.split", arguments)
}
