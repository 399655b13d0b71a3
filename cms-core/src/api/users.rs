// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Local users on the wire.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::auth::Role;
use crate::clock::Timestamp;

/// Adds a user.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// The name to log in with; kept in lower case.
    pub username: String,
    /// The password, in 8 to 256 characters.
    pub password: String,
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The role that holds everywhere: `cms-admin`, `platform-admin` or `auditor`. Roles within a
    /// project are given by its members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl fmt::Debug for CreateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUser")
            .field("username", &self.username)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Changes a user. What is not given stays; `null` removes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchUser {
    /// The name for people.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub display_name: Option<Option<String>>,
    /// The mail address.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    /// The role that holds everywhere.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Role>)]
    pub role: Option<Option<Role>>,
    /// Whether the user is kept from doing anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// Tells `null` from a field that is not there.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Sets a password.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// The new password, in 8 to 256 characters.
    pub password: String,
    /// The present password; needed to change one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_password: Option<String>,
}

impl fmt::Debug for SetPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPassword").finish_non_exhaustive()
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name to log in with.
    pub username: String,
    /// The name for people.
    pub display_name: Option<String>,
    /// The mail address.
    pub email: Option<String>,
    /// The role that holds everywhere.
    pub role: Option<Role>,
    /// Whether the user is kept from doing anything.
    pub disabled: bool,
    /// The version, for `If-Match`.
    pub version: u64,
    /// When the user was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who added the user.
    pub created_by: String,
    /// When the user was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tells_null_from_absent() {
        let patch: PatchUser = serde_json::from_str(r#"{"role":null,"email":"e@x"}"#).unwrap();
        assert_eq!(patch.role, Some(None));
        assert_eq!(patch.email, Some(Some("e@x".into())));
        assert_eq!(patch.display_name, None);
        assert!(serde_json::from_str::<PatchUser>(r#"{"password":"x"}"#).is_err());
    }

    #[test]
    fn debug_forms_show_no_password() {
        let create = CreateUser { password: "SECRET".into(), ..CreateUser::default() };
        let set = SetPassword { password: "SECRET".into(), current_password: Some("SECRET".into()) };
        assert!(!format!("{create:?} {set:?}").contains("SECRET"));
    }
}
