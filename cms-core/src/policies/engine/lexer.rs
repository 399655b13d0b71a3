// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rego's tokens, with their places: enough to bound and list a text before the compiler sees it.
//!
//! The lexer never fails. What is not a token it knows becomes [`Kind::Other`], and the compiler,
//! which reads the text afterwards, says what is wrong with it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Name,
    /// A string, quoted or raw, with its quotes.
    Text,
    /// A number.
    Number,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// An operator, as long as it can be: `:=`, `==`, `|`.
    Operator,
    /// `.`
    Dot,
    /// `,` or `;`
    Separator,
    /// Anything else.
    Other,
}

/// A token and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The offset of its first byte.
    pub(super) start: usize,
    /// Line and column, from 1, in characters.
    pub(super) place: (u32, u32),
    /// Whether it is the first token of its line.
    pub(super) leads: bool,
    /// Whether it follows the token before it without white space.
    pub(super) touches: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Iterates over the tokens of a text; comments are left out.
pub(super) struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    column: u32,
    leads: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1, column: 1, leads: true }
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
        let (kind, length) = measure(rest)?;
        let token = Token {
            kind,
            text: rest.get(..length)?,
            start: self.offset,
            place: (self.line, self.column),
            leads: self.leads,
            touches,
        };
        self.leads = false;
        self.advance(length);
        self.leads = false;
        Some(token)
    }
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
