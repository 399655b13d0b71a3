// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Projects and members as they lie in the store.

use serde::{Deserialize, Serialize};

use crate::api::projects::Project;
use crate::auth::Role;
use crate::clock::Timestamp;

/// The relative key of a project's own record.
pub(crate) const META: &str = "meta";

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectRecord {
    pub(crate) v: u8,
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) environments: Vec<String>,
    pub(crate) auto_release: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
}

impl ProjectRecord {
    /// The project as it goes on the wire.
    pub(crate) fn project(&self, version: u64) -> Project {
        Project {
            id: self.id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            environments: self.environments.clone(),
            auto_release: self.auto_release,
            version,
            created_at: self.created_at,
            created_by: self.created_by.clone(),
        }
    }
}

/// What is left of an offboarded project, at `sys/offboarded/{project}`: its id is not given again,
/// because the audit trail still speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OffboardedRecord {
    pub(crate) v: u8,
    pub(crate) time: Timestamp,
    pub(crate) author: String,
}

/// A member's role, at `p/{project}/member/{user}` and, for look-up by user, at
/// `auth/grant/{user}/{project}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    pub(crate) v: u8,
    pub(crate) role: Role,
    pub(crate) granted_at: Timestamp,
    pub(crate) granted_by: String,
}

/// The installation-wide key of a user's role in a project.
pub(crate) fn grant_key(user: &str, project: &str) -> String {
    format!("auth/grant/{user}/{project}")
}
