// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Queries that only look a document up, as most do: these need no interpreter.

use super::path::{QueryPath, split_reference};

/// A query that asks for one document, and the variable that it binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookUp {
    /// Which document.
    pub path: QueryPath,
    /// The variable; without one, the query asks whether the document is something but `false`.
    pub variable: Option<String>,
}

/// Words that are no variables.
const WORDS: [&str; 10] = ["data", "input", "true", "false", "null", "not", "some", "every", "set", "_"];

impl LookUp {
    /// Reads `data.rag.allow`, `x := data.rag.allow`, or the two sides of `=` in either order. What is
    /// anything else is a query for the interpreter.
    pub fn read(query: &str) -> Option<Self> {
        let query = query.trim();
        let (reference, variable) = match query.split_once(":=").or_else(|| query.split_once('=')) {
            None => (query, None),
            Some((left, right)) => {
                let (left, right) = (left.trim(), right.trim());
                let assigned = query.contains(":=");
                let (reference, variable) = if is_variable(left) {
                    (right, left)
                } else if assigned {
                    return None;
                } else {
                    (left, right)
                };
                (reference, Some(is_variable(variable).then(|| variable.to_owned())?))
            }
        };
        let mut parts = split_reference(reference)?;
        let is_reference = parts.first().is_some_and(|first| first == "data")
            && reference.chars().all(|c| !c.is_whitespace() && !"()+-*/%|&<>!;{},:#`".contains(c));
        if !is_reference {
            return None;
        }
        parts.remove(0);
        Some(Self { path: QueryPath::from_segments(parts).ok()?, variable })
    }
}

fn is_variable(text: &str) -> bool {
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    text.chars().all(plain) && text.starts_with(|c: char| !c.is_ascii_digit()) && !WORDS.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<(String, Option<String>)> {
        LookUp::read(query).map(|found| (found.path.to_string(), found.variable))
    }

    #[test]
    fn look_ups_are_told_from_other_queries() {
        let bound = |path: &str| Some((path.to_owned(), Some("x".to_owned())));
        for query in ["data.a.b = x", "x = data.a.b", "x := data.a.b", "x=data.a[\"b\"]", " data.a.b=x "] {
            assert_eq!(read(query), bound("a/b"), "{query}");
        }
        assert_eq!(read("data.a.b"), Some(("a/b".to_owned(), None)));
        assert_eq!(read("data = x"), bound(""));
        for other in [
            "",
            "x",
            "data.a.b == x",
            "data.a[i] = x",
            "data.a.b := x",
            "data.a.b = 1",
            "data.a.b = true",
            "input.a = x",
            "data.a.f(1) = x",
            "data.a = x; data.b = y",
            "data.a + 1",
            "data.a = data.b",
            "not data.a",
            "data.a with input as 1",
            "x := data.a with input as {}",
            "data.a = x # why",
            "data.a != x",
            "data.a <= x",
            "1x = data.a",
            "data.a = _",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
