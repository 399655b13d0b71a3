// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns the compiler's columns into true ones.
//!
//! The compiler counts a tab as four columns and a quoted string by its bytes, and places a call
//! at its bracket. People and editors count characters, and look for the function's name.

use std::collections::HashMap;

use super::diagnostic::Diagnostic;
use super::lexer::{Kind, Lexer};

/// The texts that the compiler read, by file.
#[derive(Debug, Default)]
pub(super) struct Places {
    texts: HashMap<String, String>,
}

impl Places {
    pub(super) fn insert(&mut self, file: &str, text: String) {
        self.texts.insert(file.to_owned(), text);
    }

    pub(super) fn text(&self, file: &str) -> Option<&str> {
        self.texts.get(file).map(String::as_str)
    }

    /// Corrects the column of a diagnostic that bears the compiler's place.
    pub(super) fn settle(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        diagnostic.column = self.column(&diagnostic.file, (diagnostic.line, diagnostic.column));
        diagnostic
    }

    /// The true column of the compiler's place in a file.
    pub(super) fn column(&self, file: &str, (line, column): (u32, u32)) -> u32 {
        let Some(text) = self.texts.get(file) else { return column };
        let number = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(content) = text.lines().nth(number) else { return column };
        let index = index_of(content, column);
        let index = if content.chars().nth(index) == Some('(') { call_start(content, index) } else { index };
        u32::try_from(index).map_or(column, |index| index.saturating_add(1))
    }
}

/// The index of the character that the compiler counts as `column`.
fn index_of(line: &str, column: u32) -> usize {
    let strings: Vec<(usize, usize)> = Lexer::new(line)
        .filter(|token| token.kind == Kind::Text && token.text.starts_with('"'))
        .map(|token| (token.start, token.end()))
        .collect();
    let mut counted = 1_usize;
    let wanted = usize::try_from(column).unwrap_or(usize::MAX);
    for (index, (offset, character)) in line.char_indices().enumerate() {
        if counted >= wanted {
            return index;
        }
        let quoted = strings.iter().any(|(start, end)| (*start..*end).contains(&offset));
        counted += match character {
            c if quoted => c.len_utf8(),
            '\t' => 4,
            _ => 1,
        };
    }
    line.chars().count()
}

/// The index where the name of a called function begins, given the index of its bracket.
fn call_start(line: &str, bracket: usize) -> usize {
    let before: Vec<char> = line.chars().take(bracket).collect();
    let name = before.iter().rev().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).count();
    bracket - name
}
