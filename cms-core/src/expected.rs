// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the caller of a write expects of the thing that it changes: the one rule behind `If-Match`,
//! `If-None-Match: *` and their like, for every service.

use crate::error::{Error, ErrorKind, Result};

/// What a write expects to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Any,
    /// Nothing.
    Absent,
    /// Something, at whatever version.
    Present,
    /// One of these versions; none at all expects what cannot be.
    OneOf(Vec<u64>),
}

impl Expected {
    /// Expects exactly this version.
    pub fn version(version: u64) -> Self {
        Self::OneOf(vec![version])
    }

    /// Compares with the version that is there. `what` names the thing.
    ///
    /// # Errors
    /// `Stale` if it is not as expected.
    pub fn check(&self, present: Option<u64>, what: &str) -> Result<()> {
        let text = match (self, present) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => return Ok(()),
            (Self::OneOf(versions), Some(version)) if versions.contains(&version) => return Ok(()),
            (Self::Absent, Some(version)) => format!("{what} exists already, at version {version}"),
            (Self::Present, None) => format!("{what} does not exist"),
            (Self::OneOf(versions), None) => {
                format!("{what} does not exist, so it is not at version {}", listed(versions))
            }
            (Self::OneOf(versions), Some(version)) => {
                format!("{what} is at version {version}, not {}; read it again", listed(versions))
            }
        };
        Err(Error::stale(text))
    }

    /// Passes on what was read. Where nothing was found, an expectation that this breaks says so.
    ///
    /// # Errors
    /// `Stale`, or those of reading.
    pub(crate) fn of<T>(&self, read: Result<T>, what: &str) -> Result<T> {
        if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.check(None, what)?;
        }
        read
    }
}

impl From<Option<u64>> for Expected {
    /// No version is no wish; version 0 is that of what does not exist.
    fn from(version: Option<u64>) -> Self {
        match version {
            None => Self::Any,
            Some(0) => Self::Absent,
            Some(version) => Self::version(version),
        }
    }
}

fn listed(versions: &[u64]) -> String {
    match versions {
        [] => "one that can be".to_owned(),
        versions => versions.iter().map(u64::to_string).collect::<Vec<_>>().join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_hold_or_name_what_is_there() {
        let holds = |expected: &Expected, present| expected.check(present, "it").is_ok();
        let lists = Expected::OneOf(vec![2, 5]);
        for (expected, absent, first, second) in [
            (Expected::Any, true, true, true),
            (Expected::Absent, true, false, false),
            (Expected::Present, false, true, true),
            (Expected::version(1), false, true, false),
            (lists.clone(), false, false, true),
            (Expected::OneOf(Vec::new()), false, false, false),
        ] {
            let held = (holds(&expected, None), holds(&expected, Some(1)), holds(&expected, Some(2)));
            assert_eq!(held, (absent, first, second), "{expected:?}");
        }
        let error = lists.check(Some(7), "the key").unwrap_err();
        assert_eq!(error.message(), "the key is at version 7, not 2 or 5; read it again");
        assert_eq!(Expected::from(Some(0)), Expected::Absent);
        let missing =
            |expected: Expected| expected.of::<()>(Err(Error::not_found("it")), "it").unwrap_err().kind();
        assert_eq!(missing(Expected::Any), ErrorKind::NotFound);
        assert_eq!(missing(Expected::Present), ErrorKind::Stale);
    }
}
