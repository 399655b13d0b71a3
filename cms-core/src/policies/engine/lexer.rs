// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rego's tokens, with their places: enough to bound and list a text before the compiler sees it.
//!
//! The lexer never fails. What is not a token it knows becomes [`Kind::Other`], and the compiler,
//! which reads the text afterwards, says what is wrong with it.

use super::words;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Name,
    /// A string, quoted or raw, with its quotes; or a template without expressions: `$"a"`.
    Text,
    /// A number.
    Number,
    /// `(`, `[` or `{`; of a template, everything before its first expression: `$"a {`.
    Open,
    /// `)`, `]` or `}`; of a template, everything after its last expression: `} z"`.
    Close,
    /// An operator, as long as it can be: `:=`, `==`, `|`.
    Operator,
    /// `.`
    Dot,
    /// `,` or `;`; of a template, everything between two expressions: `} and {`.
    Separator,
    /// Anything else.
    Other,
}

/// A token and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it is written; a keyword that begins a reference (`if.x`) has a [name](words) instead.
    pub(super) text: &'a str,
    /// The offset of its first byte.
    pub(super) start: usize,
    /// How many bytes it takes.
    length: usize,
    /// Line and column, from 1, in characters.
    pub(super) place: (u32, u32),
    /// Whether it is the first token of its line.
    pub(super) leads: bool,
    /// Whether it follows the token before it without white space.
    pub(super) touches: bool,
    /// Whether it follows a dot: then it is a part of a reference, even if it reads like a keyword.
    pub(super) is_field: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text && !self.is_field
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.length
    }

    /// Whether it is a keyword that is used as a name.
    pub(super) fn is_renamed(&self) -> bool {
        self.text.len() != self.length
    }

    /// Its text as it is written.
    pub(super) fn written(&self) -> &str {
        words::written(self.text)
    }
}

/// Iterates over the tokens of a text; comments are left out.
pub(super) struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    column: u32,
    leads: bool,
    follows_dot: bool,
    /// The templates that the lexer is inside of, from the outermost.
    templates: Vec<Template>,
}

/// A template whose expression is being read.
struct Template {
    quote: char,
    /// The braces that are open in the expression.
    braces: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (offset, line, column) = (0, 1, 1);
        Self { text, offset, line, column, leads: true, follows_dot: false, templates: Vec::new() }
    }

    /// The text of a token: a keyword before a dot and a name is a name itself.
    fn named(&self, rest: &'a str, kind: Kind, length: usize) -> Option<&'a str> {
        let text = rest.get(..length)?;
        let goes_on = |next: &str| next.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let begins = kind == Kind::Name
            && !self.follows_dot
            && rest.get(length..).and_then(|rest| rest.strip_prefix('.')).is_some_and(goes_on);
        Some(words::name(text).filter(|_| begins).unwrap_or(text))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    /// Steps over `length` bytes and keeps count of lines and columns.
    fn advance(&mut self, length: usize) {
        for character in self.rest().get(..length).unwrap_or_default().chars() {
            if character == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
                self.leads = true;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        self.offset += length;
    }

    /// Steps over white space and comments; says whether there were any.
    fn skip(&mut self) -> bool {
        let from = self.offset;
        loop {
            let rest = self.rest();
            let length = match rest.chars().next() {
                Some('#') => rest.find('\n').unwrap_or(rest.len()),
                Some(c) if c.is_whitespace() => c.len_utf8(),
                _ => return self.offset > from,
            };
            self.advance(length);
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let touches = !self.skip();
        let rest = self.rest();
        let (kind, length) = self.template(rest).or_else(|| measure(rest))?;
        let token = Token {
            kind,
            text: self.named(rest, kind, length)?,
            start: self.offset,
            length,
            place: (self.line, self.column),
            leads: self.leads,
            touches,
            is_field: self.follows_dot,
        };
        self.follows_dot = kind == Kind::Dot;
        self.leads = false;
        self.advance(length);
        self.leads = false;
        Some(token)
    }
}

impl Lexer<'_> {
    /// The part of a template at the beginning of `rest`, if there is one.
    fn template(&mut self, rest: &str) -> Option<(Kind, usize)> {
        if let Some(quote) =
            rest.strip_prefix('$').and_then(|rest| rest.chars().next()).filter(|c| is_quote(*c))
        {
            let (length, opens) = literal(rest, 2, quote);
            if opens {
                self.templates.push(Template { quote, braces: 0 });
            }
            return Some((if opens { Kind::Open } else { Kind::Text }, length));
        }
        let inside = self.templates.last_mut()?;
        match rest.chars().next()? {
            '{' => inside.braces += 1,
            '}' if inside.braces > 0 => inside.braces -= 1,
            '}' => {
                let (length, opens) = literal(rest, 1, inside.quote);
                if !opens {
                    self.templates.pop();
                }
                return Some((if opens { Kind::Separator } else { Kind::Close }, length));
            }
            _ => {}
        }
        None
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '`')
}

/// The length of a literal part of a template, which begins at `from` and ends with the brace of an
/// expression or the template's quote; and whether an expression follows.
fn literal(rest: &str, from: usize, quote: char) -> (usize, bool) {
    let mut escaped = false;
    for (index, character) in rest.char_indices().filter(|(index, _)| *index >= from) {
        match character {
            '\n' if quote == '"' => return (index, false),
            _ if escaped => escaped = false,
            '\\' if quote == '"' || rest.get(index + 1..).is_some_and(|next| next.starts_with('{')) => {
                escaped = true;
            }
            '{' => return (index + 1, true),
            c if c == quote => return (index + 1, false),
            _ => {}
        }
    }
    (rest.len(), false)
}

/// The kind and the length of the token at the beginning of `rest`.
fn measure(rest: &str) -> Option<(Kind, usize)> {
    let first = rest.chars().next()?;
    let run = |accept: fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
    Some(match first {
        '"' => (Kind::Text, quoted(rest)),
        '`' => (Kind::Text, rest.get(1..)?.find('`').map_or(rest.len(), |end| end + 2)),
        '(' | '[' | '{' => (Kind::Open, 1),
        ')' | ']' | '}' => (Kind::Close, 1),
        ',' | ';' => (Kind::Separator, 1),
        '.' => (Kind::Dot, 1),
        c if c.is_ascii_digit() => (Kind::Number, run(|c| c.is_ascii_alphanumeric() || c == '.')),
        c if c.is_alphabetic() || c == '_' => (Kind::Name, run(|c| c.is_alphanumeric() || c == '_')),
        ':' | '=' | '!' | '<' | '>' => (Kind::Operator, if rest.get(1..2) == Some("=") { 2 } else { 1 }),
        '+' | '-' | '*' | '/' | '%' | '&' | '|' => (Kind::Operator, 1),
        c => (Kind::Other, c.len_utf8()),
    })
}

/// The length of a quoted string, which ends at its quote or at the end of its line.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (index, character) in rest.char_indices().skip(1) {
        match character {
            '\n' => return index,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}
