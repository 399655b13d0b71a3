// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rewrites what the compiler does not read, without moving anything else: lines and columns of
//! the result are those of the text.
//!
//! So far that is `print(…)`, which has no effect on a decision and becomes `true`. Newer syntax
//! (string interpolation, keywords in references) belongs here.

use std::borrow::Cow;

use super::lexer::{Kind, Lexer, Token};

/// Translates a text for the compiler.
pub(super) fn translate(text: &str) -> Cow<'_, str> {
    if !text.contains("print") {
        return Cow::Borrowed(text);
    }
    let tokens: Vec<Token<'_>> = Lexer::new(text).collect();
    let mut translated = String::with_capacity(text.len());
    let mut copied = 0;
    for (start, end) in prints(&tokens) {
        let (Some(before), Some(call)) = (text.get(copied..start), text.get(start..end)) else { continue };
        translated.push_str(before);
        translated.push_str("true");
        let keep = |c: char| if c == '\n' { '\n' } else { ' ' };
        translated.extend(call.chars().skip("true".len()).map(keep));
        copied = end;
    }
    translated.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(translated)
}

/// Where calls of `print` begin and end.
fn prints(tokens: &[Token<'_>]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut done = 0;
    for (index, token) in tokens.iter().enumerate() {
        let follows_dot =
            index.checked_sub(1).and_then(|at| tokens.get(at)).is_some_and(|p| p.kind == Kind::Dot);
        if !token.is("print") || follows_dot || token.start < done {
            continue;
        }
        if let Some(end) = tokens.get(index + 1..).and_then(call_end) {
            found.push((token.start, end));
            done = end;
        }
    }
    found
}

/// The end of the call whose bracket `tokens` begin with.
fn call_end(tokens: &[Token<'_>]) -> Option<usize> {
    tokens.first().filter(|first| first.is("(") && first.touches)?;
    let mut depth = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(token.end());
        }
    }
    None
}
