// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Regular expressions as Go reads them (RE2's syntax), for a library whose dialect is nearly that.
//!
//! There `\w`, `\d`, `\s` and `\b` know ASCII alone, `{` may stand for itself, `\Q…\E` quotes, and a class has
//! no operators (<https://pkg.go.dev/regexp/syntax>).

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::CharIndices;

use super::regex;

/// An expression of Go's as one of the library's. What neither reads stays as it is.
pub(super) fn translated(pattern: &str) -> Cow<'_, str> {
    let plain = |c: char| !matches!(c, '\\' | '[' | '{');
    if pattern.chars().all(plain) {
        return Cow::Borrowed(pattern);
    }
    let mut translation =
        Translation { pattern, rest: pattern.char_indices().peekable(), written: String::new() };
    translation.run();
    Cow::Owned(translation.written)
}

struct Translation<'a> {
    pattern: &'a str,
    rest: Peekable<CharIndices<'a>>,
    written: String,
}

impl Translation<'_> {
    fn run(&mut self) {
        while let Some((index, character)) = self.rest.next() {
            match character {
                '\\' => self.escape(false),
                '[' => self.class(),
                '{' if !self.repeats(index) => self.written.push_str("\\{"),
                other => self.written.push(other),
            }
        }
    }

    /// Whether a brace at this place begins the number of repetitions.
    fn repeats(&self, index: usize) -> bool {
        let inner = self
            .pattern
            .get(index + 1..)
            .and_then(|rest| rest.split_once('}'))
            .map_or("", |(inner, _)| inner);
        let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        !least.is_empty() && digits(least) && digits(most)
    }

    /// What stands after a backslash.
    fn escape(&mut self, in_class: bool) {
        let Some((index, character)) = self.rest.next() else { return self.written.push('\\') };
        let known = match (character, in_class) {
            ('d', true) => "0-9",
            ('d', false) => "[0-9]",
            ('D', _) => "[^0-9]",
            ('w', true) => "0-9A-Za-z_",
            ('w', false) => "[0-9A-Za-z_]",
            ('W', _) => "[^0-9A-Za-z_]",
            ('s', true) => "\\t\\n\\f\\r ",
            ('s', false) => "[\\t\\n\\f\\r ]",
            ('S', _) => "[^\\t\\n\\f\\r ]",
            ('b', false) => "(?-u:\\b)",
            ('B', false) => "(?-u:\\B)",
            ('Q', false) => return self.quote(index + 1),
            _ => {
                self.written.push('\\');
                self.written.push(character);
                return if matches!(character, 'x' | 'p' | 'P') {
                    self.braced()
                };
            }
        };
        self.written.push_str(known);
    }

    /// What belongs to an escape in braces, as in `\p{Greek}`.
    fn braced(&mut self) {
        if self.rest.next_if(|(_, next)| *next == '{').is_some() {
            self.written.push('{');
            for (_, character) in self.rest.by_ref() {
                self.written.push(character);
                if character == '}' {
                    return;
                }
            }
        }
    }

    /// A text without any meaning, up to `\E` or the end.
    fn quote(&mut self, from: usize) {
        let rest = self.pattern.get(from..).unwrap_or_default();
        let (quoted, length) = match rest.split_once("\\E") {
            Some((quoted, _)) => (quoted, quoted.len() + 2),
            None => (rest, rest.len()),
        };
        self.written.push_str(&regex::escaped(quoted));
        while self.rest.next_if(|(index, _)| *index < from + length).is_some() {}
    }

    /// A class, up to its bracket.
    fn class(&mut self) {
        self.written.push('[');
        self.written.extend(self.rest.next_if(|(_, next)| *next == '^').map(|(_, next)| next));
        // The first bracket in a class stands for itself.
        self.written.extend(self.rest.next_if(|(_, next)| *next == ']').map(|_| "\\]"));
        while let Some((index, character)) = self.rest.next() {
            match character {
                ']' => return self.written.push(']'),
                '\\' => self.escape(true),
                '[' if self.pattern.get(index..).is_some_and(|rest| rest.starts_with("[:")) => {
                    self.named(index)
                }
                '[' | '&' | '~' => self.written.extend(['\\', character]),
                '-' if self.pattern.get(index..).is_some_and(|rest| rest.starts_with("--")) => {
                    self.written.push_str("\\-");
                }
                other => self.written.push(other),
            }
        }
    }

    /// A class by its name, as `[:alpha:]`; without its end, a bracket like any other.
    fn named(&mut self, index: usize) {
        let name =
            self.pattern.get(index..).and_then(|rest| rest.find(":]").and_then(|end| rest.get(..end + 2)));
        match name {
            Some(name) => {
                self.written.push_str(name);
                while self.rest.next_if(|(at, _)| *at < index + name.len()).is_some() {}
            }
            None => self.written.push_str("\\["),
        }
    }
}
