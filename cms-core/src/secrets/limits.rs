// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a secret may be, in numbers, and the errors that name them.

use std::collections::BTreeMap;

use super::data::SecretData;
use crate::error::{Error, ErrorKind, Place, Result};

/// The largest secret: all fields of a version together, as JSON, in bytes.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// How many fields a secret has at most.
pub const MAX_FIELDS: usize = 100;
/// The longest name of a field, in bytes.
pub const MAX_FIELD_NAME_BYTES: usize = 128;
/// How deep a value may be nested.
pub const MAX_DEPTH: usize = 32;
/// How many entries the metadata of a secret has at most.
pub const MAX_METADATA: usize = 64;
/// The longest key of the metadata, in bytes.
pub const MAX_METADATA_KEY_BYTES: usize = 128;
/// The longest value of the metadata, in bytes.
pub const MAX_METADATA_VALUE_BYTES: usize = 1024;
/// The longest message of a version and the longest reason of a reveal, in characters.
pub const MAX_TEXT_CHARS: usize = 1000;
/// How many versions of a secret are kept; writing one more removes the oldest for good.
pub const MAX_KEPT_VERSIONS: usize = 50;
/// How many secrets a project holds at most.
pub const MAX_SECRETS: u64 = 10_000;

/// Checks the fields of a new version.
pub(super) fn check_data(data: &SecretData) -> Result<()> {
    let size = data.expose().len();
    if size > MAX_SECRET_BYTES {
        return Err(Error::too_large(format!(
            "a secret holds at most {MAX_SECRET_BYTES} bytes, this one has {size}"
        )));
    }
    let fields = data.fields()?;
    if fields.is_empty() {
        return Err(invalid("no_fields", "/data", "a secret needs at least one field"));
    }
    if fields.len() > MAX_FIELDS {
        let text = format!("a secret has at most {MAX_FIELDS} fields, this one has {}", fields.len());
        return Err(invalid("too_many_fields", "/data", text));
    }
    for (name, value) in &fields {
        if name.is_empty() || name.len() > MAX_FIELD_NAME_BYTES || name.chars().any(char::is_control) {
            let text = format!(
                "the name of a field is 1 to {MAX_FIELD_NAME_BYTES} bytes without control characters"
            );
            return Err(invalid("invalid_field_name", "/data", text));
        }
        if depth(value.get()) > MAX_DEPTH {
            let text = format!("a value is nested at most {MAX_DEPTH} levels deep");
            return Err(invalid("nested_too_deep", &format!("/data/{}", pointer(name)), text));
        }
    }
    Ok(())
}

/// Checks the metadata of a secret.
pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<()> {
    if metadata.len() > MAX_METADATA {
        let text =
            format!("the metadata has at most {MAX_METADATA} entries, this one has {}", metadata.len());
        return Err(invalid("too_much_metadata", "/metadata", text));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > MAX_METADATA_KEY_BYTES || key.chars().any(char::is_control) {
            let text = format!(
                "a key of the metadata is 1 to {MAX_METADATA_KEY_BYTES} bytes without control characters"
            );
            return Err(invalid("invalid_metadata", "/metadata", text));
        }
        if value.len() > MAX_METADATA_VALUE_BYTES {
            let text = format!("a value of the metadata has at most {MAX_METADATA_VALUE_BYTES} bytes");
            return Err(invalid("invalid_metadata", &format!("/metadata/{}", pointer(key)), text));
        }
    }
    Ok(())
}

/// Checks a message or a reason.
pub(super) fn check_text(field: &str, text: Option<&str>) -> Result<()> {
    if text.is_some_and(|text| text.chars().count() > MAX_TEXT_CHARS) {
        let message = format!("`{field}` has at most {MAX_TEXT_CHARS} characters");
        return Err(invalid("text_too_long", &format!("/{field}"), message));
    }
    Ok(())
}

/// The error for one secret too many.
pub(super) fn too_many_secrets() -> Error {
    Error::new(ErrorKind::TooMany, "quota_exceeded", format!("a project holds at most {MAX_SECRETS} secrets"))
}

/// Input that is understood but not valid, with its place.
pub(super) fn invalid(code: &'static str, path: &str, message: impl Into<String>) -> Error {
    let message = message.into();
    let place = Place { path: Some(path.to_owned()), message: message.clone(), ..Place::default() };
    Error::unprocessable(code, message).with_places(vec![place])
}

/// A name as a part of a JSON Pointer.
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// How deep a JSON text is nested; it is known to be valid.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensitive::Sensitive;

    fn check(text: &str) -> Result<()> {
        check_data(&SecretData::parse(Sensitive::new(text.to_owned()))?)
    }

    #[test]
    fn every_limit_is_named_and_holds() {
        assert!(check(r#"{"a":"b"}"#).is_ok());
        assert_eq!(check("{}").unwrap_err().code(), "no_fields");
        assert_eq!(check(r#"{"":1}"#).unwrap_err().code(), "invalid_field_name");
        assert_eq!(check(r#"{"a\u0000":1}"#).unwrap_err().code(), "invalid_field_name");
        let nested = |levels: usize| format!("{{\"a/b\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(check(&nested(MAX_DEPTH)).is_ok());
        let error = check(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(
            (error.code(), error.places()[0].path.as_deref()),
            ("nested_too_deep", Some("/data/a~1b"))
        );
        assert!(check(&nested(20_000)).is_err());
        let many = |count| {
            let fields: Vec<String> = (0..count).map(|n| format!("\"f{n}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert!(check(&many(MAX_FIELDS)).is_ok());
        assert!(check(&many(MAX_FIELDS + 1)).unwrap_err().message().contains("100"));
        let long = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert!(check(&long(MAX_SECRET_BYTES)).is_ok());
        assert_eq!(check(&long(MAX_SECRET_BYTES + 1)).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn brackets_in_strings_are_no_nesting() {
        assert_eq!(depth(r#""[[[\"[[""#), 0);
        assert_eq!(depth(r#"{"a":["\\",{}]}"#), 3);
    }

    #[test]
    fn metadata_and_texts_have_limits() {
        let entry = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(check_metadata(&entry("owner", "rag team")).is_ok());
        for bad in
            [entry("", "x"), entry("a\n", "x"), entry(&"k".repeat(129), "x"), entry("k", &"v".repeat(1025))]
        {
            assert_eq!(check_metadata(&bad).unwrap_err().code(), "invalid_metadata");
        }
        let many: BTreeMap<_, _> = (0..65).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(check_metadata(&many).unwrap_err().code(), "too_much_metadata");
        assert!(check_text("reason", Some(&"ä".repeat(1000))).is_ok());
        assert!(check_text("reason", Some(&"ä".repeat(1001))).is_err());
    }
}
