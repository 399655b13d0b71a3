// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a caller sees of a value that may not be revealed: enough to tell two keys apart, too little
//! to use one.

use std::collections::BTreeMap;

use super::data::SecretData;
use crate::error::Result;
use crate::sensitive::Sensitive;

/// What stands for hidden characters, however many they are.
const HIDDEN: &str = "••••";
/// From how many characters on the ends of a string are shown.
const SHOWN_FROM: usize = 16;

/// Masks every field.
pub(super) fn mask(data: &SecretData) -> Result<BTreeMap<String, String>> {
    Ok(data.fields()?.into_iter().map(|(name, value)| (name, mask_value(value.get()))).collect())
}

fn mask_value(json: &str) -> String {
    // Only strings show their ends; of numbers and nested values too much would be told.
    match serde_json::from_str::<String>(json).map(Sensitive::new) {
        Ok(text) => mask_text(text.expose()),
        Err(_) => HIDDEN.to_owned(),
    }
}

fn mask_text(text: &str) -> String {
    let count = text.chars().count();
    if count < SHOWN_FROM {
        return HIDDEN.to_owned();
    }
    let head: String = text.chars().take(3).collect();
    let tail: String = text.chars().skip(count - 4).collect();
    format!("{head}{HIDDEN}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_show_their_ends_and_nothing_else_does() {
        for (json, masked) in [
            (r#""sk-live-4242424242""#, "sk-••••4242"),
            (r#""0123456789abcdef""#, "012••••cdef"),
            (r#""0123456789abcde""#, "••••"),
            (r#""""#, "••••"),
            ("1234567890123456789012", "••••"),
            ("true", "••••"),
            ("null", "••••"),
            (r#"["0123456789abcdefgh"]"#, "••••"),
            (r#"{"a":"0123456789abcdefgh"}"#, "••••"),
            (r#""äöüßäöüßäöüßäöü€""#, "äöü••••äöü€"),
            (r#""\u0061bc\ndefghijklmnop""#, "abc••••mnop"),
        ] {
            assert_eq!(mask_value(json), masked, "{json}");
        }
    }
}
