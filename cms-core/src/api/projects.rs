// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Projects and their members on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents::Document;
use super::keys::CreatedKey;
use super::users::given;
use crate::auth::Role;
use crate::clock::Timestamp;

/// Onboards a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// The id, as it stands in paths.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The environments; `default` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
    /// The first members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Which documents it begins with: `rag` (the default) or `empty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Whether every accepted change is released and activated; on if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_release: Option<bool>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// The id.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The environments, in the order in which they were given.
    pub environments: Vec<String>,
    /// Whether every accepted change is released and activated.
    pub auto_release: bool,
    /// The version, for `If-Match`.
    pub version: u64,
    /// When it was onboarded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who onboarded it.
    pub created_by: String,
}

/// What onboarding made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnboardedProject {
    /// The project.
    pub project: Project,
    /// The default policies.
    pub policies: Vec<Document>,
    /// The first API keys; this is the only time that their text is shown.
    pub keys: Vec<CreatedKey>,
    /// The first release, active in every environment.
    pub release: String,
}

/// Changes a project. What is not given stays; `null` removes the description.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchProject {
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Whether every accepted change is released and activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_release: Option<bool>,
}

/// What offboarding revoked and destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OffboardedProject {
    /// The project.
    pub project: String,
    /// How many API keys were revoked.
    pub keys_revoked: u64,
    /// How many members lost their role.
    pub members_removed: u64,
    /// How many secrets can no longer be read.
    pub secrets_destroyed: u64,
    /// How many documents were removed.
    pub documents_removed: u64,
    /// Whether the project's data key was destroyed.
    pub data_key_destroyed: bool,
}

/// A user's role in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The user.
    pub user: String,
    /// The role: `project-admin`, `project-user` or `auditor`.
    pub role: Role,
}

/// Sets a member's role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMember {
    /// The role: `project-admin`, `project-user` or `auditor`.
    pub role: Role,
}
