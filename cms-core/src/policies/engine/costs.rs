// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a call of a built-in function would cost, told from its arguments before it runs.
//!
//! These are the functions that can take far more memory or time than their arguments suggest.
//! What does not fit its function's types costs nothing here: the function itself refuses it.

use regorus::{LimitError, Value};

use super::meter::{ITEM, afford, afford_items as items, afford_text, at_most};

/// Digits that a number may have.
pub(super) const DIGITS: usize = 1_000;
const NUMBER: &str = "digits of a number";

/// Operations of one JSON patch, and parts of the path of one.
const PATCHES: usize = 1_000;
const POINTER: usize = 64;

/// Steps that a search for paths in a graph may take.
const STEPS: usize = 10_000;

type Cost = Result<(), LimitError>;

/// Refuses a call with these arguments if it would cost too much.
pub(super) type Check = fn(&[Value]) -> Cost;

/// The check of a function, if its costs depend on its arguments in a way that needs one.
pub(super) fn of(name: &str) -> Option<Check> {
    Some(match name {
        "numbers.range" | "numbers.range_step" => range,
        "concat" => concat,
        "replace" => replace,
        "regex.replace" => regex_replace,
        "sprintf" => sprintf,
        "json.marshal" | "json.marshal_with_options" | "yaml.marshal" => |arguments| afford_text(arguments),
        "net.cidr_expand" => cidr_expand,
        "array.concat" => array_concat,
        "to_number" | "units.parse" | "units.parse_bytes" => number,
        "bits.lsh" => shift,
        "product" => product,
        "json.patch" => patch,
        "graph.reachable_paths" => paths,
        "walk" => walk,
        "split" => split,
        "regex.find_all_string_submatch_n" => submatches,
        "regex.find_n" | "regex.split" => |arguments| matches(arguments, 1),
        "indexof_n" => |arguments| items(arguments.first().map_or(0, length).saturating_add(1)),
        "json.unmarshal"
        | "json.is_valid"
        | "yaml.unmarshal"
        | "yaml.is_valid"
        | "urlquery.decode_object" => |arguments| parsed(arguments.first()),
        _ => return None,
    })
}

/// Refuses a product of numbers that are large already.
pub(super) fn multiply(left: &Value, right: &Value) -> Cost {
    let small = |value: &Value| value.as_i64().is_ok() || value.as_f64().is_ok();
    if small(left) && small(right) {
        return Ok(());
    }
    at_most(DIGITS, digits(left).saturating_add(digits(right)), NUMBER)
}

fn digits(value: &Value) -> usize {
    value.as_number().map_or(0, |number| number.format_decimal().len())
}

fn range(arguments: &[Value]) -> Cost {
    let (from, to, step) = match arguments {
        [from, to] => (from, to, 1.0),
        [from, to, step] => (from, to, step.as_f64().unwrap_or(1.0)),
        _ => return Ok(()),
    };
    let (Ok(from), Ok(to)) = (from.as_f64(), to.as_f64()) else {
        // One end is an integer beyond what a double holds, or no number at all.
        return if from.as_number().is_ok() && to.as_number().is_ok() { items(usize::MAX) } else { Ok(()) };
    };
    let count = (to - from).abs() / step.abs().max(1.0);
    items(if count < 1e9 { count as usize + 1 } else { usize::MAX })
}

fn concat(arguments: &[Value]) -> Cost {
    let (delimiter, count, sum) = match arguments {
        [delimiter, Value::Array(parts)] => (delimiter, parts.len(), parts.iter().map(length).sum::<usize>()),
        [delimiter, Value::Set(parts)] => (delimiter, parts.len(), parts.iter().map(length).sum::<usize>()),
        _ => return Ok(()),
    };
    afford(count.saturating_mul(length(delimiter)).saturating_add(sum))
}

fn length(value: &Value) -> usize {
    value.as_string().map_or(0, |text| text.len())
}

fn replace(arguments: &[Value]) -> Cost {
    let [Value::String(text), Value::String(old), Value::String(new)] = arguments else { return Ok(()) };
    let found = if old.is_empty() { text.len() + 1 } else { text.matches(old.as_ref()).count() };
    afford(found.saturating_mul(new.len()).saturating_add(text.len()))
}

fn regex_replace(arguments: &[Value]) -> Cost {
    let [Value::String(text), _, Value::String(new)] = arguments else { return Ok(()) };
    afford(text.len().saturating_add(1).saturating_mul(new.len().max(1)))
}

/// The widths and precisions of a format, and the texts of the values.
fn sprintf(arguments: &[Value]) -> Cost {
    let [Value::String(format), values] = arguments else { return Ok(()) };
    let mut wide = 0_usize;
    for part in format.split('%').skip(1) {
        let part = part.trim_start_matches(['.', '+', '-', ' ', '#']);
        let digits: String = part.chars().take_while(|c| c.is_numeric()).collect();
        at_most(4, digits.len(), "digits of a width or precision")?;
        wide = wide.saturating_add(digits.parse().unwrap_or(0));
    }
    afford(format.len().saturating_add(wide))?;
    afford_text([values])
}

