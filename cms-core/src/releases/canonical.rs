// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The form of JSON that OPA hashes for the signatures of bundles: no white space, the fields of objects
//! in the order of their names, strings as Go's encoder writes them, numbers as they were written
//! (<https://www.openpolicyagent.org/docs/management-bundles#signature-format>).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Writes a JSON text in that form.
///
/// # Errors
/// When the text is not JSON.
pub(crate) fn canonical(text: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    write(serde_json::from_slice(text)?, &mut out)?;
    Ok(out)
}

/// Recurses as deep as the text nests, which documents may do 64 levels.
fn write(value: &RawValue, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let text = value.get();
    match text.bytes().next() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push(b'{');
            for (at, (name, field)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(&name, out)?;
                out.push(b':');
                write(field, out)?;
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push(b'[');
            for (at, item) in items.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Some(b'"') => write_string(&serde_json::from_str::<String>(text)?, out)?,
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

/// Go escapes two separators beside what JSON demands.
fn write_string(text: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let written = serde_json::to_string(text)?;
    out.extend_from_slice(written.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8(canonical(text.as_bytes()).unwrap()).unwrap(), expected);
    }

    #[test]
    fn fields_are_sorted_and_white_space_is_gone() {
        check(
            " { \"b\" : [ 1 , { \"z\":null, \"a\" : true } ] , \"a\" : { } }\n",
            r#"{"a":{},"b":[1,{"a":true,"z":null}]}"#,
        );
        check(r#"{"ä":1,"z":2,"Z":3}"#, r#"{"Z":3,"z":2,"ä":1}"#);
        check("[]", "[]");
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        check("[1.0, 1e5, -0, 12345678901234567890123, 0.10]", "[1.0,1e5,-0,12345678901234567890123,0.10]");
    }

    #[test]
    fn strings_are_written_as_go_writes_them() {
        check(r#""<a>&\u00e4\/\u0001\b\f\n\u2028""#, "\"<a>&ä/\\u0001\\b\\f\\n\\u2028\"");
    }
}
