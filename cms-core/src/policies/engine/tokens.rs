// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the front-end replaces token by token, before it looks at anything larger.

use std::collections::BTreeMap;

use super::frontend::Reader;
use super::lexer::{Kind, Token};
use super::outline::{self, Outline};

/// The replacements, by where each token begins.
pub(super) fn replaced(tokens: &[Token<'_>], outline: &Outline, reader: Reader) -> BTreeMap<usize, String> {
    let mut replaced = BTreeMap::new();
    let starts = outline::statements(tokens);
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    for (start, end) in starts.iter().zip(ends) {
        // The name of the rule itself stands first.
        let is_default = tokens.get(*start).is_some_and(|first| first.is("default"));
        let body = tokens.get(start + 1 + usize::from(is_default)..end);
        shadowed(body.unwrap_or_default(), outline, &mut replaced);
    }
    for index in 0..tokens.len() {
        if let Some((inner, bar)) = comprehension(tokens, index) {
            shadowed(inner, outline, &mut replaced);
            if reader == Reader::Machine {
                looped(bar, inner, &mut replaced);
            }
        }
    }
    for (index, token) in tokens.iter().enumerate() {
        if reader == Reader::Machine && token.is(":=") && !starts.contains(&index.saturating_sub(1)) {
            assignment(tokens, index, &mut replaced);
        }
        let rest = tokens.get(index..).unwrap_or_default();
        match token.kind {
            Kind::Name if token.is("walk") => walk(rest, &mut replaced),
            Kind::Operator if is_sign(before(tokens, index), token) => sign(rest, &mut replaced),
            Kind::Operator if token.is("-") => difference(before(tokens, index), rest, &mut replaced),
            _ => {}
        }
    }
    replaced
}

/// `x := undefined` holds for the register machine, and would let a body succeed. So it becomes
/// `some x; x = undefined`, which does not. The interpreter refuses to declare `x` anew in a loop.
fn assignment(tokens: &[Token<'_>], index: usize, replaced: &mut BTreeMap<usize, String>) {
    let Some((at, name)) = index.checked_sub(1).and_then(|at| Some((at, tokens.get(at)?))) else { return };
    let follows = |word: &str| before(tokens, at).is_some_and(|before| before.is(word));
    let begins = name.leads || ["{", ";", "|", "if"].into_iter().any(follows);
    let is_own = !["else", "input", "data"].into_iter().any(|word| name.is(word));
    if name.kind != Kind::Name || name.is_field || !begins || !is_own {
        return;
    }
    let own = replaced.get(&name.start).cloned().unwrap_or_else(|| name.text.to_owned());
    // Without braces, a body has room for one statement, and no other scope around it.
    let declared = if own == "_" || follows("if") { own } else { format!("some {own}; {own}") };
    replaced.insert(name.start, declared);
    replaced.extend(tokens.get(index).map(|operator| (operator.start, "=".to_owned())));
}

/// The token before another one.
pub(super) fn before<'t, 'a>(tokens: &'t [Token<'a>], index: usize) -> Option<&'t Token<'a>> {
    index.checked_sub(1).and_then(|at| tokens.get(at))
}

/// Whether a token is the sign of a number, not the operator between two.
pub(super) fn is_sign(previous: Option<&Token<'_>>, token: &Token<'_>) -> bool {
    const WORDS: &[&str] = &["if", "in", "not", "as", "with", "else", "contains", "some", "every"];
    let ends_term = |previous: &Token<'_>| match previous.kind {
        Kind::Text | Kind::Number | Kind::Close | Kind::Other => true,
        Kind::Name => previous.is_field || !WORDS.contains(&previous.text),
        _ => false,
    };
    token.is("-") && !previous.is_some_and(ends_term)
}