fn cidr_expand(arguments: &[Value]) -> Cost {
    let [Value::String(network)] = arguments else { return Ok(()) };
    let Some((address, prefix)) = network.rsplit_once('/') else { return Ok(()) };
    let bits: u32 = if address.contains(':') { 128 } else { 32 };
    let hosts = bits.saturating_sub(prefix.parse().unwrap_or(bits));
    items(1_usize.checked_shl(hosts).filter(|_| hosts < 40).unwrap_or(usize::MAX))
}

fn array_concat(arguments: &[Value]) -> Cost {
    let lengths = arguments.iter().map(|array| array.as_array().map_or(0, |items| items.len()));
    items(lengths.sum())
}

/// A number's text: neither too many digits nor an exponent that makes them.
fn number(arguments: &[Value]) -> Cost {
    let [Value::String(text)] = arguments else { return Ok(()) };
    at_most(DIGITS, text.len(), NUMBER)?;
    let Some((_, exponent)) = text.split_once(['e', 'E']) else { return Ok(()) };
    let digits: String =
        exponent.trim_start_matches(['+', '-']).chars().take_while(char::is_ascii_digit).collect();
    at_most(DIGITS, digits.parse().unwrap_or(if digits.is_empty() { 0 } else { usize::MAX }), NUMBER)
}

fn shift(arguments: &[Value]) -> Cost {
    let by = arguments.get(1).and_then(|by| by.as_u64().ok()).unwrap_or(0);
    at_most(4 * DIGITS, usize::try_from(by).unwrap_or(usize::MAX), "bits of a number")
}

fn product(arguments: &[Value]) -> Cost {
    let digits = |factor: &Value| match factor.as_f64() {
        Ok(number) => number.abs().max(1.0).log10().ceil() as usize,
        Err(_) => digits(factor),
    };
    let sum = match arguments {
        [Value::Array(factors)] => factors.iter().map(digits).sum(),
        [Value::Set(factors)] => factors.iter().map(digits).sum(),
        _ => 0,
    };
    at_most(DIGITS, sum, NUMBER)
}

fn patch(arguments: &[Value]) -> Cost {
    let patches: Vec<&Value> = arguments.get(1).map(elements).unwrap_or_default();
    at_most(PATCHES, patches.len(), "operations of one patch")?;
    patches.into_iter().try_for_each(|patch| {
        let path = &patch["path"];
        at_most(POINTER, path.as_string().map_or(0, |path| path.matches('/').count()), "parts of a path")
    })
}

/// Every value in a value, each with the path to it. Values that share parts have far more than they
/// take in memory, so counting stops at the limit.
fn walk(arguments: &[Value]) -> Cost {
    let mut cost = 0_usize;
    let mut open: Vec<(&Value, usize)> = arguments.iter().map(|value| (value, 0)).collect();
    while let Some((value, depth)) = open.pop() {
        cost = cost.saturating_add((depth + 4) * ITEM);
        afford(cost.saturating_add(open.len() * ITEM))?;
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Set(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(entries) => open.extend(entries.iter().map(|(_, item)| (item, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

fn split(arguments: &[Value]) -> Cost {
    let [Value::String(text), Value::String(delimiter)] = arguments else { return Ok(()) };
    let parts = if delimiter.is_empty() { text.len() } else { text.matches(delimiter.as_ref()).count() };
    items(parts.saturating_add(1).saturating_add(text.len() / ITEM))
}

/// The most that an expression can find in a text, when each match has so many parts.
pub(super) fn matches(arguments: &[Value], parts: usize) -> Cost {
    let longest = arguments.iter().map(length).max().unwrap_or(0);
    items(longest.saturating_add(1).saturating_mul(parts))
}

fn submatches(arguments: &[Value]) -> Cost {
    let [Value::String(pattern), text, most] = arguments else { return Ok(()) };
    let parts = pattern.matches('(').count().saturating_add(2);
    let found = length(text).saturating_add(1);
    let found =
        most.as_u64().ok().and_then(|most| usize::try_from(most).ok()).map_or(found, |most| found.min(most));
    items(found.saturating_mul(parts))
}

/// What a text becomes when it is read: a value for every second character, at most.
fn parsed(text: Option<&Value>) -> Cost {
    afford(text.map_or(0, length).saturating_mul(ITEM / 2))
}

/// Counts the steps of the search for all paths, which may be exponentially many.
fn paths(arguments: &[Value]) -> Cost {
    let [graph @ Value::Object(_), from] = arguments else { return Ok(()) };
    let mut steps = 0;
    let mut open: Vec<(Vec<&Value>, &Value)> =
        elements(from).into_iter().map(|vertex| (Vec::new(), vertex)).collect();
    while let Some((path, vertex)) = open.pop() {
        steps += 1;
        if path.contains(&vertex) {
            continue;
        }
        let below = elements(&graph[vertex]);
        let path: Vec<&Value> = path.into_iter().chain([vertex]).collect();
        at_most(STEPS, steps + open.len() + below.len() + path.len(), "steps through the graph")?;
        open.extend(below.into_iter().map(|vertex| (path.clone(), vertex)));
    }
    Ok(())
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Set(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}
