// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a listing covers. It is authorized as the whole range that it reads, not by the names that
//! it happens to find (CVE-2026-73499 is a watch that was not).

use super::{Principal, PrincipalKind, Target};
use crate::error::{Error, Result};
use crate::ids::{Name, ProjectId};

/// The names that a listing covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Covered {
    /// Every name.
    All,
    /// Names that begin with this text.
    Text(String),
    /// The name itself, and what lies under it. For keys, whose scopes end at segment borders: by
    /// text, `llm` would cover `llm-other` too.
    Within(String),
}

impl Covered {
    /// Reads the prefix that a listing asks for.
    ///
    /// # Errors
    /// `Invalid` if no name begins like that.
    pub(crate) fn parse(prefix: Option<&str>, principal: &Principal) -> Result<Self> {
        let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else { return Ok(Self::All) };
        let whole = prefix.strip_suffix('/').unwrap_or(prefix);
        if Name::parse(whole).is_err() {
            return Err(Error::invalid("`prefix` must be the beginning of a name"));
        }
        Ok(match principal.kind {
            PrincipalKind::Key { .. } => Self::Within(whole.to_owned()),
            _ => Self::Text(prefix.to_owned()),
        })
    }

    /// What to authorize. A text ends with `*` there, so that no rule takes it for a name.
    pub(crate) fn target(&self, project: &ProjectId, kind: &'static str) -> Target {
        let target = Target::new(project, kind);
        match self {
            Self::All => target,
            Self::Text(prefix) => target.named(format!("{prefix}*")),
            Self::Within(name) => target.named(name.clone()),
        }
    }

    /// The text that every covered name begins with.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::All => "",
            Self::Text(text) | Self::Within(text) => text,
        }
    }

    /// Whether a name is covered.
    pub(crate) fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Text(prefix) => name.starts_with(prefix.as_str()),
            Self::Within(whole) => {
                name.strip_prefix(whole.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Checks that a cursor belongs to this listing: one from elsewhere must not move it out of what
    /// was authorized.
    ///
    /// # Errors
    /// `Invalid` if it does not.
    pub(crate) fn check_cursor(&self, after: Option<&str>) -> Result<()> {
        match after {
            Some(after) if !self.holds(after) => {
                Err(Error::invalid("`cursor` belongs to another listing; begin without one"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Principal {
        let kind = PrincipalKind::Key {
            id: "k".into(),
            project: ProjectId::platform(),
            environment: None,
            scopes: [].into(),
        };
        Principal { kind }
    }

    #[test]
    fn a_key_covers_whole_segments_and_a_user_text() {
        let covered = Covered::parse(Some("llm/"), &key()).unwrap();
        assert!(covered.holds("llm") && covered.holds("llm/openai"));
        assert!(!covered.holds("llm-other") && !covered.holds("ll"));
        let covered = Covered::parse(Some("ll"), &Principal::root()).unwrap();
        assert!(covered.holds("llm") && covered.holds("llm-other") && !covered.holds("db"));
        assert_eq!(Covered::parse(Some(""), &key()).unwrap(), Covered::All);
        for bad in ["//", "a//", "../", "a b", "-x", "a\n"] {
            assert!(Covered::parse(Some(bad), &key()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_authorized_is_the_range_that_is_read() {
        let project = ProjectId::platform();
        let name = |covered: Covered| covered.target(&project, "secret").name;
        assert_eq!(name(Covered::All), None);
        assert_eq!(name(Covered::Text("llm".into())).as_deref(), Some("llm*"));
        assert_eq!(name(Covered::Within("llm".into())).as_deref(), Some("llm"));
    }

    #[test]
    fn cursors_of_other_listings_are_refused() {
        let covered = Covered::Within("llm".into());
        assert!(covered.check_cursor(None).is_ok() && covered.check_cursor(Some("llm/a")).is_ok());
        assert!(covered.check_cursor(Some("db/a")).is_err() && covered.check_cursor(Some("llm-b")).is_err());
    }
}
