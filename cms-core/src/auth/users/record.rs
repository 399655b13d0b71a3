// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Users as they lie in the store (sealed), and what the authenticator keeps of them in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{Principal, PrincipalKind, Role};
use crate::api::users as wire;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::UserId;

/// A user on disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    pub(crate) v: u8,
    /// The name, in canonical form.
    pub(crate) user: String,
    /// Tells this user from another one who had the name before.
    pub(crate) uid: String,
    /// Counts the moments at which every session ended: new passwords, and being disabled.
    pub(crate) epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    pub(crate) disabled: bool,
    /// The password's hash, in PHC form.
    pub(crate) password: String,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
    pub(crate) updated_at: Timestamp,
}

impl std::fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRecord")
            .field("user", &self.user)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl UserRecord {
    /// The user as it goes on the wire.
    pub(crate) fn to_wire(&self, version: u64) -> wire::User {
        wire::User {
            username: self.user.clone(),
            display_name: self.display_name.clone(),
            email: self.email.clone(),
            role: self.role,
            disabled: self.disabled,
            version,
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            updated_at: self.updated_at,
        }
    }

    /// Whether the user counts among those who can administer CMS.
    pub(crate) fn is_admin(&self) -> bool {
        self.role == Some(Role::CmsAdmin) && !self.disabled
    }
}

/// A user as every request needs it.
#[derive(Debug)]
pub(crate) struct LiveUser {
    pub(crate) user: UserId,
    pub(crate) uid: String,
    pub(crate) epoch: u64,
    pub(crate) role: Option<Role>,
    pub(crate) disabled: bool,
}

impl LiveUser {
    pub(crate) fn new(record: &UserRecord) -> Result<Self> {
        Ok(Self {
            user: UserId::parse(&record.user)?,
            uid: record.uid.clone(),
            epoch: record.epoch,
            role: record.role,
            disabled: record.disabled,
        })
    }

    /// The user as a caller, through one of its sessions.
    pub(crate) fn principal(&self, session: Arc<str>) -> Principal {
        Principal { kind: PrincipalKind::User { user: self.user.clone(), role: self.role, session } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_version_1_stays_readable() {
        let record = UserRecord {
            v: 1,
            user: "eve".into(),
            uid: "00ff".into(),
            epoch: 2,
            display_name: Some("Eve".into()),
            email: None,
            role: Some(Role::CmsAdmin),
            disabled: false,
            password: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
            created_at: Timestamp::from_millis(0),
            created_by: "root".into(),
            updated_at: Timestamp::from_millis(1),
        };
        let golden = include_str!("../../../testdata/user_v1.json");
        assert_eq!(serde_json::from_str::<UserRecord>(golden).unwrap(), record);
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&record).unwrap()), golden);
        assert!(!format!("{record:?}").contains("argon2id"));
    }
}
