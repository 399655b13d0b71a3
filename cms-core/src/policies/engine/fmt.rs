// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes a policy in the one form that all policies have: tabs, one space between words, at most one
//! empty line. Where lines break is left to the author, and so are comments.
//!
//! It works on tokens, so nothing can get lost: the tokens that come out are those that went in.

use super::diagnostic::{Diagnostic, code};
use super::lexer::{Kind, Lexer, Token};
use super::module::{self, Module, Options};

/// Writes a policy in the canonical form. The form of a formatted text is that text.
///
/// # Errors
/// What keeps the text from being parsed.
pub fn format(module: &Module, options: &Options) -> Result<String, Vec<Diagnostic>> {
    module::check(module, options)?;
    let written = write(&module.text);
    if tokens(&written) == tokens(&module.text) {
        return Ok(written);
    }
    let message = "the text cannot be formatted without changing it; please report this";
    Err(vec![Diagnostic::new(&module.name, (1, 1), code::INTERNAL, message)])
}

/// What a text means to the compiler: its tokens, and which of them begin a line.
fn tokens(text: &str) -> Vec<(&str, bool)> {
    Lexer::new(text).map(|token| (token.text, token.leads)).collect()
}

/// A line of the text: its tokens, and its comment.
#[derive(Default)]
struct Line<'a> {
    tokens: Vec<Token<'a>>,
    comment: Option<&'a str>,
    follows_empty: bool,
}

fn write(text: &str) -> String {
    let mut out = String::new();
    let mut levels: Vec<usize> = Vec::new();
    let mut previous: Option<Token<'_>> = None;
    let mut before: Option<Token<'_>> = None;
    for line in lines(text) {
        let closes = line.tokens.first().is_some_and(|first| first.kind == Kind::Close);
        let opened = previous.is_none_or(|last| last.kind == Kind::Open);
        if line.follows_empty && !closes && (!opened || previous.is_none()) && !out.is_empty() {
            out.push('\n');
        }
        let leading = line.tokens.iter().take_while(|token| token.kind == Kind::Close).count();
        let level = match leading.checked_sub(1) {
            // A line that closes stands where the line that opened does.
            Some(more) => levels.get(levels.len().saturating_sub(more + 1)).map_or(0, |level| level - 1),
            None => levels.last().copied().unwrap_or(0) + usize::from(continues(previous.as_ref(), &line)),
        };
        out.push_str(&"\t".repeat(level));
        for (index, token) in line.tokens.iter().enumerate() {
            if let (true, Some(last)) = (index > 0, &previous) {
                out.push_str(gap(before.as_ref(), last, token, &line.tokens, index));
            }
            out.push_str(token.written());
            match token.kind {
                Kind::Open => levels.push(level + 1),
                Kind::Close => drop(levels.pop()),
                _ => {}
            }
            (before, previous) = (previous, Some(*token));
        }
        if let Some(comment) = line.comment {
            out.push_str(if line.tokens.is_empty() { "" } else { " " });
            out.push_str(comment);
        }
        out.push('\n');
    }
    out
}

/// Takes a text apart into lines. A line that is neither tokens nor a comment is an empty one.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = vec![Line::default()];
    let mut end = 0;
    for token in Lexer::new(text) {
        space(text.get(end..token.start).unwrap_or_default(), &mut lines);
        end = token.end();
        if let Some(line) = lines.last_mut() {
            line.tokens.push(token);
        }
    }
    space(text.get(end..).unwrap_or_default(), &mut lines);
    lines.retain(|line| !line.tokens.is_empty() || line.comment.is_some());
    lines
}

/// Reads what stands between two tokens: breaks of lines, and comments.
fn space<'a>(text: &'a str, lines: &mut Vec<Line<'a>>) {
    for (index, part) in text.split('\n').enumerate() {
        if index > 0 {
            let last_is_empty =
                lines.last().is_some_and(|line| line.tokens.is_empty() && line.comment.is_none());
            lines.push(Line { follows_empty: last_is_empty, ..Line::default() });
        }
        let comment = part.trim();
        if let (true, Some(line)) = (comment.starts_with('#'), lines.last_mut()) {
            line.comment = Some(comment);
        }
    }
}

/// Whether a line goes on with what the one before it began, without a bracket that says so.
fn continues(previous: Option<&Token<'_>>, line: &Line<'_>) -> bool {
    let Some(first) = line.tokens.first() else { return false };
    let leads = first.is("with") || (first.kind == Kind::Operator && !first.is("-"));
    let open_ended = previous.is_some_and(|last| {
        (last.kind == Kind::Operator || ["if", "in", "contains"].iter().any(|word| last.is(word)))
            && !last.is_field
    });
    leads || open_ended
}

