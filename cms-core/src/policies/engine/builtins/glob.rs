// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `glob.match`: patterns of characters, `?`, `*`, `**`, sets such as `[abc]`, `[a-z]` and `[!ab]`, and
//! alternatives such as `{a,b}`, as <https://github.com/gobwas/glob> reads them. They count characters,
//! where the library counts bytes, and an alternative may be empty.

use std::iter::Peekable;
use std::str::Chars;

use regorus::Value;

use super::{Failure, Outcome, array, library, meter, mismatch, regex, text};

/// Bytes of the expression that a pattern becomes.
const EXPRESSION: usize = 100_000;

/// Whether a text matches a pattern, in which `*` and `?` stand for no delimiter. Without a list of them
/// there are none; an empty list means `.`.
pub(super) fn matches(arguments: &[Value]) -> Outcome {
    let delimiters = match arguments.get(1) {
        Some(Value::Null) => String::new(),
        _ => delimiters(arguments)?,
    };
    let (pattern, candidate) = (text(arguments, 0)?, text(arguments, 2)?);
    // Each sign may become a set of all delimiters.
    meter::at_most(EXPRESSION, pattern.len().saturating_mul(delimiters.len() + 4), "bytes of an expression")?;
    let expression = Translation::of(pattern, &delimiters)?;
    library("regex.match", &[Value::from(expression), Value::from(candidate)])
}

fn delimiters(arguments: &[Value]) -> Result<String, Failure> {
    let mut found = String::new();
    for item in array(arguments, 1)? {
        let Value::String(item) = item else {
            return Err(mismatch(arguments, 1, "array of single-character strings"));
        };
        let mut characters = item.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) => found.push(only),
            _ => return Err("a delimiter must be one character".into()),
        }
    }
    Ok(if found.is_empty() { String::from('.') } else { found })
}

/// A pattern on its way to a regular expression.
struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    expression: String,
    /// One character that is no delimiter.
    single: String,
    /// How many groups of alternatives are open.
    depth: usize,
}

impl<'a> Translation<'a> {
    fn of(pattern: &'a str, delimiters: &str) -> Result<String, Failure> {
        let single = match delimiters {
            "" => String::from('.'),
            some => format!("[^{}]", in_class(some)),
        };
        let mut own =
            Self { rest: pattern.chars().peekable(), expression: r"\A(?s:".into(), single, depth: 0 };
        own.run()?;
        // What is left open ends with the pattern.
        own.expression.extend(std::iter::repeat_n(')', own.depth + 1));
        own.expression.push_str(r"\z");
        Ok(own.expression)
    }

    fn run(&mut self) -> Result<(), Failure> {
        while let Some(character) = self.rest.next() {
            match character {
                '*' if self.rest.next_if_eq(&'*').is_some() => self.expression.push_str(".*"),
                '*' => {
                    self.expression.push_str(&self.single);
                    self.expression.push('*');
                }
                '?' => self.expression.push_str(&self.single),
                '[' => self.set()?,
                '{' => {
                    self.expression.push_str("(?:");
                    self.depth += 1;
                }
                '}' if self.depth > 0 => {
                    self.expression.push(')');
                    self.depth -= 1;
                }
                ',' if self.depth > 0 => self.expression.push('|'),
                '\\' => {
                    let escaped = self.rest.next();
                    self.literal(escaped);
                }
                other => self.literal(Some(other)),
            }
        }
        Ok(())
    }

    fn literal(&mut self, character: Option<char>) {
        let mut bytes = [0; 4];
        let text = character.map_or("", |character| character.encode_utf8(&mut bytes));
        self.expression.push_str(&regex::escaped(text));
    }

    /// A set, after its opening bracket: either one range or single characters.
    fn set(&mut self) -> Result<(), Failure> {
        let unfit = || Failure::from("the pattern has a set that does not parse");
        let negated = if self.rest.next_if_eq(&'!').is_some() { "^" } else { "" };
        let mut ahead = self.rest.clone();
        let members = if let (Some(low), Some('-'), Some(high)) = (ahead.next(), ahead.next(), ahead.next()) {
            if low > high || ahead.next() != Some(']') {
                return Err(unfit());
            }
            self.rest = ahead;
            format!("{}-{}", in_class(&low.to_string()), in_class(&high.to_string()))
        } else {
            let members = self.members().filter(|members| !members.is_empty()).ok_or_else(unfit)?;
            in_class(&members)
        };
        self.expression.push_str(&format!("[{negated}{members}]"));
        Ok(())
    }

    /// The single characters of a set, up to its end.
    fn members(&mut self) -> Option<String> {
        let mut members = String::new();
        loop {
            match self.rest.next()? {
                ']' => return Some(members),
                '\\' => members.push(self.rest.next()?),
                other => members.push(other),
            }
        }
    }
}

/// Characters as they stand in a class of a regular expression.
fn in_class(characters: &str) -> String {
    super::strings::escaped(characters, r"\[]^-&~")
}
