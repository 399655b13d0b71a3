// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a policy text before the compiler does: bounds it, and refuses calls that reach outside.
//!
//! The compiler's parser recurses over brackets and long expressions, and a stack that overflows
//! takes the whole process along. So a text that nests or chains too much is refused here.

use super::builtins;
use super::diagnostic::{Diagnostic, code};
use super::lexer::{Kind, Lexer, Token};
use super::limits::Limits;
use super::negations;
use super::outline::{self, Outline, reference, starts_statement};
use super::tokens::{before, is_sign};

/// Bounds a text and lists what it contains.
///
/// # Errors
/// Every limit that it exceeds and every refused built-in function that it names.
pub(super) fn scan(file: &str, text: &str, limits: &Limits) -> Result<Outline, Vec<Diagnostic>> {
    if text.len() > limits.source_bytes {
        let message =
            format!("the policy has {} bytes; at most {} are allowed", text.len(), limits.source_bytes);
        return Err(vec![Diagnostic::new(file, (1, 1), code::LIMIT, message)]);
    }
    let tokens: Vec<Token<'_>> = Lexer::new(text).collect();
    let mut found = Vec::new();
    found.extend(too_deep(file, &tokens, limits));
    found.extend(refused_calls(file, &tokens));
    if found.is_empty() {
        found.extend(misplaced_sign(file, &tokens));
        found.extend(negations::unbound(&tokens).into_iter().map(|name| {
            let message = format!("var {} is unsafe: give it a value before the negation", name.text);
            Diagnostic::new(file, name.place, code::UNSAFE_VAR, message)
        }));
        found.extend(negations::searching(&tokens).map(|wildcard| {
            let message =
                "var _ is unsafe: a negation cannot search; negate a rule or a comprehension that does";
            Diagnostic::new(file, wildcard.place, code::UNSAFE_VAR, message)
        }));
    }
    if found.is_empty() { Ok(outline::read(&tokens)) } else { Err(found) }
}

/// Finds the first place where brackets nest, or an expression chains, beyond its limit.
///
/// What counts as a chain is everything that makes a syntax tree deeper without a bracket: an
/// operator, a dot, a call or an index that follows a term. Separators and the ends of statements
/// start anew.
fn too_deep(file: &str, tokens: &[Token<'_>], limits: &Limits) -> Option<Diagnostic> {
    let mut levels = vec![0_usize];
    let mut total = 0_usize;
    let mut previous: Option<&Token<'_>> = None;
    for token in tokens {
        let adds = adds_depth(previous, token);
        if let Some(level) = levels.last_mut() {
            if token.kind == Kind::Separator || starts_statement(previous, token) {
                total -= *level;
                *level = 0;
            }
            *level += usize::from(adds);
            total += usize::from(adds);
        }
        match token.kind {
            Kind::Open => levels.push(0),
            Kind::Close if levels.len() > 1 => total -= levels.pop().unwrap_or_default(),
            _ => {}
        }
        if let Some(message) = exceeded(levels.len() - 1, total, limits) {
            return Some(Diagnostic::new(file, token.place, code::LIMIT, message));
        }
        previous = Some(token);
    }
    None
}

fn exceeded(nesting: usize, chain: usize, limits: &Limits) -> Option<String> {
    if nesting > limits.nesting {
        Some(format!("brackets nest deeper than {}; split the expression into rules", limits.nesting))
    } else if chain > limits.chain {
        Some(format!("the expression chains more than {} operators; split it into rules", limits.chain))
    } else {
        None
    }
}

fn adds_depth(previous: Option<&Token<'_>>, token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Operator | Kind::Dot => true,
        Kind::Open => token.touches && previous.is_some_and(ends_term),
        _ => false,
    }
}

fn ends_term(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Name | Kind::Text | Kind::Close)
}

/// Finds the first minus that stands before something other than a number or a second operand.
fn misplaced_sign(file: &str, tokens: &[Token<'_>]) -> Option<Diagnostic> {
    let (_, sign) = tokens.iter().enumerate().find(|(index, token)| {
        let next = tokens.get(index + 1);
        is_sign(before(tokens, *index), token) && next.is_none_or(|next| next.kind != Kind::Number)
    })?;
    let message = "a minus stands before a number or between two terms; write `0 - x`";
    Some(Diagnostic::new(file, sign.place, code::PARSE, message))
}

/// Finds the calls of functions that are refused, and the places that replace them with `with`.
fn refused_calls(file: &str, tokens: &[Token<'_>]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let previous = index.checked_sub(1).and_then(|at| tokens.get(at));
        if token.kind != Kind::Name || previous.is_some_and(|previous| previous.kind == Kind::Dot) {
            continue;
        }
        let (path, length) = reference(tokens.get(index..).unwrap_or_default());
        let called = tokens.get(index + length).is_some_and(|next| next.is("(") && next.touches);
        let mocked = previous.is_some_and(|previous| previous.is("with"));
        if !called && !mocked {
            continue;
        }
        if let Some(reason) = builtins::refusal(&path.join(".")) {
            found.push(Diagnostic::new(file, token.place, code::UNSAFE_BUILTIN, reason));
        }
    }
    found
}
