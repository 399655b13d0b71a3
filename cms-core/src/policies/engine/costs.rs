// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a call of a built-in function would cost, told from its arguments before it runs.
//!
//! These are the functions that can take far more memory or time than their arguments suggest.
//! What does not fit its function's types costs nothing here: the function itself refuses it.

use regorus::{LimitError, Value};

use super::meter::{afford, afford_text, refused};

/// Digits that a number may have.
const DIGITS: usize = 1_000;

/// Operations of one JSON patch, and parts of the path of one.
const PATCHES: usize = 1_000;
const POINTER: usize = 64;

/// Steps that a search for paths in a graph may take.
const STEPS: usize = 10_000;

type Cost = Result<(), LimitError>;

/// Refuses a call that would cost too much.
pub(super) fn check(name: &str, arguments: &[Value]) -> Cost {
    match (name, arguments) {
        ("numbers.range", [from, to]) => range(from, to, 1.0),
        ("numbers.range_step", [from, to, step]) => range(from, to, step.as_f64().unwrap_or(1.0)),
        ("concat", [Value::String(delimiter), parts]) => concat(delimiter, parts),
        ("replace", [Value::String(text), Value::String(old), Value::String(new)]) => replace(text, old, new),
        ("strings.replace_n", [Value::Object(pairs), Value::String(text)]) => {
            pairs.iter().try_fold(text.len(), |length, (old, new)| grown(length, old, new)).map(drop)
        }
        ("regex.replace", [Value::String(text), _, Value::String(new)]) => {
            afford(text.len().saturating_add(1).saturating_mul(new.len().max(1)))
        }
        ("sprintf", [Value::String(format), values]) => sprintf(format, values),
        ("json.marshal" | "json.marshal_with_options" | "yaml.marshal", values) => afford_text(values),
        ("net.cidr_expand", [Value::String(network)]) => cidr_expand(network),
        ("array.concat", [Value::Array(left), Value::Array(right)]) => items(left.len() + right.len()),
        ("to_number" | "units.parse" | "units.parse_bytes", [Value::String(text)]) => number(text),
        ("bits.lsh", [_, by]) => limit(by.as_u64().unwrap_or(0), 4 * DIGITS),
        ("product", [Value::Array(factors)]) => product(factors.iter()),
        ("product", [Value::Set(factors)]) => product(factors.iter()),
        ("json.patch", [_, Value::Array(patches)]) => patch(patches.iter()),
        ("json.patch", [_, Value::Set(patches)]) => patch(patches.iter()),
        ("graph.reachable_paths", [graph @ Value::Object(_), from]) => paths(graph, from),
        _ => Ok(()),
    }
}

/// Refuses a product of numbers that are large already.
pub(super) fn multiply(left: &Value, right: &Value) -> Cost {
    let small = |value: &Value| value.as_i64().is_ok() || value.as_f64().is_ok();
    if small(left) && small(right) {
        return Ok(());
    }
    limit(digits(left).saturating_add(digits(right)), DIGITS)
}

fn digits(value: &Value) -> usize {
    value.as_number().map_or(0, |number| number.format_decimal().len())
}

fn limit<N: TryInto<usize>>(number: N, most: usize) -> Cost {
    if number.try_into().is_ok_and(|number| number <= most) { Ok(()) } else { Err(refused()) }
}

fn items(count: usize) -> Cost {
    afford(count.saturating_mul(40))
}

fn range(from: &Value, to: &Value, step: f64) -> Cost {
    let (Ok(from), Ok(to)) = (from.as_f64(), to.as_f64()) else {
        // Neither end can be told: both are integers beyond what a double holds, or no numbers.
        return if from.as_number().is_ok() && to.as_number().is_ok() { Err(refused()) } else { Ok(()) };
    };
    let count = (to - from).abs() / step.abs().max(1.0);
    if count < 1e9 { items(count as usize + 1) } else { Err(refused()) }
}

