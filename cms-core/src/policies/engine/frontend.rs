// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rewrites what the compiler does not read: line by line, and keeping note of where each part came
//! from, so that errors are told at their place in the text as it was written.
//!
//! - `print(…)` has no effect on a decision and becomes `true`.
//! - A template `$"a {x}"` becomes the call of a function that joins its parts.
//! - A function of ours, which the compiler does not know, becomes the call of a [stub](stubs).
//! - `rego.metadata.rule()` and `chain()` become what the annotations say.
//! - Before a negation stands what has to be defined for it; see [`Negation`].
//! - `walk(x, pair)` becomes `walk(x)[_] = pair`; see [`tokens`].
//! - A head that searches, and has no body, gets one: `p := xs[_]` becomes `p := xs[_] if true`.
//! - A keyword that begins a reference gets a [name](words).
//! - Rules that [meet](meeting) become one.
//! - `with f as …`, where `f` is a rule of the same package, becomes `with data.….f as …`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::builtins;
use super::lexer::{Kind, Lexer, Token};
use super::meeting;
use super::metadata::Annotations;
use super::negations::Negation;
use super::outline::{Outline, reference, statements};
use super::path::reference_of;
use super::stubs;
use super::tokens::{self, before};
use super::words;

/// A text as the compiler reads it.
#[derive(Debug, Default)]
pub(super) struct Translation {
    pub(super) text: String,
    /// The functions that are called through stubs.
    pub(super) functions: BTreeSet<String>,
    /// Where parts of the translation begin, there and in the text as it was written, in order.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    start: usize,
    original: usize,
    /// Whether the part is as it was, so that its inside has places of its own.
    is_copy: bool,
}

impl Translation {
    /// The offset in the text as it was written.
    pub(super) fn original(&self, offset: usize) -> usize {
        let after = self.parts.partition_point(|part| part.start <= offset);
        match after.checked_sub(1).and_then(|at| self.parts.get(at)) {
            Some(part) if part.is_copy => part.original + (offset - part.start),
            Some(part) => part.original,
            None => offset,
        }
    }
}

/// Who reads a translation. What one of them needs can be a fault to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The register machine, by way of its compiler.
    Machine,
    Interpreter,
}

/// Translates a text for one of its readers.
pub(super) fn translate(
    text: &str,
    outline: &Outline,
    annotations: &Annotations,
    reader: Reader,
) -> Translation {
    let tokens: Vec<Token<'_>> = Lexer::new(text).collect();
    let mut replaced = tokens::replaced(&tokens, outline, reader);
    let put_in = meeting::spread(&tokens, outline, &mut replaced);
    let put_in = put_in.into_iter().map(|(at, text)| Edit { start: at, end: at, text });
    let rewriting = Rewriting {
        tokens: &tokens,
        outline,
        annotations,
        replaced,
        added: put_in.collect(),
        functions: BTreeSet::new(),
    };
    rewriting.run(text)
}

/// What becomes of a range of bytes.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

struct Rewriting<'a> {
    tokens: &'a [Token<'a>],
    outline: &'a Outline,
    annotations: &'a Annotations,
    /// What becomes of single tokens, by where they begin.
    replaced: BTreeMap<usize, String>,
    /// What is put between tokens: the braces that close bodies which had none, and what bodies bind.
    added: Vec<Edit>,
    functions: BTreeSet<String>,
}

