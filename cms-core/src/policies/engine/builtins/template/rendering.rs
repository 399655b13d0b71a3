// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Renders templates.

use std::cmp::Ordering;

use regorus::Value;

use super::{Failure, Node, Pipeline, STEPS, Term, meter, sprintf};

/// Renders a template with variables.
pub(super) fn render(template: &[Node], root: &Value) -> Result<String, Failure> {
    let root = numbers_as_texts(root);
    let mut rendering =
        Rendering { written: String::new(), steps: 0, variables: vec![(String::new(), root.clone())] };
    rendering.nodes(template, &root)?;
    Ok(rendering.written)
}

/// OPA hands numbers over as texts; those of the template itself stay numbers.
fn numbers_as_texts(value: &Value) -> Value {
    match value {
        Value::Number(_) => Value::from(value.to_string()),
        Value::Array(items) => Value::from(items.iter().map(numbers_as_texts).collect::<Vec<_>>()),
        Value::Set(items) => Value::from(items.iter().map(numbers_as_texts).collect::<Vec<_>>()),
        Value::Object(entries) => Value::from(
            entries
                .iter()
                .map(|(key, item)| (numbers_as_texts(key), numbers_as_texts(item)))
                .collect::<regorus::value::Object>(),
        ),
        other => other.clone(),
    }
}

struct Rendering {
    written: String,
    steps: usize,
    /// The variables in scope, the innermost last. The one without a name is the whole.
    variables: Vec<(String, Value)>,
}

impl Rendering {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), Failure> {
        let scope = self.variables.len();
        for node in nodes {
            self.steps += 1;
            meter::at_most(STEPS, self.steps, "steps of a template")?;
            self.node(node, dot)?;
            meter::afford(self.written.len())?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), Failure> {
        match node {
            Node::Text(text) => self.written.push_str(text),
            Node::Action(pipeline) => {
                let value = self.value(pipeline, dot)?;
                match pipeline.variables.first() {
                    Some(name) => self.variables.push((name.clone(), value)),
                    None => write(&mut self.written, &value, true),
                }
            }
            Node::If { condition, then, otherwise } => {
                let holds = is_true(&self.bound(condition, dot)?);
                return self.nodes(if holds { then } else { otherwise }, dot);
            }
            Node::With { value, then, otherwise } => {
                let value = self.bound(value, dot)?;
                return if is_true(&value) { self.nodes(then, &value) } else { self.nodes(otherwise, dot) };
            }
            Node::Range { items, then, otherwise } => return self.range(items, then, otherwise, dot),
        }
        Ok(())
    }

    fn range(
        &mut self,
        items: &Pipeline,
        then: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<(), Failure> {
        let pairs: Vec<(Value, Value)> = match self.value(items, dot)? {
            Value::Array(items) => (0_u64..).map(Value::from).zip(items.iter().cloned()).collect(),
            Value::Set(items) => (0_u64..).map(Value::from).zip(items.iter().cloned()).collect(),
            Value::Object(entries) => {
                entries.iter_sorted().map(|(key, item)| (key.clone(), item.clone())).collect()
            }
            Value::Null | Value::Undefined => Vec::new(),
            _ => return Err("range can't iterate over the value".into()),
        };
        if pairs.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in pairs {
            let scope = self.variables.len();
            match items.variables.as_slice() {
                [name] => self.variables.push((name.clone(), item.clone())),
                [first, second, ..] => {
                    self.variables.extend([(first.clone(), key), (second.clone(), item.clone())]);
                }
                [] => {}
            }
            self.nodes(then, &item)?;
            self.variables.truncate(scope);
        }
        Ok(())
    }

    /// The value of a pipeline, which its variable takes.
    fn bound(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Failure> {
        let value = self.value(pipeline, dot)?;
        self.variables.extend(pipeline.variables.first().map(|name| (name.clone(), value.clone())));
        Ok(value)
    }

    fn value(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Failure> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        Ok(piped.unwrap_or(Value::Undefined))
    }

    fn command(&self, terms: &[Term], piped: Option<Value>, dot: &Value) -> Result<Value, Failure> {
        let arguments = |terms: &[Term]| -> Result<Vec<Value>, Failure> {
            let given = terms.iter().map(|term| self.term(term, dot)).collect::<Result<Vec<_>, _>>()?;
            Ok(given.into_iter().chain(piped.clone()).collect())
        };
        match terms {
            [Term::Name(function), rest @ ..] => call(function, &arguments(rest)?),
            [only] if piped.is_none() => self.term(only, dot),
            _ => Err("the template calls what is no function".into()),
        }
    }

    fn term(&self, term: &Term, dot: &Value) -> Result<Value, Failure> {
        match term {
            Term::Fields(path) => field(dot, path),
            Term::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(own, _)| own == name);
                let (_, value) =
                    found.ok_or_else(|| Failure::Failed(format!("undefined variable `${name}`")))?;
                field(value, path)
            }
            Term::Constant(value) => Ok(value.clone()),
            Term::Pipeline(pipeline) => self.value(pipeline, dot),
            Term::Name(function) => call(function, &[]),
        }
    }
}

