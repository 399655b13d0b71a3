// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy text says at its top level: its package, its imports, and its rules with what
//! each of them mentions.

use std::collections::HashSet;

use super::lexer::{Kind, Token};

/// A definition of a rule or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Its path below the package: `allow`, or `users.admin`.
    pub(super) path: Vec<String>,
    pub(super) place: (u32, u32),
    pub(super) is_function: bool,
    pub(super) is_default: bool,
    /// Whether its path goes on with variables, and does more than name a key or an element of a set:
    /// `p[x][y]`, `p[x].y`, `p[x] contains y`.
    pub(super) is_nested: bool,
    pub(super) form: Form,
    pub(super) has_else: bool,
    /// Names that follow its path and become [variables](super::meeting).
    pub(super) spread: Vec<String>,
    pub(super) mentions: Vec<Mention>,
}

/// What a definition gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The value of the rule.
    Value,
    /// Values by keys: `p[x] := …`.
    Keyed,
    /// Elements of a set: `p contains x`.
    Elements,
}

/// A reference in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) place: (u32, u32),
    pub(super) is_call: bool,
    /// Whether it begins with a variable that the rule binds. A function may still be meant.
    pub(super) is_bound: bool,
}

/// What a text says at its top level.
#[derive(Debug, Clone, Default)]
pub(super) struct Outline {
    pub(super) package: Vec<String>,
    pub(super) package_place: (u32, u32),
    /// Each import's name in this text, and the path that it stands for.
    pub(super) imports: Vec<(String, Vec<String>)>,
    pub(super) heads: Vec<Head>,
}

impl Outline {
    /// Whether a negation holds where what it negates has undefined operands, too: that is what the import
    /// of `future.keywords.not` asks for.
    pub(super) fn negates_undefined(&self) -> bool {
        self.imports.iter().any(|(_, path)| *path == ["future", "keywords", "not"])
    }

    /// The rules whose names say that they are tests.
    pub(super) fn tests(&self) -> impl Iterator<Item = &Head> {
        self.heads.iter().filter(|head| head.is_test())
    }
}

impl Head {
    pub(super) fn is_test(&self) -> bool {
        let named = |name: &String| name.starts_with("test_") || name.starts_with("todo_test_");
        !self.is_function && self.path.last().is_some_and(named)
    }
}

