// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Functions of texts that the library lacks or has otherwise.

use regorus::Value;

use super::{Failure, Outcome, library, library_or_fail, meter, mismatch, text};

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

/// Replaces texts by others, in one pass from the left; where several are found, the first of them counts
/// (Go's `strings.NewReplacer`).
pub(super) fn replace_n(arguments: &[Value]) -> Outcome {
    let Some(Value::Object(pairs)) = arguments.first() else { return Err(mismatch(arguments, 0, "object")) };
    let whole = text(arguments, 1)?;
    let pairs = pairs.iter().map(|pair| match pair {
        (Value::String(old), Value::String(new)) => Ok((old.as_ref(), new.as_ref())),
        _ => Err(mismatch(arguments, 0, "object of strings")),
    });
    let pairs: Vec<(&str, &str)> = pairs.collect::<Result<_, _>>()?;
    let longest = pairs.iter().map(|(_, new)| new.len()).max().unwrap_or(0);
    meter::afford(longest.saturating_add(1).saturating_mul(whole.len().saturating_add(1)))?;
    meter::afford_items(pairs.len().saturating_mul(whole.len()) / 8)?;
    let mut replaced = String::with_capacity(whole.len());
    let mut rest = whole;
    // What nothing stands for is found once at each place.
    let mut found_nothing = false;
    loop {
        let found = pairs.iter().find(|(old, _)| rest.starts_with(old) && !(old.is_empty() && found_nothing));
        found_nothing = false;
        if let Some((old, new)) = found {
            replaced.push_str(new);
            rest = rest.get(old.len()..).unwrap_or_default();
            found_nothing = old.is_empty();
        } else if let Some(next) = rest.chars().next() {
            replaced.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        } else {
            return Ok(Value::from(replaced));
        }
    }
}

/// Notes a text in explanations, which have words of their own here.
pub(super) fn trace(arguments: &[Value]) -> Outcome {
    text(arguments, 0).map(|_| Value::from(true))
}

/// Where a text is found in another one.
pub(super) fn indexof(arguments: &[Value]) -> Outcome {
    not_empty(arguments, 1).and_then(|()| library("indexof", arguments))
}

/// Everywhere that a text is found in another one.
pub(super) fn indexof_n(arguments: &[Value]) -> Outcome {
    not_empty(arguments, 1).and_then(|()| library("indexof_n", arguments))
}

fn not_empty(arguments: &[Value], index: usize) -> Result<(), Failure> {
    if text(arguments, index)?.is_empty() { Err("empty search character".into()) } else { Ok(()) }
}

/// In lower case, character by character.
pub(super) fn lower(arguments: &[Value]) -> Outcome {
    Ok(Value::from(
        text(arguments, 0)?.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect::<String>(),
    ))
}

/// In upper case, character by character: what would become two stays as it is.
pub(super) fn upper(arguments: &[Value]) -> Outcome {
    let upper =
        |c: char| Some(c.to_uppercase()).filter(|upper| upper.len() == 1).and_then(|mut one| one.next());
    Ok(Value::from(text(arguments, 0)?.chars().map(|c| upper(c).unwrap_or(c)).collect::<String>()))
}

/// Escapes what has a meaning in a glob.
pub(super) fn quote_meta(arguments: &[Value]) -> Outcome {
    Ok(Value::from(escaped(text(arguments, 0)?, r"*?[]{}\")))
}

/// Puts a backslash before some characters.
pub(super) fn escaped(text: &str, characters: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if characters.contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The number that a text such as `10Ki` means.
pub(super) fn parse_units(arguments: &[Value]) -> Outcome {
    small_exponent(arguments)?;
    library("units.parse", arguments)
}

/// The number of bytes that a text such as `10KiB` means.
pub(super) fn parse_bytes(arguments: &[Value]) -> Outcome {
    small_exponent(arguments)?;
    library_or_fail("units.parse_bytes", arguments, "the unit of bytes is not recognized")
}

/// An exponent of more than a few digits would become as many digits of the number.
fn small_exponent(arguments: &[Value]) -> Result<(), Failure> {
    let exponent = text(arguments, 0)?.split_once(['e', 'E']).map_or("", |(_, exponent)| exponent);
    let digits = exponent.trim_start_matches(['+', '-']).chars().take_while(char::is_ascii_digit).count();
    if digits > 5 { Err("exponent too large".into()) } else { Ok(()) }
}
