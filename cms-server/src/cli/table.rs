// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns JSON into the tables that people read. Knows nothing of terminals: it makes strings.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

/// A column or a field: its heading and the key that it is read from, with parts joined by
/// `/` and alternatives by `|`.
pub(crate) type Column = (&'static str, &'static str);

/// Renders one line per item under a heading.
pub(crate) fn rows(items: &[Value], columns: &[(&str, &str)]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(columns.iter().map(|(_, key)| cell(lookup(item, key))));
    }
    trimmed(&table)
}

/// Renders one line per field of a single object; absent and empty fields are left out.
pub(crate) fn fields(value: &Value, columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (heading, key) in columns {
        let found = lookup(value, key);
        let is_empty = found.is_null() || found.as_object().is_some_and(serde_json::Map::is_empty);
        if !is_empty {
            table.add_row([(*heading).to_owned(), cell(found)]);
        }
    }
    trimmed(&table)
}

/// Replaces control characters, so that no text from a server can drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect()
}

// Bidirectional overrides can make a line read differently from what it says.
fn is_harmless(c: char) -> bool {
    let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c == '\n' || c == '\t' || !(c.is_control() || reorders)
}

/// Finds the value of a column.
pub(crate) fn lookup<'a>(value: &'a Value, key: &str) -> &'a Value {
    let at = |path: &str| path.split('/').try_fold(value, |inner, part| inner.get(part));
    key.split('|').find_map(at).unwrap_or(&Value::Null)
}

/// Renders one value on one line.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text).replace(['\n', '\t'], " "),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn trimmed(table: &Table) -> String {
    let lines =
        table.lines().map(|line| line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()).to_owned());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_align_under_their_headings() {
        let items = [json!({"name": "rag/authz", "version": 3}), json!({"name": "a", "who": {"id": "bob"}})];
        let text = rows(&items, &[("NAME", "name"), ("VERSION", "version"), ("BY", "who/id")]);
        assert_eq!(text, "NAME       VERSION  BY\nrag/authz  3        -\na          -        bob");
    }

    #[test]
    fn an_empty_list_still_has_its_heading() {
        assert_eq!(rows(&[], &[("NAME", "name")]), "NAME");
    }

    #[test]
    fn fields_leave_out_what_is_absent() {
        let text = fields(
            &json!({"id": "k1", "scopes": ["decide", "policy:read"]}),
            &[("id", "id"), ("expires", "expires_at"), ("scopes", "scopes")],
        );
        assert_eq!(text, "id      k1\nscopes  decide, policy:read");
    }

    #[test]
    fn control_characters_never_pass() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(rows(&[json!({"n": "x\ny"})], &[("N", "n")]), "N\nx y");
    }
}