/// Lists the package, the imports and all rules.
pub(super) fn read(tokens: &[Token<'_>]) -> Outline {
    let mut outline = Outline { package_place: (1, 1), ..Outline::default() };
    let starts = statements(tokens);
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    for (start, end) in starts.iter().zip(ends) {
        outline.note(tokens.get(*start..end).unwrap_or_default());
    }
    outline
}

/// Where the statements outside of all brackets begin.
pub(super) fn statements(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut depth = 0_usize;
    let mut previous: Option<&Token<'_>> = None;
    for (index, token) in tokens.iter().enumerate() {
        if depth == 0 && token.kind == Kind::Name && starts_statement(previous, token) {
            starts.push(index);
        }
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        previous = Some(token);
    }
    starts
}

impl Outline {
    /// Takes note of one statement.
    fn note(&mut self, tokens: &[Token<'_>]) {
        let Some((first, rest)) = tokens.split_first() else { return };
        match first.text {
            "package" => {
                self.package = reference(rest).0;
                self.package_place = rest.first().map_or(first.place, |name| name.place);
            }
            "import" => self.note_import(rest),
            "default" => self.note_head(rest, true),
            _ => self.note_head(tokens, false),
        }
    }

    fn note_import(&mut self, tokens: &[Token<'_>]) {
        let (path, length) = reference(tokens);
        let alias = match tokens.get(length..) {
            Some([word, name, ..]) if word.is("as") => Some(name.text.to_owned()),
            _ => path.last().cloned(),
        };
        self.imports.extend(alias.map(|alias| (alias, path)));
    }

    fn note_head(&mut self, tokens: &[Token<'_>], is_default: bool) {
        let (path, length) = reference(tokens);
        let Some(first) = tokens.first().filter(|_| !path.is_empty()) else { return };
        let rest = tokens.get(length..).unwrap_or_default();
        let is_function = rest.first().is_some_and(|next| next.is("("));
        self.heads.push(Head {
            path,
            place: first.place,
            is_function,
            is_default,
            is_nested: is_nested(rest),
            form: form(rest),
            has_else: rest.iter().any(|token| token.is("else")),
            spread: Vec::new(),
            mentions: mentions(rest, is_function),
        });
    }
}

/// What a definition gives, by what follows the constant part of its reference.
fn form(rest: &[Token<'_>]) -> Form {
    match rest.first() {
        Some(first) if first.is("[") && first.touches => Form::Keyed,
        Some(first) if first.is("contains") => Form::Elements,
        _ => Form::Value,
    }
}

/// Whether the reference of a head, after its constant part, has a variable and then goes on.
fn is_nested(rest: &[Token<'_>]) -> bool {
    if !rest.first().is_some_and(|open| open.is("[") && open.touches) {
        return false;
    }
    let mut depth = 0_usize;
    let end = rest.iter().position(|token| {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let next = end.and_then(|end| rest.get(end + 1));
    next.is_some_and(|next| (next.touches && (next.is("[") || next.kind == Kind::Dot)) || next.is("contains"))
}

/// The references in a rule, each once.
fn mentions(tokens: &[Token<'_>], is_function: bool) -> Vec<Mention> {
    let own = variables(tokens, is_function);
    let mut found: Vec<Mention> = Vec::new();
    let mut previous: Option<&Token<'_>> = None;
    for (index, token) in tokens.iter().enumerate() {
        if token.kind == Kind::Name && previous.is_none_or(|previous| previous.kind != Kind::Dot) {
            let (path, length) = reference(tokens.get(index..).unwrap_or_default());
            let is_call = tokens.get(index + length).is_some_and(|next| next.is("(") && next.touches);
            if !found.iter().any(|known| known.path == path && known.is_call == is_call) {
                found.push(Mention { path, place: token.place, is_call, is_bound: own.contains(token.text) });
            }
        }
        previous = Some(token);
    }
    found
}

/// The names that a rule certainly binds: its parameters, what `some` and `every` declare, and
/// what stands alone before `:=`.
fn variables<'a>(tokens: &[Token<'a>], is_function: bool) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    let mut declares = is_function;
    let mut previous: Option<&Token<'a>> = None;
    for token in tokens {
        match token.kind {
            Kind::Name if token.is("some") || token.is("every") => declares = true,
            Kind::Name if token.is("in") || token.is("if") => declares = false,
            Kind::Name if declares => drop(names.insert(token.text)),
            Kind::Operator if token.is(":=") => {
                names.extend(previous.filter(|name| name.kind == Kind::Name).map(|name| name.text));
                declares = false;
            }
            Kind::Operator | Kind::Open if token.is("=") || token.is("{") => declares = false,
            _ if token.leads => declares = false,
            _ => {}
        }
        previous = Some(token);
    }
    names
}

/// Whether `token` begins a statement: it leads its line, and neither it nor what stands before
/// it asks for the other.
pub(super) fn starts_statement(previous: Option<&Token<'_>>, token: &Token<'_>) -> bool {
    const OPEN_ENDED: &[&str] = &[
        "if", "contains", "in", "as", "with", "not", "some", "every", "else", "default", "import", "package",
    ];
    const CONTINUES: &[&str] = &["if", "contains", "in", "as", "with", "else"];
    let leads = token.leads && matches!(token.kind, Kind::Name | Kind::Text | Kind::Number | Kind::Open);
    leads
        && !CONTINUES.contains(&token.text)
        && previous.is_none_or(|previous| {
            matches!(previous.kind, Kind::Name | Kind::Text | Kind::Number | Kind::Close)
                && (previous.is_field || !OPEN_ENDED.contains(&previous.text))
        })
}

/// Reads a reference of names and constant strings: `a.b["c"]`. Gives its parts and how many
/// tokens they took.
pub(super) fn reference(tokens: &[Token<'_>]) -> (Vec<String>, usize) {
    let mut parts = Vec::new();
    let mut length = 0;
    if let Some(first) = tokens.first().filter(|first| first.kind == Kind::Name) {
        parts.push(first.text.to_owned());
        length = 1;
    }
    loop {
        match tokens.get(length..).unwrap_or_default() {
            [dot, name, ..] if dot.kind == Kind::Dot && name.kind == Kind::Name && length > 0 => {
                parts.push(name.text.to_owned());
                length += 2;
            }
            [open, text, close, ..]
                if open.is("[") && text.kind == Kind::Text && close.is("]") && length > 0 =>
            {
                parts.push(unquoted(text.text));
                length += 3;
            }
            _ => return (parts, length),
        }
    }
}

/// The content of a string token. An escape that JSON does not know leaves the text as it is.
fn unquoted(text: &str) -> String {
    if let Some(raw) = text.strip_prefix('`') {
        return raw.trim_end_matches('`').to_owned();
    }
    serde_json::from_str(text).unwrap_or_else(|_| text.trim_matches('"').to_owned())
}
