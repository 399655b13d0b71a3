// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What has to be defined for a negation to hold.
//!
//! OPA evaluates the operands of an operator and the arguments of a call before it negates: with an
//! undefined `input.x`, neither `f(input.x)` nor `not f(input.x)` holds. Only where a reference is all
//! that is negated, or stands at a side of `==`, may it be undefined.

use std::collections::HashMap;
use std::ops::Range;

use super::lexer::{Kind, Token};
use super::outline::{self, starts_statement};
use super::tokens::{comprehension, is_sign};

/// A negated statement, in the numbers of its tokens.
pub(super) struct Negation {
    /// What has to be defined.
    pub(super) operands: Vec<Range<usize>>,
    /// Its `with`, which holds for the operands, too.
    pub(super) modifiers: Range<usize>,
}

impl Negation {
    /// Reads what stands after the `not` with this number.
    pub(super) fn read(tokens: &[Token<'_>], not: usize) -> Self {
        let statement = Part { tokens, range: not + 1..tokens.len() };
        let end = statement.end();
        let whole = Part { tokens, range: not + 1..end };
        let with = whole.top_level().find(|index| whole.is(*index, "with")).unwrap_or(end);
        let negated = Part { tokens, range: not + 1..with }.without_brackets();
        let operands = negated.operands().into_iter().filter(|part| part.may_fail());
        Self { operands: operands.map(|part| part.range).collect(), modifiers: with..end }
    }
}

/// The wildcards in negated statements, outside of the comprehensions in them. As in OPA they are unsafe:
/// `not xs[_] == 1` does not tell whether no element is 1, or one is not.
pub(super) fn searching<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t Token<'a>> {
    let negations = tokens.iter().enumerate().filter(|(_, token)| token.is("not"));
    negations.flat_map(|(not, _)| {
        let mut found = Vec::new();
        let mut index = not + 1;
        let end = Part { tokens, range: index..tokens.len() }.end();
        while let Some(token) = tokens.get(index).filter(|_| index < end) {
            found.extend(Some(token).filter(|token| token.is("_")));
            index += 1 + comprehension(tokens, index).map_or(0, |(inner, _)| inner.len());
        }
        found
    })
}

/// The variables that a negation unifies before the rule gives them a value: `not x = 1; x = input.x` would
/// bind `x` within the negation, and never hold.
pub(super) fn unbound<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t Token<'a>> {
    let starts = outline::statements(tokens);
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    starts.iter().zip(ends).flat_map(|(start, end)| unbound_in(tokens, *start..end)).collect()
}

/// The same in one rule.
fn unbound_in<'t, 'a>(tokens: &'t [Token<'a>], rule: Range<usize>) -> Vec<&'t Token<'a>> {
    let mut places: HashMap<&str, (usize, usize)> = HashMap::new();
    let whole = Part { tokens, range: rule.clone() };
    for (index, token) in rule.clone().zip(whole.slice()).filter(|(_, token)| is_variable(token)) {
        places.entry(token.text).or_insert((index, index)).1 = index;
    }
    let mut found = Vec::new();
    for (not, _) in rule.clone().zip(whole.slice()).filter(|(_, token)| token.is("not")) {
        let rest = whole.within(not + 1..rule.end);
        let negated = rest.within(not + 1..rest.end()).without_brackets();
        let sides = negated.split(|index| negated.is(index, "="));
        let alone = sides.iter().filter(|side| sides.len() == 2 && side.range.len() == 1);
        let names = alone.filter_map(|side| side.get(side.range.start)).filter(|name| is_variable(name));
        found.extend(names.filter(|name| {
            let place = places.get(name.text);
            place.is_some_and(|(first, last)| *first > not && *last >= negated.range.end)
        }));
    }
    found
}

fn is_variable(token: &Token<'_>) -> bool {
    const NAMES: &[&str] = &["_", "true", "false", "null", "input", "data"];
    token.kind == Kind::Name && !token.is_field && !NAMES.contains(&token.text)
}

/// Some tokens that follow each other.
#[derive(Clone)]
struct Part<'t, 'a> {
    tokens: &'t [Token<'a>],
    range: Range<usize>,
}

impl<'t, 'a> Part<'t, 'a> {
    fn get(&self, index: usize) -> Option<&'t Token<'a>> {
        self.tokens.get(index).filter(|_| self.range.contains(&index))
    }