impl Rewriting<'_> {
    fn run(mut self, text: &str) -> Translation {
        let searching = self.searching_heads();
        let mut edits = self.edits(0..self.tokens.len());
        edits.append(&mut self.added);
        edits.extend(searching);
        edits.sort_by_key(|edit| (edit.start, edit.end));
        apply(text, edits, self.functions)
    }

    /// Bodies for heads that have none, where the compiler would not know the variable `_`.
    fn searching_heads(&self) -> Vec<Edit> {
        // A query has no heads.
        let starts = if self.outline.package.is_empty() { Vec::new() } else { statements(self.tokens) };
        let ends = starts.iter().skip(1).copied().chain([self.tokens.len()]);
        let heads = starts.iter().zip(ends).filter_map(|(start, end)| {
            let tokens = self.tokens.get(*start..end)?;
            let is_rule =
                !tokens.first().is_some_and(|first| ["package", "import", "default"].contains(&first.text));
            let searches = tokens.iter().any(|token| token.is("_"));
            let has_body = tokens.iter().any(|token| token.is("if"));
            let gets_body = |last: &&Token<'_>| self.added.iter().any(|added| added.start == last.end());
            tokens.last().filter(|last| is_rule && searches && !has_body && !gets_body(last))
        });
        heads.map(|last| Edit { start: last.end(), end: last.end(), text: " if true".to_owned() }).collect()
    }

    /// What becomes of some tokens.
    fn edits(&mut self, range: Range<usize>) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut imports = false;
        let mut done = 0;
        for index in range {
            let Some(token) = self.tokens.get(index) else { break };
            if token.leads {
                imports = token.is("import") || token.is("package");
            }
            if token.start < done {
                continue;
            }
            let edit = if let Some(text) = self.replaced.get(&token.start) {
                Some(Edit { start: token.start, end: token.end(), text: text.clone() })
            } else if token.is("not") {
                self.negation(index)
            } else if token.kind == Kind::Name && !token.is_field && !imports {
                self.name(index)
            } else {
                self.template(token)
            };
            let renamed = || {
                let edit = Edit { start: token.start, end: token.end(), text: token.text.to_owned() };
                Some(edit).filter(|_| token.is_renamed())
            };
            let edit = edit.or_else(renamed);
            if let Some(edit) = edit {
                done = edit.end;
                edits.push(edit);
            }
        }
        edits
    }

    /// Puts before a negation what has to be defined for it to hold.
    fn negation(&mut self, index: usize) -> Option<Edit> {
        let negation = Negation::read(self.tokens, index);
        let modifiers = self.rendered(negation.modifiers.clone());
        let mut demands = String::new();
        for (number, range) in negation.operands.into_iter().enumerate() {
            let operand = self.rendered(range.clone());
            // A text of several lines would move all that follows.
            if operand.contains('\n') || modifiers.contains('\n') {
                continue;
            }
            let tokens = self.tokens.get(range).unwrap_or_default();
            if tokens.iter().any(|token| token.is("|")) {
                // The machine loses its way in a comprehension within a negation.
                let name = format!("__cms_{index}_{number}");
                demands.push_str(&format!("some {name}; {name} = {operand}{modifiers}; "));
                self.replaced.extend(tokens.iter().map(|token| (token.start, String::new())));
                self.replaced.extend(tokens.first().map(|token| (token.start, name)));
            } else if !self.outline.negates_undefined() {
                demands.push_str(&format!("_ = {operand}{modifiers}; "));
            }
        }
        let token = self.tokens.get(index).filter(|_| !demands.is_empty())?;
        let has_braces = !before(self.tokens, index).is_some_and(|before| before.is("if"));
        if !has_braces {
            let last = before(self.tokens, negation.modifiers.end)?;
            self.added.push(Edit { start: last.end(), end: last.end(), text: " }".to_owned() });
        }
        let text = format!("{}{demands}not", if has_braces { "" } else { "{ " });
        Some(Edit { start: token.start, end: token.end(), text })
    }

    /// Some tokens as the compiler reads them, without comments.
    fn rendered(&mut self, range: Range<usize>) -> String {
        let mut edits = self.edits(range.clone()).into_iter().peekable();
        let mut text = String::new();
        let mut done = 0;
        for token in self.tokens.get(range).unwrap_or_default() {
            if token.start < done {
                continue;
            }
            if !token.touches {
                text.push(' ');
            }
            match edits.next_if(|edit| edit.start == token.start) {
                Some(edit) => {
                    text.push_str(&edit.text);
                    done = edit.end;
                }
                None => text.push_str(token.text),
            }
        }
        text
    }

    /// Rewrites what begins with a name.
    fn name(&mut self, index: usize) -> Option<Edit> {
        let rest = self.tokens.get(index..)?;
        let (path, length) = reference(rest);
        let (first, last) = (rest.first()?, rest.get(length.checked_sub(1)?)?);
        let name = path.join(".");
        let called = rest.get(length..).and_then(call_end);
        let previous = index.checked_sub(1).and_then(|at| self.tokens.get(at));
        let replaces = previous.is_some_and(|token| token.is("with"));
        let edit = |end: usize, text: String| Some(Edit { start: first.start, end, text });
        match (name.as_str(), called) {
            ("print", Some(end)) => return edit(end, "true".to_owned()),
            ("rego.metadata.rule", Some(end)) => {
                return edit(end, self.annotations.rule(self.outline, first));
            }
            ("rego.metadata.chain", Some(end)) => {
                return edit(end, self.annotations.chain(self.outline, first));
            }
            _ => {}
        }
        if let Some(whole) = self.own_word(&path) {
            return edit(last.end(), whole);
        }
        if let Some(local) = self.own_function(&path).filter(|_| replaces) {
            return edit(last.end(), local);
        }
        if replaces && self.is_rule(&path) {
            let whole = self.outline.package.iter().chain(&path).map(String::as_str);
            return edit(last.end(), reference_of(whole));
        }
        let stands_for = previous.is_some_and(|token| token.is("as")) && self.replaces_function(index);
        let wanted = called.is_some() || replaces || stands_for;
        let known = builtins::is_ours(&name) || (stands_for && builtins::is_function(&name));
        if wanted && known && !self.is_shadowed(path.first()?) {
            self.functions.insert(name.clone());
            return edit(last.end(), stubs::reference(&name));
        }
        None
    }

    /// The name of a function of this text that a path from the root leads to: only by that name, the
    /// library replaces it.
    fn own_function(&self, path: &[String]) -> Option<String> {
        let below = path
            .strip_prefix(["data".to_owned()].as_slice())?
            .strip_prefix(self.outline.package.as_slice())?;
        let head = self.outline.heads.iter().find(|head| head.path == below && head.is_function)?;
        Some(head.path.join("."))
    }

    /// A path from the root that leads to a rule of this package whose name begins with a keyword.
    fn own_word(&self, path: &[String]) -> Option<String> {
        let below = path
            .strip_prefix(["data".to_owned()].as_slice())?
            .strip_prefix(self.outline.package.as_slice())?;
        let (first, rest) = below.split_first()?;
        let name = words::name(first)?;
        let known = self.outline.heads.iter().any(|head| head.path.first().is_some_and(|own| own == name));
        let names = self.outline.package.iter().map(String::as_str).chain([name]);
        known.then(|| reference_of(names.chain(rest.iter().map(String::as_str))))
    }

    /// Whether a path names a rule of this text that is no function.
    fn is_rule(&self, path: &[String]) -> bool {
        self.outline.heads.iter().any(|head| head.path == path && !head.is_function)
    }

    /// Whether an import or a definition of this text gives a name another meaning.
    fn is_shadowed(&self, name: &str) -> bool {
        self.outline.imports.iter().any(|(alias, path)| alias == name && path.len() > 1)
            || self.outline.heads.iter().any(|head| head.path.first().is_some_and(|first| first == name))
    }

    /// Whether what is replaced by the term at `index`, after `with … as`, is a function.
    fn replaces_function(&self, index: usize) -> bool {
        let before = self.tokens.get(..index.saturating_sub(1)).unwrap_or_default();
        let Some(with) = before.iter().rposition(|token| token.is("with")) else { return false };
        let (path, length) = reference(before.get(with + 1..).unwrap_or_default());
        let is_local = self.outline.heads.iter().any(|head| head.path == path && head.is_function);
        let is_whole = with + 1 + length == before.len();
        is_whole
            && (is_local
                || builtins::is_function(&path.join("."))
                || path.first().is_some_and(|p| p == "data"))
    }

    /// Rewrites a part of a template: its literal text becomes an item of an array, and each of its
    /// expressions a set, which is empty if the expression is undefined.
    fn template(&mut self, token: &Token<'_>) -> Option<Edit> {
        let edit = |text: String| Some(Edit { start: token.start, end: token.end(), text });
        let lines = "\n".repeat(token.text.matches('\n').count());
        let quote = |text: &str| token.text.ends_with('`') || (text.contains('\n'));
        match (token.kind, token.text.strip_prefix('$')) {
            (Kind::Text, Some(text)) => {
                edit(plain(text.get(1..text.len().saturating_sub(1))?, quote(text)) + &lines)
            }
            (Kind::Open, Some(text)) => {
                self.functions.insert(TEMPLATE.to_owned());
                let literal = plain(text.get(1..text.len().saturating_sub(1))?, text.starts_with('`'));
                let call = stubs::reference(TEMPLATE);
                edit(format!("{call}([{literal}{lines}, {{{VARIABLE} | {VARIABLE} := "))
            }
            _ => self.template_end(token, &lines),
        }
    }

    fn template_end(&self, token: &Token<'_>, lines: &str) -> Option<Edit> {
        let inner = token.text.strip_prefix('}').filter(|_| token.text.len() > 1)?;
        let literal = plain(inner.get(..inner.len() - 1)?, self.is_raw(token));
        let text = match token.kind {
            Kind::Separator => format!("}}, {literal}{lines}, {{{VARIABLE} | {VARIABLE} := "),
            Kind::Close => format!("}}, {literal}{lines}])"),
            _ => return None,
        };
        Some(Edit { start: token.start, end: token.end(), text })
    }

    /// Whether the template that a token continues is a raw one.
    fn is_raw(&self, token: &Token<'_>) -> bool {
        let index = self.tokens.partition_point(|other| other.start < token.start);
        let mut depth = 0_usize;
        for before in self.tokens.get(..index).unwrap_or_default().iter().rev() {
            match before.kind {
                Kind::Close => depth += 1,
                Kind::Open if depth > 0 => depth -= 1,
                Kind::Open => return before.text.starts_with("$`"),
                _ => {}
            }
        }
        false
    }
}

