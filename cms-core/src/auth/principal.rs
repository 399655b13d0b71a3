// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An authenticated caller: a user with roles, an API key with scopes, or the root credential.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentId, ProjectId, UserId};

/// A caller that has proved who it is. Roles within projects are looked up when they are needed, so
/// that a change of membership acts at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What kind of caller it is, with what belongs to that kind.
    pub kind: PrincipalKind,
}

/// The kinds of caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person.
    User {
        /// The name, in canonical form.
        user: UserId,
        /// The role that holds in every project, if there is one.
        role: Option<Role>,
        /// The login session that the access token belongs to.
        session: Arc<str>,
    },
    /// An API key of a project.
    Key {
        /// The stable, public id of the key.
        id: Arc<str>,
        /// The project that the key belongs to.
        project: ProjectId,
        /// The environment that it is bound to, if it is.
        environment: Option<EnvironmentId>,
        /// What it may do.
        scopes: Arc<[KeyScope]>,
    },
    /// The root credential that was printed at initialisation.
    Root,
    /// CMS itself: background work.
    System,
    /// Nobody: before authentication, for the records of failed logins.
    Anonymous,
}

impl Principal {
    /// CMS itself.
    pub fn system() -> Arc<Self> {
        Arc::new(Self { kind: PrincipalKind::System })
    }

    /// Nobody.
    pub fn anonymous() -> Arc<Self> {
        Arc::new(Self { kind: PrincipalKind::Anonymous })
    }

    /// The root credential.
    pub fn root() -> Arc<Self> {
        Arc::new(Self { kind: PrincipalKind::Root })
    }
}

impl fmt::Display for Principal {
    /// Writes the actor as the audit trail and document authors name it: `user:eve`, `key:…`,
    /// `root`, `system`, `anonymous`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PrincipalKind::User { user, .. } => write!(f, "user:{user}"),
            PrincipalKind::Key { id, .. } => write!(f, "key:{id}"),
            PrincipalKind::Root => f.write_str("root"),
            PrincipalKind::System => f.write_str("system"),
            PrincipalKind::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// What a user may do, everywhere or within one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// All of CMS.
    CmsAdmin,
    /// Every project: policies, configs, releases, secrets, members, keys.
    PlatformAdmin,
    /// The same within one project.
    ProjectAdmin,
    /// Read-only in one project, secrets masked.
    ProjectUser,
    /// Audit and metadata, no values.
    Auditor,
}

impl Role {
    /// The role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CmsAdmin => "cms-admin",
            Self::PlatformAdmin => "platform-admin",
            Self::ProjectAdmin => "project-admin",
            Self::ProjectUser => "project-user",
            Self::Auditor => "auditor",
        }
    }

    /// Whether a user may hold it outside of a project.
    pub const fn is_global(self) -> bool {
        matches!(self, Self::CmsAdmin | Self::PlatformAdmin | Self::Auditor)
    }

    /// Whether a user may hold it within a project.
    pub const fn is_project(self) -> bool {
        matches!(self, Self::ProjectAdmin | Self::ProjectUser | Self::Auditor)
    }
}

/// The name of a scope of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScopeName {
    /// Ask for decisions.
    Decide,
    /// Read policies and data.
    PolicyRead,
    /// Write policies and data.
    PolicyWrite,
    /// Read configs.
    ConfigRead,
    /// Write configs.
    ConfigWrite,
    /// Read and reveal secrets.
    SecretRead,
    /// Write secrets.
    SecretWrite,
    /// Fetch bundles.
    BundleRead,
    /// Read the project's audit trail.
    AuditRead,
}

impl ScopeName {
    /// Every scope.
    pub const ALL: &'static [Self] = &[
        Self::Decide,
        Self::PolicyRead,
        Self::PolicyWrite,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::SecretRead,
        Self::SecretWrite,
        Self::BundleRead,
        Self::AuditRead,
    ];

    /// The scope's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::PolicyRead => "policy:read",
            Self::PolicyWrite => "policy:write",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::SecretRead => "secret:read",
            Self::SecretWrite => "secret:write",
            Self::BundleRead => "bundle:read",
            Self::AuditRead => "audit:read",
        }
    }

    /// Finds a scope by its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text)
    }
}

/// A scope of an API key, optionally narrowed to an environment and a name prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyScope {
    /// What the key may do.
    pub name: ScopeName,
    /// Only in this environment.
    pub environment: Option<EnvironmentId>,
    /// Only for names at or under this prefix.
    pub prefix: Option<Arc<str>>,
}
