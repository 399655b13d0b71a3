// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns the compiler's places into true ones: places in the texts as they were written.
//!
//! The compiler counts a tab as four columns and a quoted string by its bytes, and places a call
//! at its bracket. People and editors count characters, and look for the function's name. And it sees
//! what the front-end has made of a text.

use std::collections::{BTreeSet, HashMap};

use super::diagnostic::Diagnostic;
use super::frontend::Translation;
use super::lexer::{Kind, Lexer};

/// The texts that the compiler read, by file, with those that they were made from.
#[derive(Debug, Default)]
pub(super) struct Places {
    texts: HashMap<String, (String, Translation)>,
    functions: BTreeSet<String>,
}

impl Places {
    pub(super) fn insert(&mut self, file: &str, original: &str, translation: Translation) {
        self.functions.extend(translation.functions.iter().cloned());
        self.texts.insert(file.to_owned(), (original.to_owned(), translation));
    }

    /// Adds functions that the texts do not call.
    pub(super) fn add_functions(&mut self, functions: impl Iterator<Item = &'static str>) {
        self.functions.extend(functions.map(str::to_owned));
    }

    /// What the compiler reads.
    pub(super) fn text(&self, file: &str) -> Option<&str> {
        self.texts.get(file).map(|(_, translation)| translation.text.as_str())
    }

    /// A text as it was written, and its translation.
    pub(super) fn of(&self, file: &str) -> Option<(&str, &Translation)> {
        self.texts.get(file).map(|(original, translation)| (original.as_str(), translation))
    }

    /// Lets the compiler read something else. Its places are then no longer true.
    pub(super) fn set_text(&mut self, file: &str, text: String) {
        if let Some((_, translation)) = self.texts.get_mut(file) {
            translation.text = text;
        }
    }

    /// The functions that the texts call through stubs.
    pub(super) fn functions(&self) -> &BTreeSet<String> {
        &self.functions
    }

    /// Corrects the place of a diagnostic that bears the compiler's.
    pub(super) fn settle(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        if let Some((line, column)) = self.place(&diagnostic.file, (diagnostic.line, diagnostic.column)) {
            (diagnostic.line, diagnostic.column) = (line, column);
        }
        diagnostic
    }

    /// The true place of the compiler's place in a file.
    fn place(&self, file: &str, (line, column): (u32, u32)) -> Option<(u32, u32)> {
        let (original, translation) = self.texts.get(file)?;
        let number = usize::try_from(line).ok()?.checked_sub(1)?;
        let content = translation.text.lines().nth(number)?;
        let index = index_of(content, column);
        let index = if content.chars().nth(index) == Some('(') { call_start(content, index) } else { index };
        let line_start: usize = translation.text.split_inclusive('\n').take(number).map(str::len).sum();
        let in_line = content.char_indices().nth(index).map_or(content.len(), |(offset, _)| offset);
        place_of(original, translation.original(line_start + in_line))
    }
}

/// Line and column of an offset, from 1, in characters.
pub(super) fn place_of(text: &str, offset: usize) -> Option<(u32, u32)> {
    let before = text.get(..offset)?;
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count());
    Some((u32::try_from(line + 1).ok()?, u32::try_from(column + 1).ok()?))
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
