// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Paths into the document that policies and data form together.

use std::fmt;

/// A path below `data`, taken apart. The empty path is the whole document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueryPath(Vec<String>);

/// The text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a path: {reason}")]
pub struct InvalidPath {
    text: String,
    reason: &'static str,
}

const MAX_SEGMENTS: usize = 64;
const MAX_BYTES: usize = 2_048;

impl QueryPath {
    /// Reads `rag/authz/allow`, `data.rag.authz.allow`, `rag.authz.allow`, or nothing for all.
    ///
    /// A text with a slash is split at slashes alone, so a segment may hold dots. Without one, it
    /// is a Rego reference: names joined by dots, others quoted as in `data.rag["v1.0"].allow`.
    ///
    /// # Errors
    /// When a part is empty, a quote stays open, a control character occurs, or it is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let refuse = |reason| InvalidPath { text: shown(text), reason };
        if text.len() > MAX_BYTES {
            return Err(refuse("it is longer than 2048 bytes"));
        }
        let path = text.strip_prefix('/').unwrap_or(text);
        if path.contains('/') {
            return Self::from_segments(path.split('/'));
        }
        let mut parts = split_reference(path).ok_or_else(|| refuse("write `rag/authz/allow`"))?;
        if parts.first().is_some_and(|first| first == "data") {
            parts.remove(0);
        }
        Self::from_segments(parts)
    }

    /// Takes segments as they are.
    ///
    /// # Errors
    /// When a segment is empty or holds a control character, or there are too many.
    pub fn from_segments<S: Into<String>>(
        segments: impl IntoIterator<Item = S>,
    ) -> Result<Self, InvalidPath> {
        let segments: Vec<String> = segments.into_iter().map(Into::into).collect();
        let reason = if segments.len() > MAX_SEGMENTS {
            "it has more than 64 parts"
        } else if segments.iter().any(String::is_empty) {
            "a part is empty"
        } else if segments.iter().any(|segment| segment.chars().any(char::is_control)) {
            "it holds a control character"
        } else {
            return Ok(Self(segments));
        };
        Err(InvalidPath { text: shown(&segments.join("/")), reason })
    }

    /// The segments, without `data`.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for QueryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl std::str::FromStr for QueryPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        Self::parse(text)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

/// Takes a reference apart: names joined by dots, and quoted parts in brackets.
pub(super) fn split_reference(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('[') {
            let mut strings = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
            parts.push(strings.next()?.ok()?);
            rest = quoted.get(strings.byte_offset()..)?.strip_prefix(']')?;
        } else {
            let name = rest.strip_prefix('.').filter(|_| !parts.is_empty()).unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            parts.push(name.get(..end).filter(|part| !part.is_empty())?.to_owned());
            rest = name.get(end..)?;
            if rest == "." {
                return None;
            }
        }
    }
    Some(parts)
}

/// Writes a path as a reference, the way the compiler does.
pub(super) fn reference_of<'a>(path: impl Iterator<Item = &'a str>) -> String {
    let mut reference = "data".to_owned();
    for part in path {
        let is_name = part
            .chars()
            .enumerate()
            .all(|(index, c)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit()));
        if is_name {
            reference.push('.');
            reference.push_str(part);
        } else {
            reference.push_str(&format!("[{}]", serde_json::Value::from(part)));
        }
    }
    reference
}

/// A reference without `data`.
pub(super) fn below_data(reference: &str) -> Vec<String> {
    let mut parts = split_reference(reference).unwrap_or_default();
    if !parts.is_empty() {
        parts.remove(0);
    }
    parts
}
