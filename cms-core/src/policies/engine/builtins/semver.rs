// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `semver.*`, as lenient as OPA: a `v` may stand before a version, and zeros before its numbers.

use std::cmp::Ordering;

use regorus::Value;

use super::{Failure, Outcome, text};

/// Whether a value is a version.
pub(super) fn is_valid(arguments: &[Value]) -> Outcome {
    Ok(Value::from(matches!(arguments, [Value::String(text)] if Version::parse(text).is_some())))
}

/// Compares two versions: -1, 0 or 1.
pub(super) fn compare(arguments: &[Value]) -> Outcome {
    let version = |index: usize| {
        let text = text(arguments, index)?;
        let wrong = || format!("operand {}: string \"{text}\" is not a valid SemVer", index + 1);
        Version::parse(text).ok_or_else(|| Failure::Failed(wrong()))
    };
    let (left, right) = (version(0)?, version(1)?);
    Ok(Value::from(match left.cmp(&right) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Version<'a> {
    numbers: [u64; 3],
    /// Anything before a release is less than the release.
    is_release: bool,
    before: Vec<Part<'a>>,
}

/// A part of what stands before a release: numbers are less than words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').unwrap_or((text, ""));
        parts(build)?;
        let (numbers, before) = text.split_once('-').unwrap_or((text, ""));
        let before: Vec<Part<'_>> = parts(before)?.into_iter().map(Part::of).collect();
        let numbers = numbers.split('.').map(number).collect::<Option<Vec<_>>>()?;
        Some(Self { numbers: numbers.try_into().ok()?, is_release: before.is_empty(), before })
    }
}

impl<'a> Part<'a> {
    fn of(text: &'a str) -> Self {
        number(text).map_or(Self::Word(text), Self::Number)
    }
}

/// A number within the range that OPA reads.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && i64::try_from(*number).is_ok())
}

/// The parts of a suffix, which may be absent.
fn parts(suffix: &str) -> Option<Vec<&str>> {
    if suffix.is_empty() {
        return Some(Vec::new());
    }
    let is_part = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let parts: Vec<&str> = suffix.split('.').collect();
    parts.iter().all(is_part).then_some(parts)
}
