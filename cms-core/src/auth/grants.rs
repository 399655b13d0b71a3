// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The roles of users within projects, as authorization reads them. The members of a project are
//! what writes them.

use std::sync::Arc;

use serde::Deserialize;

use super::Role;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};
use crate::store::{Condition, Db, Entry, Range};

/// The part of a member's record that authorization needs.
#[derive(Debug, Deserialize)]
struct Grant {
    role: Role,
}

fn key(user: &UserId, project: &str) -> String {
    format!("auth/grant/{user}/{project}")
}

fn parse(entry: &Entry) -> Result<Grant> {
    serde_json::from_slice(&entry.value)
        .map_err(|_| Error::internal(format!("the record at `{}` cannot be read", entry.key)))
}

/// The role of a user within a project, at most as stale as the watch.
pub(super) async fn role(db: &Db, user: &UserId, project: &ProjectId) -> Result<Option<Role>> {
    let cached = db.cached(&key(user, project.as_str())).await?;
    let grant: Option<Arc<Grant>> = cached.parsed(parse)?;
    Ok(grant.map(|grant| grant.role))
}

/// The role of a user within a project as it is now, and the condition that it is still so.
pub(super) async fn fresh(db: &Db, user: &UserId, project: &ProjectId) -> Result<(Option<Role>, Condition)> {
    let key = key(user, project.as_str());
    let entry = db.fresh(&key).await?;
    let role = entry.as_ref().map(parse).transpose()?.map(|grant| grant.role);
    Ok((role, Condition::as_read(&key, entry.as_ref())))
}

/// All roles of a user within projects.
pub(super) async fn roles(db: &Db, user: &UserId) -> Result<Vec<(ProjectId, Role)>> {
    of(db, user).await?.iter().map(|(project, entry)| Ok((project.clone(), parse(entry)?.role))).collect()
}

/// The entries that hold the roles of a user within projects.
pub(super) async fn of(db: &Db, user: &UserId) -> Result<Vec<(ProjectId, Entry)>> {
    let prefix = key(user, "");
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let range = Range::prefix(&prefix);
        let page = db.range(match &after {
            Some(after) => range.after(after),
            None => range,
        });
        let page = page.await?;
        after = page.entries.last().map(|entry| entry.key.clone());
        for entry in page.entries {
            found.push((ProjectId::parse(entry.key.strip_prefix(&prefix).unwrap_or_default())?, entry));
        }
        if !page.more {
            return Ok(found);
        }
    }
}