/// What stands between two tokens of a line.
fn gap(
    before: Option<&Token<'_>>,
    last: &Token<'_>,
    next: &Token<'_>,
    line: &[Token<'_>],
    index: usize,
) -> &'static str {
    let is_template = |token: &Token<'_>| token.text.len() > 1 && token.kind != Kind::Text;
    let opens = last.kind == Kind::Open || (last.kind == Kind::Separator && is_template(last));
    let closes = next.kind == Kind::Close || (next.kind == Kind::Separator && is_template(next));
    if opens || closes {
        let brace = if opens { last } else { next };
        let body = !is_template(brace) && is_body(line, index, opens);
        let empty = opens && closes;
        return if body && !empty { " " } else { "" };
    }
    if last.kind == Kind::Dot || next.kind == Kind::Dot || next.kind == Kind::Separator || next.is(":") {
        return "";
    }
    if next.kind == Kind::Open && next.touches && ends_term(last) && !next.text.starts_with('{') {
        return "";
    }
    let unary = last.is("-") && next.touches && before.is_none_or(|before| !ends_term(before));
    if unary { "" } else { " " }
}

/// Whether the braces beside a gap are those of a body, `if { … }`, and not of a set or an object.
fn is_body(line: &[Token<'_>], index: usize, opens: bool) -> bool {
    let brace = if opens { index - 1 } else { matching(line, index) };
    let is_brace = line.get(brace).is_some_and(|token| token.text == "{");
    let before = brace.checked_sub(1).and_then(|at| line.get(at));
    is_brace && before.is_some_and(|before| before.is("if") || before.is("else") || ends_term(before))
}

/// Where the bracket that a token closes stands in its line.
fn matching(line: &[Token<'_>], index: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in line.iter().enumerate().take(index).rev() {
        match token.kind {
            Kind::Close => depth += 1,
            Kind::Open if depth == 0 => return at,
            Kind::Open => depth -= 1,
            _ => {}
        }
    }
    usize::MAX
}

fn ends_term(token: &Token<'_>) -> bool {
    const WORDS: &[&str] =
        &["if", "in", "not", "some", "every", "else", "default", "import", "with", "as", "contains"];
    match token.kind {
        Kind::Text | Kind::Number | Kind::Close => true,
        Kind::Name => token.is_field || !WORDS.contains(&token.text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        format(&Module::new("p", text), &Options::default()).unwrap()
    }

    #[test]
    fn space_and_indentation_are_made_even() {
        let text = "package p\n\n\n\n# why\nimport   data.x\nallow  if{\n   input.a==1   # one\n\n\n  some x in[1,2 ,3]\n  x>-1 ; f( x )\n     y:={ \"a\":1,\"b\":[ 2 ] }\n   }\n\nf(x)  :=  y  if y:= x+1\nelse:=2\nset:={x|some x in input.xs}\nallow if input.b\n with input as {}\nempty := {}\n\n\n";
        let wanted = "package p\n\n# why\nimport data.x\nallow if {\n\tinput.a == 1 # one\n\n\tsome x in [1, 2, 3]\n\tx > -1; f(x)\n\ty := {\"a\": 1, \"b\": [2]}\n}\n\nf(x) := y if y := x + 1\nelse := 2\nset := {x | some x in input.xs}\nallow if input.b\n\twith input as {}\nempty := {}\n";
        assert_eq!(formatted(text), wanted);
        assert_eq!(formatted(wanted), wanted);
    }

    #[test]
    fn brackets_over_lines_indent_once() {
        let text = "package p\nx := f([{\n\"a\": 1,\n# in it\n\"b\": `raw\n  text`,\n}])\nf(x) := x\nallow if { input.a; every k, v in input.o { k != v } }\n";
        let wanted = "package p\nx := f([{\n\t\"a\": 1,\n\t# in it\n\t\"b\": `raw\n  text`,\n}])\nf(x) := x\nallow if { input.a; every k, v in input.o { k != v } }\n";
        assert_eq!(formatted(text), wanted);
        assert_eq!(formatted(wanted), wanted);
    }

    #[test]
    fn what_does_not_parse_is_refused() {
        assert!(format(&Module::new("p", "package p\nallow if {"), &Options::default()).is_err());
    }

    #[test]
    fn every_policy_of_the_product_keeps_its_meaning_and_its_form_is_stable() {
        let mut count = 0;
        for directory in ["src/policies/defaults", "src/auth"] {
            for entry in
                std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap()
            {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "rego") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert_eq!(tokens(&write(&text)), tokens(&text), "{}", path.display());
                    assert_eq!(write(&write(&text)), write(&text), "{}", path.display());
                    count += 1;
                }
            }
        }
        assert!(count > 5);
    }
}
