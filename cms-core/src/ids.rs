// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names as types that are valid by construction: they cannot hold a separator too many, a
//! traversal, an empty part or a control character, so keys and paths can be built from them.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// The project that holds what applies to all projects.
pub const PLATFORM: &str = "platform";

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the name.
            ///
            /// # Errors
            /// `Invalid` with the code `invalid_name` if the text breaks the rule for such names.
            pub fn parse(text: &str) -> Result<Self> {
                if $valid(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(Error::invalid_name($what, text, $rule))
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }
    };
}

name_type!(
    /// The name of a project: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
    ProjectId, "project", is_label,
    "1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit"
);
name_type!(
    /// The name of an environment within a project; the same form as a project's.
    EnvironmentId, "environment", is_label,
    "1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit"
);
name_type!(
    /// The name of a user: `[A-Za-z0-9._@-]{1,128}`. Compared without case, see [`UserId::canonical`].
    UserId, "user", is_user, "1 to 128 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `@` and `-`"
);
name_type!(
    /// The path-like name of a document or secret: 1 to 8 segments joined by `/`, each
    /// `[A-Za-z0-9_][A-Za-z0-9._-]{0,63}`.
    Name, "name", is_path,
    "1 to 8 segments joined by `/`, each of 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, \
     beginning with a letter, digit or `_`"
);

impl ProjectId {
    /// The reserved project `platform`.
    pub fn platform() -> Self {
        Self(Arc::from(PLATFORM))
    }

    /// Tells whether this is the reserved project `platform`.
    pub fn is_platform(&self) -> bool {
        self.as_str() == PLATFORM
    }
}

impl UserId {
    /// The form under which the user is stored and locked out: lower case, so that `Eve` and `eve`
    /// are one person (CVE-2025-6004 is what happens otherwise).
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self(Arc::from(self.0.to_ascii_lowercase()))
    }
}

impl Name {
    /// Tells whether the name lies at or under `prefix`, which ends at a segment border.
    pub fn is_within(&self, prefix: &str) -> bool {
        let prefix = prefix.trim_end_matches('/');
        prefix.is_empty()
            || self.0.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && edge(bytes.first())
        && edge(bytes.last())
}

fn is_user(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-'))
        && text != "."
        && text != ".."
}

fn is_path(text: &str) -> bool {
    text.split('/').count() <= 8 && text.split('/').all(is_segment)
}

fn is_segment(text: &str) -> bool {
    let first = text.bytes().next();
    text.len() <= 64
        && first.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_keep_to_their_rule() {
        for good in ["a", "rag", "team-7", "0", &"a".repeat(63)] {
            assert!(ProjectId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "..", "a.b", "ä", "a\0", &"a".repeat(64)] {
            assert!(ProjectId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_refuse_traversal_and_empty_parts() {
        for good in ["a", "rag/authz", "_x/1.2-b", "a/b/c/d/e/f/g/h"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "../a",
            "a/..",
            ".",
            "-/x",
            "a/-b",
            "a b",
            "a\u{202e}",
            "a/b/c/d/e/f/g/h/i",
            "a\\b",
            "a%2fb",
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prefixes_end_at_segment_borders() {
        let name = Name::parse("rag/authz").unwrap();
        assert!(name.is_within("rag") && name.is_within("rag/") && name.is_within("rag/authz"));
        assert!(!name.is_within("ra") && !name.is_within("rag/au"));
    }

    proptest! {
        #[test]
        fn a_parsed_name_never_holds_a_surprise(text in ".{0,80}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert!(!name.as_str().split('/').any(|part| part.is_empty() || part == "." || part == ".."));
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
