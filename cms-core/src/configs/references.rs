// SPDX-License-Identifier: Apache-2.0 OR MIT
//! References in the strings of configs: `${{ secret:openai/api-key#value }}` and
//! `${{ config:retriever#top_k }}`. What looks otherwise is text, or a template's.

use serde_json::Value;

use crate::ids::Name;

/// How the beginning and the end of a reference look.
const OPEN: &str = "${{";
const CLOSE: &str = "}}";
/// The field of a secret that is meant when none is named.
const DEFAULT_FIELD: &str = "value";

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Reference {
    /// A field of a secret.
    Secret { path: Name, field: String },
    /// A part of another config; without one, all of it.
    Config { name: Name, part: Option<String> },
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret { path, field } => write!(f, "secret:{path}#{field}"),
            Self::Config { name, part: Some(part) } => write!(f, "config:{name}#{part}"),
            Self::Config { name, part: None } => write!(f, "config:{name}"),
        }
    }
}

/// A part of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    Text(&'t str),
    /// A reference, and how it is written.
    Reference(Reference, &'t str),
}

/// Takes a string apart.
///
/// # Errors
/// What is wrong with a reference.
pub(crate) fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    let mut searched = 0;
    while let Some(at) = rest.get(searched..).and_then(|unread| unread.find(OPEN)).map(|at| at + searched) {
        let inside = rest.get(at + OPEN.len()..).unwrap_or_default();
        let is_reference = ["secret:", "config:"].iter().any(|kind| inside.trim_start().starts_with(kind));
        if !is_reference {
            searched = at + OPEN.len();
            continue;
        }
        let Some(length) = inside.find(CLOSE) else {
            return Err(format!("the reference `{}` does not end with `}}}}`", shown(inside)));
        };
        let end = at + OPEN.len() + length + CLOSE.len();
        parts.push(Part::Text(rest.get(..at).unwrap_or_default()));
        let reference = read(inside.get(..length).unwrap_or_default().trim())?;
        parts.push(Part::Reference(reference, rest.get(at..end).unwrap_or_default()));
        rest = rest.get(end..).unwrap_or_default();
        searched = 0;
    }
    parts.push(Part::Text(rest));
    parts.retain(|part| *part != Part::Text(""));
    Ok(parts)
}

/// Whether a string may hold a reference.
pub(crate) fn may_refer(text: &str) -> bool {
    text.contains(OPEN)
}

/// The same string for the template engine, which is to leave references alone.
pub(crate) fn for_template(parts: &[Part<'_>]) -> String {
    let written = |part: &Part<'_>| match part {
        Part::Text(text) => (*text).to_owned(),
        Part::Reference(_, text) => format!("{{% raw %}}{text}{{% endraw %}}"),
    };
    parts.iter().map(written).collect()
}

fn read(text: &str) -> Result<Reference, String> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let (name, part) = match rest.split_once('#') {
        Some((name, part)) => (name.trim(), Some(part.trim())),
        None => (rest.trim(), None),
    };
    let name = Name::parse(name).map_err(|error| format!("in the reference `{}`: {error}", shown(text)))?;
    if part.is_some_and(str::is_empty) {
        return Err(format!("the reference `{}` names nothing behind `#`", shown(text)));
    }
    Ok(match kind {
        "secret" => Reference::Secret { path: name, field: part.unwrap_or(DEFAULT_FIELD).to_owned() },
        _ => Reference::Config { name, part: part.map(str::to_owned) },
    })
}

/// Finds a part of a config: by JSON Pointer, or by keys joined with dots.
pub(crate) fn part_of<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    if part.starts_with('/') {
        return value.pointer(part);
    }
    part.split('.').try_fold(value, |value, key| match value {
        Value::Object(object) => object.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn shown(text: &str) -> String {
    text.trim().chars().take(80).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn references_are_told_from_text_and_templates() {
        let secret = Reference::Secret { path: name("openai/api-key"), field: "value".into() };
        let config = Reference::Config { name: name("retriever"), part: Some("top_k".into()) };
        assert_eq!(
            parts("Bearer ${{ secret:openai/api-key }}!").unwrap(),
            vec![
                Part::Text("Bearer "),
                Part::Reference(secret.clone(), "${{ secret:openai/api-key }}"),
                Part::Text("!")
            ]
        );
        let both = "${{secret:openai/api-key#value}}${{ config:retriever#top_k }}";
        assert_eq!(
            parts(both).unwrap(),
            vec![
                Part::Reference(secret, "${{secret:openai/api-key#value}}"),
                Part::Reference(config, "${{ config:retriever#top_k }}")
            ]
        );
        for text in ["plain", "${{ price }} USD", "{{ env }}", "$ {{ secret:x }}"] {
            assert_eq!(parts(text).unwrap(), vec![Part::Text(text)]);
        }
    }

    #[test]
    fn broken_references_are_named() {
        for bad in
            ["${{ secret:a", "${{ secret: }}", "${{ secret:../x }}", "${{ config:a# }}", "${{ config:A B }}"]
        {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_are_found_by_pointer_and_by_dots() {
        let value = json!({"a": {"b": [1, {"c": 2}]}, "x.y": 3});
        assert_eq!(part_of(&value, "a.b.1.c"), Some(&json!(2)));
        assert_eq!(part_of(&value, "/a/b/0"), Some(&json!(1)));
        assert_eq!(part_of(&value, "/x.y"), Some(&json!(3)));
        assert_eq!((part_of(&value, "a.z"), part_of(&value, "a.b.9")), (None, None));
    }
}