fn concat(delimiter: &str, parts: &Value) -> Cost {
    let (count, sum) = match parts {
        Value::Array(parts) => (parts.len(), parts.iter().map(length).sum::<usize>()),
        Value::Set(parts) => (parts.len(), parts.iter().map(length).sum::<usize>()),
        _ => return Ok(()),
    };
    afford(count.saturating_mul(delimiter.len()).saturating_add(sum))
}

fn length(value: &Value) -> usize {
    value.as_string().map_or(0, |text| text.len())
}

fn replace(text: &str, old: &str, new: &str) -> Cost {
    let found = if old.is_empty() { text.len() + 1 } else { text.matches(old).count() };
    afford(found.saturating_mul(new.len()).saturating_add(text.len()))
}

/// The most that a text of this length can become when every `old` in it is replaced.
fn grown(text: usize, old: &Value, new: &Value) -> Result<usize, LimitError> {
    let found = if length(old) == 0 { text + 1 } else { text / length(old) };
    let length = found.saturating_mul(length(new)).max(text);
    afford(length).map(|()| length)
}

/// The widths and precisions of a format, and the texts of the values.
fn sprintf(format: &str, values: &Value) -> Cost {
    let mut wide = 0_usize;
    for part in format.split('%').skip(1) {
        let digits: String = part
            .trim_start_matches(['.', '+', '-', ' ', '#'])
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        limit(digits.len(), 4)?;
        wide = wide.saturating_add(digits.parse().unwrap_or(0));
    }
    afford(format.len().saturating_add(wide))?;
    afford_text([values])
}

fn cidr_expand(network: &str) -> Cost {
    let Some((address, prefix)) = network.rsplit_once('/') else { return Ok(()) };
    let bits: u32 = if address.contains(':') { 128 } else { 32 };
    let hosts = bits.saturating_sub(prefix.parse().unwrap_or(bits));
    items(1_usize.checked_shl(hosts).filter(|_| hosts < 40).unwrap_or(usize::MAX))
}

/// A number's text: neither too many digits nor an exponent that makes them.
fn number(text: &str) -> Cost {
    limit(text.len(), DIGITS)?;
    let exponent = text.split_once(['e', 'E']).map(|(_, rest)| rest.trim_start_matches(['+', '-']));
    let digits: Option<String> = exponent.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    limit(
        digits
            .and_then(|digits| digits.parse().ok().or((digits.len() > 4).then_some(usize::MAX)))
            .unwrap_or(0),
        DIGITS,
    )
}

fn product<'a>(factors: impl Iterator<Item = &'a Value>) -> Cost {
    let sum = factors.map(|factor| match factor.as_f64() {
        Ok(number) => number.abs().max(1.0).log10().ceil() as usize,
        Err(_) => digits(factor),
    });
    limit(sum.sum::<usize>(), DIGITS)
}

fn patch<'a>(patches: impl ExactSizeIterator<Item = &'a Value>) -> Cost {
    limit(patches.len(), PATCHES)?;
    patches.into_iter().try_for_each(|patch| {
        let path = &patch["path"];
        limit(path.as_string().map_or(0, |path| path.matches('/').count()), POINTER)
    })
}

/// Counts the steps of the search for all paths, which may be exponentially many.
fn paths(graph: &Value, from: &Value) -> Cost {
    let mut steps = 0;
    let mut open: Vec<(Vec<&Value>, &Value)> =
        vertices(from).into_iter().map(|vertex| (Vec::new(), vertex)).collect();
    while let Some((path, vertex)) = open.pop() {
        steps += 1;
        limit(steps, STEPS)?;
        if path.contains(&vertex) {
            continue;
        }
        let below = vertices(&graph[vertex]);
        limit(open.len() + below.len(), STEPS)?;
        let path: Vec<&Value> = path.into_iter().chain([vertex]).collect();
        limit(path.len(), STEPS / 10)?;
        open.extend(below.into_iter().map(|vertex| (path.clone(), vertex)));
    }
    Ok(())
}

fn vertices(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Set(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}
