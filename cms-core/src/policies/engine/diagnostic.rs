// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong with a policy and where, and the one place that reads it out of the compiler's text.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::words;

/// The stable codes of [`Diagnostic::code`]. Those that OPA knows bear OPA's names.
pub mod code {
    /// The text is not Rego.
    pub const PARSE: &str = "rego_parse_error";
    /// The text is Rego, but cannot be compiled.
    pub const COMPILE: &str = "rego_compile_error";
    /// A variable is used that nothing binds.
    pub const UNSAFE_VAR: &str = "rego_unsafe_var_error";
    /// A rule depends on itself.
    pub const RECURSION: &str = "rego_recursion_error";
    /// A function is unknown, or called with the wrong number of arguments.
    pub const TYPE: &str = "rego_type_error";
    /// A built-in function that reaches outside the engine.
    pub const UNSAFE_BUILTIN: &str = "rego_unsafe_builtin";
    /// The package belongs to the platform.
    pub const RESERVED_PACKAGE: &str = "rego_reserved_package";
    /// The text is larger, deeper or longer than its limit.
    pub const LIMIT: &str = "rego_limit_error";
    /// A document stands where a rule or another document stands.
    pub const CONFLICT: &str = "rego_data_conflict";
    /// The data is not JSON.
    pub const DATA: &str = "json_parse_error";
    /// A defect of the engine.
    pub const INTERNAL: &str = "rego_internal_error";

    /// All of them.
    pub(super) const ALL: &[&str] = &[
        PARSE,
        COMPILE,
        UNSAFE_VAR,
        RECURSION,
        TYPE,
        UNSAFE_BUILTIN,
        RESERVED_PACKAGE,
        LIMIT,
        CONFLICT,
        DATA,
        INTERNAL,
    ];
}

/// One fault of a document, at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The name of the document.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// One of the words in [`code`].
    pub code: &'static str,
}

/// A diagnostic as another process writes it.
#[derive(Deserialize)]
struct Written {
    file: String,
    line: u32,
    column: u32,
    message: String,
    code: String,
}

impl<'de> Deserialize<'de> for Diagnostic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { file, line, column, message, code } = Written::deserialize(deserializer)?;
        let known = code::ALL.iter().find(|known| **known == code);
        let unknown = || D::Error::custom(format!("`{code}` is no code of a diagnostic"));
        Ok(Self { file, line, column, message, code: known.ok_or_else(unknown)? })
    }
}

impl Diagnostic {
    /// Builds a diagnostic.
    pub fn new(
        file: &str,
        (line, column): (u32, u32),
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { file: file.to_owned(), line, column, message: words::text(message.into()), code }
    }

    /// Reads an error text of the Rego compiler, which has the form
    /// `--> file:line:column`, the source line, and `error: message`.
    pub(super) fn from_compiler(text: &str, fallback_file: &str, fallback_code: &'static str) -> Self {
        let (file, place) = location(text).unwrap_or((fallback_file, (1, 1)));
        let message = message(text);
        // The compiler says no more about statements that it cannot bring into an order.
        if message.ends_with("compilation error:") {
            return Self::new(file, place, code::UNSAFE_VAR, UNORDERED);
        }
        Self::new(file, place, classify(&message, fallback_code), message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.file, self.line, self.column, self.code, self.message)
    }
}

/// Finds the first `--> file:line:column`.
fn location(text: &str) -> Option<(&str, (u32, u32))> {
    let rest = text.lines().find_map(|line| line.strip_prefix("--> "))?;
    let (rest, column) = rest.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some((file, (line.parse().ok()?, column.parse().ok()?)))
}

/// Cuts the message out: what follows `error:`, up to the next place, in the form of our own texts.
fn message(text: &str) -> String {
    let body = text.split_once("\nerror: ").map_or(text, |(_, message)| message);
    let body = body.split("\n--> ").next().unwrap_or(body);
    let joined = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let trimmed = joined.trim_end_matches('.').replace('\'', "`");
    match trimmed.split_once(' ') {
        // A leading capital is the compiler's habit; a single capital letter is a name.
        Some((word, rest)) if word.len() > 1 && word.chars().skip(1).all(char::is_lowercase) => {
            format!("{} {rest}", word.to_lowercase())
        }
        _ => trimmed,
    }
}

/// What is wrong with statements that the compiler cannot bring into an order.
pub(super) const UNORDERED: &str =
    "a variable has no value where it is needed; write the statement that gives it one before";

fn classify(message: &str, fallback: &'static str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("is unsafe", code::UNSAFE_VAR),
        ("undefined variable", code::UNSAFE_VAR),
        ("recursion", code::RECURSION),
        ("unknown function", code::TYPE),
        ("could not find function", code::TYPE),
        ("multiple types", code::TYPE),
        ("previously defined with", code::TYPE),
        ("cannot be shadowed", code::COMPILE),
        ("exceeds", code::LIMIT),
        ("register overflow", code::LIMIT),
    ];
    KINDS.iter().find(|(part, _)| message.contains(part)).map_or(fallback, |(_, code)| code)
}