    fn is(&self, index: usize, text: &str) -> bool {
        self.get(index).is_some_and(|token| token.is(text))
    }

    fn slice(&self) -> &'t [Token<'a>] {
        self.tokens.get(self.range.clone()).unwrap_or_default()
    }

    fn within(&self, range: Range<usize>) -> Self {
        Self { tokens: self.tokens, range }
    }

    /// The numbers of the tokens that are in no bracket, opening and closing ones included.
    fn top_level(&self) -> impl Iterator<Item = usize> {
        let mut depth = 0_usize;
        let depths = self.slice().iter().zip(self.range.clone()).map(move |(token, index)| {
            let before = depth;
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            (index, before.min(depth))
        });
        depths.filter(|(_, depth)| *depth == 0).map(|(index, _)| index).collect::<Vec<_>>().into_iter()
    }

    /// Where a statement ends that begins this part.
    fn end(&self) -> usize {
        let mut depth = 0_usize;
        let mut previous = None;
        for (token, index) in self.slice().iter().zip(self.range.clone()) {
            let ends = token.is(";")
                || token.is("else")
                || (index > self.range.start && starts_statement(previous, token));
            if depth == 0 && (ends || token.kind == Kind::Close) {
                return index;
            }
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ => {}
            }
            previous = Some(token);
        }
        self.range.end
    }

    fn without_brackets(self) -> Self {
        let mut part = self;
        while part.is(part.range.start, "(") && part.top_level().nth(1) == part.range.end.checked_sub(1) {
            part.range = part.range.start + 1..part.range.end - 1;
        }
        part
    }

    /// Splits a part at tokens outside of brackets.
    fn split(&self, at: impl Fn(usize) -> bool) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = self.range.start;
        for index in self.top_level().filter(|index| at(*index)) {
            parts.push(self.within(start..index));
            start = index + 1;
        }
        parts.push(self.within(start..self.range.end));
        parts
    }

    fn is_operator(&self, index: usize) -> bool {
        let previous = index.checked_sub(1).and_then(|at| self.get(at));
        let is_operator =
            |token: &&Token<'_>| token.kind == Kind::Operator || token.is("in") || token.is(",");
        self.get(index).filter(is_operator).is_some_and(|token| !is_sign(previous, token))
    }

    /// What is evaluated before the negation.
    fn operands(&self) -> Vec<Self> {
        let sides = self.split(|index| self.is(index, "==") || self.is(index, "="));
        if sides.len() > 1 {
            let of_side = |side: &Self| if side.is_reference() { side.keys() } else { vec![side.clone()] };
            return sides.iter().flat_map(of_side).collect();
        }
        let operands = self.split(|index| self.is_operator(index));
        if operands.len() > 1 {
            return operands;
        }
        if self.is_reference() {
            return self.keys();
        }
        self.arguments().unwrap_or_default()
    }

    /// Whether this is a name, with what leads on from it.
    fn is_reference(&self) -> bool {
        let is_name = self.get(self.range.start).is_some_and(|first| first.kind == Kind::Name);
        is_name
            && self.slice().iter().all(|token| {
                token.touches || token.start == self.slice().first().map_or(0, |first| first.start)
            })
            && self.top_level().all(|index| !self.is(index, "(") && !self.is_operator(index))
    }

    /// The keys in a reference.
    fn keys(&self) -> Vec<Self> {
        let opened: Vec<usize> = self.top_level().filter(|index| self.is(*index, "[")).collect();
        let closed = self.top_level().filter(|index| self.is(*index, "]"));
        opened.into_iter().zip(closed).map(|(open, close)| self.within(open + 1..close)).collect()
    }

    /// The arguments of a call.
    fn arguments(&self) -> Option<Vec<Self>> {
        let open = self.top_level().find(|index| self.is(*index, "("))?;
        let close = self.range.end.checked_sub(1).filter(|close| self.is(*close, ")"))?;
        Some(self.within(open + 1..close).split(|index| self.is(index, ",")))
    }

    /// Whether a value could be undefined, or has scopes of its own.
    fn may_fail(&self) -> bool {
        let constant = |token: &Token<'_>| {
            matches!(token.kind, Kind::Number | Kind::Text)
                || ["true", "false", "null", "_", "-"].into_iter().any(|word| token.is(word))
        };
        !self.slice().iter().all(constant)
    }
}
