// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds the path of a request from parts, so that no name can change which resource is meant.

use super::failure::Failure;

/// A path below the address of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route(String);

impl Route {
    /// Starts at a fixed path below `/api/v1`.
    pub(crate) fn api(path: &str) -> Self {
        Self(format!("/api/v1/{path}"))
    }

    /// Starts at a project.
    ///
    /// # Errors
    /// A usage error when `project` cannot be a name.
    pub(crate) fn project(project: &str) -> Result<Self, Failure> {
        Self::api("projects").id(project)
    }

    /// Starts at the front door for configs.
    pub(crate) fn front_door() -> Self {
        Self("/config".to_owned())
    }

    /// Starts at the place of OPA's API for an environment.
    ///
    /// # Errors
    /// A usage error when one of the two cannot be a name.
    pub(crate) fn opa(project: &str, environment: &str) -> Result<Self, Failure> {
        Self("/opa".to_owned()).id(project)?.id(environment)
    }

    /// Adds a fixed part.
    #[must_use]
    pub(crate) fn fixed(mut self, part: &str) -> Self {
        self.0.push('/');
        self.0.push_str(part);
        self
    }

    /// Adds one segment that the user named.
    ///
    /// # Errors
    /// A usage error when it is empty, or would be read as something else than a name.
    pub(crate) fn id(mut self, segment: &str) -> Result<Self, Failure> {
        if segment.is_empty() || segment == "." || segment == ".." || segment.starts_with('-') {
            return Err(Failure::usage(format!("`{segment}` is not a name")));
        }
        self.0.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
        Ok(self)
    }

    /// Adds a name of one or more segments joined by `/`.
    ///
    /// # Errors
    /// A usage error when a segment cannot be part of a name.
    pub(crate) fn name(self, name: &str) -> Result<Self, Failure> {
        let added = name.split('/').try_fold(self, |route, segment| route.id(segment));
        added
            .map_err(|_segment| Failure::usage(format!("`{name}` is not a name: 1 to 8 parts joined by `/`")))
    }

    /// Gives the text of the path.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_segments_and_lose_their_power() {
        let route = Route::project("rag").unwrap().fixed("policies").name("rag/auth z?x=1#y").unwrap();
        assert_eq!(route.as_str(), "/api/v1/projects/rag/policies/rag/auth%20z%3Fx%3D1%23y");
    }

    #[test]
    fn nothing_climbs_or_becomes_an_action() {
        for name in ["", "..", "a/../b", "a//b", "-/test", "a/", "/a", "a/-x", "."] {
            assert!(Route::api("x").name(name).is_err(), "{name:?}");
        }
    }
}
