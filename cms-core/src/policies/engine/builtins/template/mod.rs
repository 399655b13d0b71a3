// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `strings.render_template`: the part of Go's `text/template` that has no templates within templates.
//!
//! Fields, variables, `if`, `range`, `with`, comments, trimming, pipelines, and the functions `and`,
//! `or`, `not`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `len`, `index`, `print`, `println` and `printf`.

mod parsing;
mod rendering;

use regorus::Value;

use super::{Failure, Outcome, meter, mismatch, sprintf, text};

/// Blocks within each other.
const NESTING: usize = 32;
/// Parts that are rendered, counted each time.
const STEPS: usize = 100_000;

/// Renders a template with variables.
pub(super) fn render_template(arguments: &[Value]) -> Outcome {
    let template = parsing::parse(text(arguments, 0)?)?;
    match arguments.get(1) {
        Some(variables @ Value::Object(_)) => rendering::render(&template, variables).map(Value::from),
        _ => Err(mismatch(arguments, 1, "object")),
    }
}

/// A part of a template.
enum Node {
    Text(String),
    Action(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { items: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
}

/// Calls of which each takes the value of the one before as its last argument.
struct Pipeline {
    /// The variables that take the value; of a range, the key and the item.
    variables: Vec<String>,
    commands: Vec<Vec<Term>>,
}

enum Term {
    /// A name: of a function, or a constant.
    Name(String),
    /// A variable, and fields within it.
    Variable(String, Vec<String>),
    /// Fields within the current value.
    Fields(Vec<String>),
    Constant(Value),
    Pipeline(Pipeline),
}