fn field(value: &Value, path: &[String]) -> Result<Value, Failure> {
    path.iter().try_fold(value.clone(), |value, name| match value {
        Value::Object(_) => Ok(value[name.as_str()].clone()),
        Value::Undefined | Value::Null => Err(Failure::Failed(format!("nil has no field `{name}`"))),
        _ => Err(Failure::Failed(format!("can't evaluate the field `{name}`"))),
    })
}

fn call(function: &str, arguments: &[Value]) -> Result<Value, Failure> {
    let decided = |stops_at: bool| {
        let found = arguments.iter().find(|value| is_true(value) == stops_at).or(arguments.last());
        found.cloned().ok_or_else(|| Failure::Failed(format!("`{function}` needs an argument")))
    };
    let joined = |separator: &str| {
        let mut text = String::new();
        for (index, value) in arguments.iter().enumerate() {
            text.push_str(if index > 0 { separator } else { "" });
            write(&mut text, value, true);
        }
        text
    };
    match (function, arguments) {
        ("and", _) => decided(false),
        ("or", _) => decided(true),
        ("not", [value]) => Ok(Value::from(!is_true(value))),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let same = rest.iter().map(|other| equal(first, other)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::from(same.contains(&true)))
        }
        ("lt", [left, right]) => ordered(left, right).map(|order| Value::from(order.is_lt())),
        ("le", [left, right]) => ordered(left, right).map(|order| Value::from(order.is_le())),
        ("gt", [left, right]) => ordered(left, right).map(|order| Value::from(order.is_gt())),
        ("ge", [left, right]) => ordered(left, right).map(|order| Value::from(order.is_ge())),
        ("ne", [left, right]) => equal(left, right).map(|same| Value::from(!same)),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |value, key| indexed(&value, key))
        }
        ("print", _) => Ok(Value::from(joined(""))),
        ("println", _) => Ok(Value::from(joined(" ") + "\n")),
        ("printf", [Value::String(format), values @ ..]) => {
            sprintf::format_values(format, values).map(Value::from)
        }
        _ => Err(format!("the template calls `{function}`, which is unknown or has other arguments").into()),
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, Failure> {
    match (left, right) {
        (Value::Bool(_), Value::Bool(_)) => Ok(left == right),
        _ => ordered(left, right).map(Ordering::is_eq),
    }
}

fn ordered(left: &Value, right: &Value) -> Result<Ordering, Failure> {
    match (left, right) {
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) => Ok(left.cmp(right)),
        _ => Err("incompatible types for comparison".into()),
    }
}

fn length(value: &Value) -> Result<Value, Failure> {
    Ok(Value::from(match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => return Err("len of a value without a length".into()),
    }))
}

fn indexed(value: &Value, key: &Value) -> Result<Value, Failure> {
    match value {
        Value::Array(items) => {
            let index = key.as_u64().ok().and_then(|index| usize::try_from(index).ok());
            index
                .and_then(|index| items.get(index))
                .cloned()
                .ok_or_else(|| Failure::from("index out of range"))
        }
        Value::Object(_) => Ok(value[key].clone()),
        _ => Err("can't index the value".into()),
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Undefined => false,
        Value::Bool(holds) => *holds,
        Value::Number(_) => *value != Value::from(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Set(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

/// Writes a value the way that Go's `%v` does.
fn write(text: &mut String, value: &Value, is_outermost: bool) {
    let list = |text: &mut String, items: &mut dyn Iterator<Item = &Value>| {
        text.push('[');
        for (index, item) in items.enumerate() {
            text.push_str(if index > 0 { " " } else { "" });
            write(text, item, false);
        }
        text.push(']');
    };
    match value {
        Value::Undefined => text.push_str("<undefined>"),
        Value::Null => text.push_str(if is_outermost { "<no value>" } else { "<nil>" }),
        Value::String(string) => text.push_str(string),
        Value::Array(items) => list(text, &mut items.iter()),
        Value::Set(items) => list(text, &mut items.iter()),
        Value::Object(entries) => {
            text.push_str("map[");
            for (index, (key, item)) in entries.iter_sorted().enumerate() {
                text.push_str(if index > 0 { " " } else { "" });
                write(text, key, false);
                text.push(':');
                write(text, item, false);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
