// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong with a template: where, and which variable is meant.

use std::error::Error as _;
use std::fmt;

use minijinja::{Error, ErrorKind};

use super::super::parse::end_of;
use super::guard::Guarded;

/// Why a template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The template document, where it is not the text that was asked about.
    pub(crate) template: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) message: String,
}

impl Fault {
    /// Something without a place.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self { template: None, line: None, column: None, message: message.into() }
    }

    /// Something at a byte of the source.
    pub(super) fn at(source: &str, byte: usize, message: impl Into<String>) -> Self {
        let (line, column) = source.get(..byte).map_or((1, 1), end_of);
        let number = |number: usize| u32::try_from(number).ok();
        Self { template: None, line: number(line), column: number(column), message: message.into() }
    }

    /// A value that the template needs and nobody gives.
    pub(super) fn undefined(expression: &str) -> Self {
        Self::plain(format!("`{}` is not defined", quoted(expression)))
    }

    /// What minijinja says of a text that it cannot read.
    pub(super) fn unread(error: &Error, source: &str) -> Self {
        let byte = error.range().map_or(0, |range| range.start);
        Self::at(source, byte, told(error, None))
    }

    /// What minijinja says of a template.
    pub(super) fn of(error: &Error, source: &str, guarded: &Guarded<'_>) -> Self {
        let range = error.range();
        let Some(range) = range else {
            return Self {
                line: error.line().and_then(|line| line.try_into().ok()),
                ..Self::plain(told(error, None))
            };
        };
        // The places of an expression are counted from its own beginning.
        let shift = guarded.expression_start().unwrap_or(0);
        let (from, to) = (guarded.origin(range.start + shift), guarded.origin(range.end + shift));
        Self::at(source, from, told(error, source.get(from..to)))
    }

    pub(super) fn in_template(self, name: &str) -> Self {
        Self { template: Some(name.to_owned()), ..self }
    }

    /// The same for minijinja, which asked for the template.
    pub(super) fn into_engine(self) -> Error {
        Error::new(ErrorKind::SyntaxError, self.message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(template) = &self.template {
            write!(f, " in the template `{template}`")?;
        }
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, " at line {line}, column {column}")?;
        }
        Ok(())
    }
}

/// The error that an include passed on.
pub(super) fn innermost(error: &Error) -> &Error {
    let mut found = error;
    while let Some(inner) = found.source().and_then(|source| source.downcast_ref::<Error>()) {
        found = inner;
    }
    found
}

/// What minijinja says, in a sentence; `at` is the text that it is about.
fn told(error: &Error, at: Option<&str>) -> String {
    let at = at.map(quoted).filter(|at| !at.is_empty());
    match (error.kind(), at, error.detail()) {
        (ErrorKind::UndefinedError, Some(at), _) => format!("`{at}` is not defined"),
        (ErrorKind::OutOfFuel, ..) => "it takes too many steps".to_owned(),
        (ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest, _, Some(detail)) => {
            format!("{detail}; it is not available here")
        }
        (_, _, Some(detail)) => detail.to_owned(),
        (kind, Some(at), None) => format!("{kind}: `{at}`"),
        (kind, None, None) => kind.to_string(),
    }
}

fn quoted(text: &str) -> String {
    text.trim().chars().take(80).collect()
}
