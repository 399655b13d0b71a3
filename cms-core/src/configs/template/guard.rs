// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a template's tokens before it is compiled: refuses what is too deep or accumulates, and puts
//! calls of the filters of `bounded` where a value is remembered or multiplied, so that no expression can
//! be fed with what another one has let grow.
//!
//! The tokens are minijinja's own, so that both read the same.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::{Fault, MAX_SOURCE_BYTES};

/// How many tokens one tag holds at most: bounds how deep its expression nests, and how many values it
/// can put together.
const MAX_TAG_TOKENS: usize = 200;
/// How deep statements may stand in each other.
const MAX_NESTING: usize = 16;
/// The statements that there are.
const STATEMENTS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "set", "include"];

/// A template that may be compiled.
#[derive(Debug)]
pub(super) struct Guarded<'s> {
    /// The template as it was written.
    pub(super) source: &'s str,
    /// What is compiled.
    pub(super) text: String,
    /// What was put in: before which byte of the source, and how many bytes.
    inserted: Vec<(usize, usize)>,
    /// Where the one expression stands in `text`, if there is nothing else.
    only: Option<(usize, usize)>,
}

/// A token and its bytes.
type Placed<'s> = (Token<'s>, Span);

impl<'s> Guarded<'s> {
    /// Checks a template.
    pub(super) fn new(source: &'s str) -> Result<Self, Fault> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Fault::plain(format!("a template holds at most {MAX_SOURCE_BYTES} bytes")));
        }
        let tokens = tokenize(source, false, SyntaxConfig::default())
            .collect::<Result<Vec<Placed<'_>>, _>>()
            .map_err(|error| Fault::unread(&error, source))?;
        let mut edits = Vec::new();
        let (mut depth, mut tags, mut is_only) = (0_usize, 0_usize, None);
        let mut rest = tokens.as_slice();
        let mut texts = 0_usize;
        while let Some(((token, span), tail)) = rest.split_first() {
            rest = tail;
            let end = match token {
                Token::VariableStart => Token::VariableEnd,
                Token::BlockStart => Token::BlockEnd,
                _ => {
                    texts += 1;
                    continue;
                }
            };
            let length = tail.iter().take_while(|(token, _)| !same(token, &end)).count();
            let (tag, tail) = tail.split_at_checked(length).unwrap_or((tail, &[]));
            let fail = |says: String| Err(Fault::at(source, start(span), says));
            if tag.len() > MAX_TAG_TOKENS {
                return fail(format!("a tag holds at most {MAX_TAG_TOKENS} words and signs"));
            }
            tags += 1;
            is_only = match (token, tail.first()) {
                (Token::VariableStart, Some((_, close))) => Some((span.end_offset, close.start_offset)),
                _ => None,
            };
            if matches!(token, Token::BlockStart) {
                depth = statement(tag, tail.first(), depth, &mut edits)
                    .map_err(|says| Fault::at(source, start(span), says))?;
            }
            multiplications(tag, &mut edits);
            rest = tail.get(1..).unwrap_or_default();
        }
        let only = is_only.filter(|_| tags == 1 && texts == 0);
        let only = only.map(|(from, to)| (usize_of(from), usize_of(to)));
        Ok(Self::edited(source, edits, only))
    }

    fn edited(source: &'s str, mut edits: Vec<(usize, &'static str)>, only: Option<(usize, usize)>) -> Self {
        edits.sort_by_key(|(at, _)| *at);
        let mut text = String::with_capacity(source.len() + edits.len() * 12);
        let (mut inserted, mut done) = (Vec::with_capacity(edits.len()), 0);
        for (at, put) in edits {
            text.push_str(source.get(done..at).unwrap_or_default());
            text.push_str(put);
            inserted.push((at, put.len()));
            done = at;
        }
        text.push_str(source.get(done..).unwrap_or_default());
        let grown: usize = inserted.iter().map(|(_, bytes)| bytes).sum();
        let only = only.map(|(from, to)| (from, to + grown));
        Self { source, text, inserted, only }
    }

    /// The one expression that the template is, if it is nothing else.
    pub(super) fn expression(&self) -> Option<&str> {
        let (from, to) = self.only?;
        let expression = self.text.get(from..to)?;
        // Signs that take white space away belong to the tag.
        Some(expression.trim_start_matches(['-', '+']).trim_end_matches('-').trim())
    }

    /// Where in the source a byte of `text` comes from.
    pub(super) fn origin(&self, at: usize) -> usize {
        let mut shift = 0;
        for (before, bytes) in &self.inserted {
            if before + shift >= at {
                break;
            }
            // What was put in stands for where it was put.
            if before + shift + bytes > at {
                return *before;
            }
            shift += bytes;
        }
        at.saturating_sub(shift)
    }

    /// Where in the source the one expression begins.
    pub(super) fn expression_start(&self) -> Option<usize> {
        let (from, _) = self.only?;
        let expression = self.text.get(from..)?;
        let skipped = expression.len() - expression.trim_start_matches(['-', '+']).trim_start().len();
        Some(from + skipped)
    }
}

