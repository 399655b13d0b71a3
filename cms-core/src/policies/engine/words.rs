// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keywords that begin a reference: OPA reads `if.x := 1` as a rule of the name `if.x`, the compiler
//! does not. To the compiler they have names of another form, which nothing outside of the engine sees.

/// What stands before a keyword that is a name.
const MARK: &str = "__cms_word_";

macro_rules! words {
    ($($word:literal)*) => {
        /// The name that a keyword has where it begins a reference.
        pub(super) fn name(word: &str) -> Option<&'static str> {
            match word {
                $($word => Some(concat!("__cms_word_", $word)),)*
                _ => None,
            }
        }
    };
}

words! {
    "as" "contains" "default" "else" "every" "false" "if" "import" "in" "not" "null" "package" "some" "true"
    "with"
}

/// A name as it is written.
pub(super) fn written(name: &str) -> &str {
    name.strip_prefix(MARK).unwrap_or(name)
}

/// A path as it is written.
pub(super) fn path(path: &[String]) -> Vec<String> {
    path.iter().map(|name| written(name).to_owned()).collect()
}

/// A text in which such names may occur.
pub(super) fn text(text: String) -> String {
    if text.contains(MARK) { text.replace(MARK, "") } else { text }
}
