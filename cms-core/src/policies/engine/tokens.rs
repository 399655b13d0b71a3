// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the front-end replaces token by token, before it looks at anything larger.

use std::collections::BTreeMap;

use super::lexer::{Kind, Token};
use super::outline::{self, Outline};

/// The replacements, by where each token begins.
pub(super) fn replaced(tokens: &[Token<'_>], outline: &Outline) -> BTreeMap<usize, String> {
    let mut replaced = BTreeMap::new();
    let starts = outline::statements(tokens);
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    for (start, end) in starts.iter().zip(ends) {
        // The name of the rule itself stands first.
        shadowed(tokens.get(start + 1..end).unwrap_or_default(), outline, &mut replaced);
    }
    for (index, token) in tokens.iter().enumerate() {
        let rest = tokens.get(index..).unwrap_or_default();
        match token.kind {
            Kind::Name if token.is("walk") => walk(rest, &mut replaced),
            Kind::Open => shadowed(comprehension(rest).unwrap_or_default(), outline, &mut replaced),
            _ => {}
        }
    }
    replaced
}

/// `walk(x)` is a relation to OPA, and an array of pairs to the library: so it becomes `walk(x)[_]`, and
/// `walk(x, pair)` becomes `walk(x)[_] = pair`, which the register machine can run.
fn walk(tokens: &[Token<'_>], replaced: &mut BTreeMap<usize, String>) {
    let Some(call) =
        tokens.get(1..).filter(|rest| rest.first().is_some_and(|open| open.is("(") && open.touches))
    else {
        return;
    };
    let Some(close) = bracket_end(call).and_then(|end| call.get(end)) else { return };
    let commas = top_level(call).filter(|token| token.is(","));
    match commas.collect::<Vec<_>>().as_slice() {
        [] => drop(replaced.insert(close.start, ")[_]".to_owned())),
        [comma] => {
            replaced.insert(comma.start, ")[_] =".to_owned());
            replaced.insert(close.start, String::new());
        }
        _ => {}
    }
}

/// A variable that `some` declares may have the name of a rule, and the library takes it for the rule where
/// it stands before its declaration. So it gets another name in its scope, a rule or a comprehension.
fn shadowed(scope: &[Token<'_>], outline: &Outline, replaced: &mut BTreeMap<usize, String>) {
    let names = declared(scope);
    let is_rule = |name: &str| outline.heads.iter().any(|head| head.path == [name]);
    for token in scope.iter().filter(|token| token.kind == Kind::Name && !token.is_field) {
        if names.contains(&token.text) && is_rule(token.text) {
            replaced.insert(token.start, format!("{}{LOCAL}", token.text));
        }
    }
}

/// The names that `some` declares in a scope, but for those in scopes within it.
fn declared<'a>(scope: &[Token<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut declares = false;
    let mut index = 0;
    while let Some(token) = scope.get(index) {
        let rest = scope.get(index..).unwrap_or_default();
        match token.kind {
            Kind::Open => index += comprehension(rest).map_or(0, |inner| inner.len()),
            Kind::Name if token.is("some") => declares = true,
            Kind::Name if token.is("in") || token.leads => declares = false,
            Kind::Name if declares && !token.is_field => names.push(token.text),
            Kind::Operator if !token.is(":") => declares = false,
            Kind::Separator if token.is(";") => declares = false,
            _ => {}
        }
        index += 1;
    }
    names
}

/// What is within the bracket that `tokens` begin with, if that is a comprehension.
fn comprehension<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    tokens.first().filter(|open| open.is("[") || open.is("{"))?;
    top_level(tokens).find(|token| token.is("|"))?;
    tokens.get(1..bracket_end(tokens)?)
}

/// Ends the names of variables that had the name of a rule.
const LOCAL: &str = "__cms_local";

/// Where the bracket that `tokens` begin with is closed.
fn bracket_end(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// The tokens within the bracket that `tokens` begin with, but for those in brackets of their own.
fn top_level<'a, 't>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t Token<'a>> {
    let end = bracket_end(tokens).unwrap_or_default();
    let mut depth = 0_usize;
    tokens.get(1..end.max(1)).unwrap_or_default().iter().filter(move |token| {
        let before = depth;
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        before == 0 && depth == 0
    })
}