/// Checks a statement, and returns how deep the template is in statements behind it.
fn statement(
    tag: &[Placed<'_>],
    end: Option<&Placed<'_>>,
    depth: usize,
    edits: &mut Vec<(usize, &'static str)>,
) -> Result<usize, String> {
    let Some((Token::Ident(word), _)) = tag.first() else {
        return Err("a statement begins with a word, such as `if`".to_owned());
    };
    if !STATEMENTS.contains(word) {
        return Err(format!("the statement `{word}` is not available; there are {}", STATEMENTS.join(", ")));
    }
    let end = end.map(|(_, span)| start(span));
    match *word {
        "set" => {
            let assigned = tag.iter().find(|(token, _)| matches!(token, Token::Assign));
            let (Some((_, span)), Some(end)) = (assigned, end) else {
                return Err("`set` must give a value: `{% set name = value %}`".to_owned());
            };
            remember(usize_of(span.end_offset), end, edits);
        }
        "for" => {
            let is = |wanted: &'static str| move |(token, _): &Placed<'_>| matches!(token, Token::Ident(word) if *word == wanted);
            if tag.iter().any(is("recursive")) {
                return Err("recursive loops are not available".to_owned());
            }
            let (Some(from), Some(end)) = (tag.iter().find(|token| is("in")(token)), end) else {
                return Err("`for` must name what it goes over: `{% for item in items %}`".to_owned());
            };
            let to = tag.iter().find(|token| is("if")(token)).map_or(end, |(_, span)| start(span));
            remember(usize_of(from.1.end_offset), to, edits);
        }
        _ => {}
    }
    let deeper = match *word {
        "if" | "for" => depth + 1,
        "endif" | "endfor" => depth.saturating_sub(1),
        _ => depth,
    };
    if deeper > MAX_NESTING {
        return Err(format!("statements stand in each other at most {MAX_NESTING} deep"));
    }
    Ok(deeper)
}

/// Bounds an expression whose value is given a name.
fn remember(from: usize, to: usize, edits: &mut Vec<(usize, &'static str)>) {
    edits.push((from, " ("));
    edits.push((to, ")|remembered "));
}

/// Lets numbers only be multiplied: a text times a number is a long text.
fn multiplications(tag: &[Placed<'_>], edits: &mut Vec<(usize, &'static str)>) {
    for (token, span) in tag {
        if matches!(token, Token::Mul) {
            edits.push((start(span), "|number "));
            edits.push((usize_of(span.end_offset), " - -"));
        }
    }
}

fn same(token: &Token<'_>, other: &Token<'_>) -> bool {
    std::mem::discriminant(token) == std::mem::discriminant(other)
}

fn start(span: &Span) -> usize {
    usize_of(span.start_offset)
}

fn usize_of(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
