// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `regex.globs_match`: whether some text, be it empty, matches both of two patterns.
//!
//! The patterns are of a small language: characters, `.`, sets such as `[a-z0]`, each of which may be
//! repeated by `*` or `+`; a backslash takes the meaning from what follows it.

use regorus::Value;

use super::{Failure, Outcome, meter, text};

/// Pairs of places in the two patterns that are looked at.
const PAIRS: usize = 1_000_000;

/// Whether the patterns have a text in common.
pub(super) fn globs_match(arguments: &[Value]) -> Outcome {
    let (left, right) = (parse(text(arguments, 0)?)?, parse(text(arguments, 1)?)?);
    let width = right.len() + 1;
    meter::at_most(PAIRS, (left.len() + 1).saturating_mul(width), "comparisons")?;
    let mut seen = vec![false; (left.len() + 1) * width];
    let mut open = vec![(0, 0)];
    while let Some((i, j)) = open.pop() {
        let Some(known) = seen.get_mut(i * width + j) else { continue };
        if std::mem::replace(known, true) {
            continue;
        }
        let (a, b) = (left.get(i), right.get(j));
        if a.is_none() && b.is_none() {
            return Ok(Value::from(true));
        }
        open.extend(a.filter(|part| part.repeats).map(|_| (i + 1, j)));
        open.extend(b.filter(|part| part.repeats).map(|_| (i, j + 1)));
        if let (Some(a), Some(b)) = (a, b)
            && a.overlaps(b)
        {
            open.push((i + usize::from(!a.repeats), j + usize::from(!b.repeats)));
        }
    }
    Ok(Value::from(false))
}

/// Characters of which one stands at a place, or any number.
#[derive(Debug, Clone)]
struct Part {
    /// The first and the last of each range.
    ranges: Vec<(char, char)>,
    repeats: bool,
}

impl Part {
    fn overlaps(&self, other: &Self) -> bool {
        self.ranges.iter().any(|a| other.ranges.iter().any(|b| a.0 <= b.1 && b.0 <= a.1))
    }
}

fn parse(pattern: &str) -> Result<Vec<Part>, Failure> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        let ranges = match character {
            '.' => vec![(char::MIN, char::MAX)],
            '[' => set(&mut rest)?,
            ']' | '*' | '+' => return Err(invalid(pattern)),
            '\\' => {
                let escaped = rest.next().ok_or_else(|| invalid(pattern))?;
                vec![(escaped, escaped)]
            }
            other => vec![(other, other)],
        };
        let flag = rest.next_if(|next| matches!(next, '*' | '+'));
        if flag != Some('*') {
            parts.push(Part { ranges: ranges.clone(), repeats: false });
        }
        if flag.is_some() {
            parts.push(Part { ranges, repeats: true });
        }
    }
    Ok(parts)
}

/// The ranges of a set, after its opening bracket.
fn set(rest: &mut impl Iterator<Item = char>) -> Result<Vec<(char, char)>, Failure> {
    let unclosed = || Failure::from("the pattern has a set that is not closed");
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut continues = false;
    loop {
        let end = match rest.next().ok_or_else(unclosed)? {
            ']' if continues => return Err("the pattern has a range without an end".into()),
            ']' => return Ok(ranges),
            '-' if !continues && !ranges.is_empty() => {
                continues = true;
                continue;
            }
            '-' => return Err("the pattern has a range without a beginning".into()),
            '\\' => rest.next().ok_or_else(unclosed)?,
            other => other,
        };
        match ranges.last_mut().filter(|_| continues) {
            Some(range) if range.0 <= end => range.1 = end,
            Some(_) => return Err("the pattern has a range that ends before it begins".into()),
            None => ranges.push((end, end)),
        }
        continues = false;
    }
}

fn invalid(pattern: &str) -> Failure {
    Failure::Failed(format!("the pattern `{pattern}` does not parse"))
}
