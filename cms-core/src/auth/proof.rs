// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The proof of authorization: a value that only the authorizer can make, and that every stored
//! read and write of a project takes.

use std::fmt;

use super::Action;
use crate::ids::{EnvironmentId, Name, ProjectId};

/// What an action is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The project; `platform` for what belongs to none.
    pub project: ProjectId,
    /// The environment, where one is named.
    pub environment: Option<EnvironmentId>,
    /// The word for the kind of thing: `policy`, `secret`, `key`, `user`, ….
    pub kind: &'static str,
    /// The name of the thing, or the prefix of a listing.
    pub name: Option<String>,
}

impl Target {
    /// A thing of a kind within a project.
    pub fn new(project: &ProjectId, kind: &'static str) -> Self {
        Self { project: project.clone(), environment: None, kind, name: None }
    }

    /// Something that belongs to the installation as a whole.
    pub fn platform(kind: &'static str) -> Self {
        Self::new(&ProjectId::platform(), kind)
    }

    /// Names the thing.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Names the document or secret.
    #[must_use]
    pub fn path(self, name: &Name) -> Self {
        self.named(name.as_str())
    }

    /// Names the environment.
    #[must_use]
    pub fn environment(mut self, environment: Option<&EnvironmentId>) -> Self {
        self.environment = environment.cloned();
        self
    }
}

impl fmt::Display for Target {
    /// Writes the resource as the audit trail names it: `projects/rag/policy/rag/authz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}/{}", self.project, self.kind)?;
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

/// Proof that a principal may do an action on a target. Only `auth::authorize` makes it.
#[derive(Debug, Clone)]
pub struct Authorized {
    action: Action,
    target: Target,
}

impl Authorized {
    pub(super) fn new(action: Action, target: Target) -> Self {
        Self { action, target }
    }

    /// What was allowed.
    pub fn action(&self) -> Action {
        self.action
    }

    /// On what.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// In which project.
    pub fn project(&self) -> &ProjectId {
        &self.target.project
    }
}
