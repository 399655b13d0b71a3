// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who somebody is at this moment, by the name under which they once did something: for approvals,
//! which count only as long as whoever gave them may give them.

use std::sync::Arc;

use super::keys::{KeyRecord, record_key};
use super::sealed::{Fresh, Sealed};
use super::users::{LiveUser, UserRecord, user_key};
use super::{Principal, PrincipalKind, Role, grants};
use crate::error::Result;
use crate::ids::{ProjectId, UserId};
use crate::kit::Kit;
use crate::store::Condition;

/// A person.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The person as a caller.
    pub(crate) principal: Arc<Principal>,
    /// Tells a user from another one who had the name before; the root credential has none.
    pub(crate) uid: Option<String>,
    /// The mail address, if there is one.
    pub(crate) email: Option<String>,
    /// The roles that count in the project.
    pub(crate) roles: Vec<Role>,
    /// That all of this is still so.
    pub(crate) conditions: Vec<Condition>,
}

/// The person that an actor of the trail (`user:eve`, `root`) is now; `None` for who is gone or
/// disabled, and for what is no person.
pub(crate) async fn person(kit: &Kit, project: &ProjectId, actor: &str) -> Result<Option<Person>> {
    if actor == "root" {
        let principal = Principal::root();
        return Ok(Some(Person {
            principal,
            uid: None,
            email: None,
            roles: vec![Role::CmsAdmin],
            conditions: Vec::new(),
        }));
    }
    let Some(Ok(user)) = actor.strip_prefix("user:").map(UserId::parse) else { return Ok(None) };
    let found = Sealed::of(kit).fresh::<UserRecord>(&ProjectId::platform(), &user_key(&user)).await?;
    let Some(Fresh { entry, record }) = found else { return Ok(None) };
    let live = LiveUser::new(&record)?;
    if live.disabled {
        return Ok(None);
    }
    let (role, grant) = grants::fresh(&kit.db, &live.user, project).await?;
    let roles = live.role.into_iter().chain(role).collect();
    let principal = Arc::new(live.principal(Arc::from("none")));
    let conditions = vec![Condition::as_read(&entry.key, Some(&entry)), grant];
    Ok(Some(Person { principal, uid: Some(live.uid), email: record.email, roles, conditions }))
}

/// Everybody who has a hand in what a caller does: the caller, and who made the API key in its hands.
pub(crate) async fn hands(kit: &Kit, caller: &Principal) -> Result<Vec<String>> {
    let mut hands = vec![caller.to_string()];
    if let PrincipalKind::Key { id, project, .. } = &caller.kind {
        let key = record_key(project, id);
        let found = Sealed::of(kit).fresh::<KeyRecord>(&ProjectId::platform(), &key).await?;
        hands.extend(found.map(|found| found.record.created_by));
    }
    Ok(hands)
}