/// The function that joins the parts of a template, and the variable of its expressions.
const TEMPLATE: &str = "internal.template_string";
const VARIABLE: &str = "__cms_part";

/// The literal text of a template as a string of Rego.
fn plain(text: &str, is_raw: bool) -> String {
    if is_raw {
        return serde_json::Value::from(text.replace("\\{", "{")).to_string();
    }
    let mut plain = String::from("\"");
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            ('\\', Some('{')) => plain.push('{'),
            ('\\', Some(escaped)) => plain.extend(['\\', escaped]),
            (other, _) => plain.push(other),
        }
    }
    plain.push('"');
    plain
}

fn apply(text: &str, edits: Vec<Edit>, functions: BTreeSet<String>) -> Translation {
    let mut translation = Translation { functions, ..Translation::default() };
    let mut copied = 0;
    let mut add = |text: &str, original: usize, is_copy: bool| {
        translation.parts.push(Part { start: translation.text.len(), original, is_copy });
        translation.text.push_str(text);
    };
    for edit in edits {
        let (Some(before), Some(replaced)) = (text.get(copied..edit.start), text.get(edit.start..edit.end))
        else {
            continue;
        };
        add(before, copied, true);
        add(&edit.text, edit.start, false);
        let lines = replaced.matches('\n').count().saturating_sub(edit.text.matches('\n').count());
        add(&"\n".repeat(lines), edit.start, false);
        copied = edit.end;
    }
    add(text.get(copied..).unwrap_or_default(), copied, true);
    translation
}

/// The end of the call whose bracket `tokens` begin with.
fn call_end(tokens: &[Token<'_>]) -> Option<usize> {
    tokens.first().filter(|first| first.is("(") && first.touches)?;
    let mut depth = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(token.end());
        }
    }
    None
}