/// A sign may stand apart from its number, which the compiler takes for a calculation.
fn sign(tokens: &[Token<'_>], replaced: &mut BTreeMap<usize, String>) {
    if let [sign, number, ..] = tokens
        && number.kind == Kind::Number
        && !number.touches
    {
        replaced.insert(sign.start, String::new());
        replaced.insert(number.start, format!("-{}", number.text));
    }
}

/// A minus between two terms that touches a number would be read as its sign.
fn difference(previous: Option<&Token<'_>>, tokens: &[Token<'_>], replaced: &mut BTreeMap<usize, String>) {
    // Of `1e-7`, the token before is `1e`.
    let is_exponent = |number: &Token<'_>| number.kind == Kind::Number && number.text.ends_with(['e', 'E']);
    if previous.is_some_and(is_exponent) {
        return;
    }
    if let [minus, number, ..] = tokens
        && number.kind == Kind::Number
        && number.touches
    {
        replaced.insert(minus.start, "- ".to_owned());
    }
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

/// A variable that `some` or `:=` declares may have the name of a rule, and the library takes it for that where
/// it stands before its declaration. So it gets another name in its scope, a rule or a comprehension.
fn shadowed(scope: &[Token<'_>], outline: &Outline, replaced: &mut BTreeMap<usize, String>) {
    let names = declared(scope);
    let is_rule = |name: &str| {
        outline.heads.iter().any(|head| head.path == [name])
            || outline.imports.iter().any(|(alias, _)| alias == name)
    };
    for token in scope.iter().filter(|token| token.kind == Kind::Name && !token.is_field) {
        if names.contains(&token.text) && is_rule(token.text) {
            replaced.insert(token.start, format!("{}{LOCAL}", token.text));
        }
    }
}

/// The names that a scope declares, but for those in scopes within it.
fn declared<'a>(scope: &[Token<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut declares = false;
    let mut index = 0;
    while let Some(token) = scope.get(index) {
        match token.kind {
            Kind::Open => index += comprehension(scope, index).map_or(0, |(inner, _)| inner.len()),
            Kind::Name if token.is("some") => declares = true,
            Kind::Name if token.is("in") || token.leads => declares = false,
            Kind::Name if declares && !token.is_field => names.push(token.text),
            Kind::Operator if token.is(":=") => {
                declares = false;
                names.extend(
                    before(scope, index).filter(|name| name.kind == Kind::Name).map(|name| name.text),
                );
            }
            Kind::Operator if !token.is(":") => declares = false,
            Kind::Separator if token.is(";") => declares = false,
            _ => {}
        }
        index += 1;
    }
    names
}

/// What is within the bracket with this number, if that is a comprehension, with where its bar is.
pub(super) fn comprehension<'t, 'a>(
    tokens: &'t [Token<'a>],
    index: usize,
) -> Option<(&'t [Token<'a>], &'t Token<'a>)> {
    const WORDS: &[&str] = &["in", "not", "as", "contains", "with"];
    let open = tokens.get(index).filter(|open| open.is("[") || open.is("{"))?;
    let follows_term = before(tokens, index).is_some_and(|before| match before.kind {
        Kind::Name => before.is_field || !WORDS.contains(&before.text),
        Kind::Close | Kind::Text | Kind::Number => true,
        _ => false,
    });
    // After a term stands a body, or an index.
    if follows_term && (open.is("{") || open.touches) {
        return None;
    }
    let rest = tokens.get(index..)?;
    let bar = top_level(rest).find(|token| token.is("|"))?;
    // Else it is a list, and the bar unites two sets.
    let is_list = |comma: &Token<'_>| {
        comma.is(",") && (comma.start < bar.start || !top_level(rest).any(|token| token.is("in")))
    };
    if top_level(rest).any(is_list) {
        return None;
    }
    Some((rest.get(1..bracket_end(rest)?)?, bar))
}

/// Where a comprehension without a loop stands in a loop, the machine takes a condition of its body for one
/// of the loop around. So its body begins with a loop, of one round.
fn looped(bar: &Token<'_>, inner: &[Token<'_>], replaced: &mut BTreeMap<usize, String>) {
    let first = inner.iter().find(|token| token.start > bar.start);
    if first.is_none_or(|first| !first.is("some")) {
        replaced.insert(bar.start, format!("| some __cms_once_{} in [0];", bar.start));
    }
}

/// Ends the names of variables that had the name of a rule.
pub(super) const LOCAL: &str = "__cms_local";

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
