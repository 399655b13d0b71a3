// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What keeps an environment from being moved: the approvals that it asks for, and rollbacks, which
//! stick until a person says otherwise.

use std::collections::BTreeMap;

use super::activate::{Cause, ReadEnvironment};
use super::read_release;
use super::record::ActivationRecord;
use crate::api::documents::Kind;
use crate::api::releases::Approvals;
use crate::auth::Role;
use crate::documents::record::{BucketEntry, SetRecord, decode};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::ids::UserId;
use crate::kit::Kit;
use crate::projects::user_exists;
use crate::store::Scope;

/// How many approvals an environment asks for at most.
const MAX_QUORUM: u32 = 20;
/// How many approvers an environment names at most.
const MAX_APPROVERS: usize = 100;
/// For how long a change request stays open at most.
pub(crate) const MAX_OPEN_SECONDS: u64 = 90 * 24 * 60 * 60;
/// How many rolled-back releases an environment remembers.
const MAX_ROLLED_BACK: usize = 10;

/// The roles that may be named as approvers.
const APPROVING: [Role; 4] = [Role::ProjectUser, Role::ProjectAdmin, Role::PlatformAdmin, Role::CmsAdmin];

/// Refuses approvals that nobody could give.
pub(super) async fn check_rule(kit: &Kit, approvals: &Approvals) -> Result<()> {
    let mut places = Vec::new();
    let mut wrong = |path: String, message: String| {
        places.push(Place { path: Some(path), message, ..Place::default() });
    };
    if approvals.quorum() > MAX_QUORUM {
        wrong("/approvals".into(), format!("an environment asks for at most {MAX_QUORUM} approvals"));
    }
    if approvals.approvers().len() > MAX_APPROVERS {
        wrong("/approvals/approvers".into(), format!("at most {MAX_APPROVERS} approvers are named"));
    }
    if approvals.expires_after().is_some_and(|seconds| !(60..=MAX_OPEN_SECONDS).contains(&seconds)) {
        wrong("/approvals/expires_after".into(), format!("must be 60 to {MAX_OPEN_SECONDS} seconds"));
    }
    for (at, name) in approvals.approvers().iter().take(MAX_APPROVERS).enumerate() {
        if APPROVING.iter().any(|role| role.as_str() == name) {
            continue;
        }
        let exists = match UserId::parse(name) {
            Ok(user) => user_exists(kit, &user.canonical()).await?,
            Err(_) => false,
        };
        if !exists {
            let message =
                format!("`{}` is neither a user nor a role that may approve", name.escape_default());
            wrong(format!("/approvals/approvers/{at}"), message);
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    Err(Error::unprocessable("invalid_approvals", "the approvals cannot be asked for").with_places(places))
}

/// Whether a rule lets through what another one would not.
pub(super) fn is_less(new: &Approvals, old: &Approvals) -> bool {
    old.quorum() > 0 && (new.quorum() < old.quorum() || new.approvers() != old.approvers())
}

/// Refuses to move what asks for approvals.
pub(super) fn check_unguarded(environment: &ReadEnvironment) -> Result<()> {
    match environment.record.approvals.quorum() {
        0 => Ok(()),
        quorum => Err(approval_required(&environment.name, quorum)),
    }
}

fn approval_required(environment: &str, quorum: u32) -> Error {
    let text = format!("what goes live in `{environment}` needs {quorum} approvals");
    Error::new(ErrorKind::Denied, "approval_required", text).with_hint(
        "open a change request with `POST /projects/{project}/requests` or `cms request create`; \
         it goes live once it is approved and applied",
    )
}

/// Refuses to go back to what was never active.
pub(super) async fn check_was_active(scope: &Scope, read: &ReadEnvironment, release: &str) -> Result<()> {
    let prefix = format!("envlog/{}@", read.name);
    let mut after: Option<String> = None;
    loop {
        let page = scope.list(&prefix, after.as_deref(), 200, true).await?;
        for entry in &page.entries {
            let record: ActivationRecord = decode(&entry.key, &entry.value)?;
            if record.release == release {
                return Ok(());
            }
        }
        after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
        if !page.more {
            return Err(approval_required(&read.name, read.record.approvals.quorum()));
        }
    }
}

/// What an environment remembers of rollbacks once its pointer has moved.
pub(super) fn rolled_back(marks: &mut Vec<String>, release: &str, previous: Option<&str>, cause: Cause) {
    match cause {
        // A person has looked.
        Cause::Activate => marks.clear(),
        Cause::Auto | Cause::Request => {}
        Cause::Rollback => {
            marks.extend(
                previous.filter(|previous| !marks.iter().any(|mark| mark == previous)).map(str::to_owned),
            );
            let surplus = marks.len().saturating_sub(MAX_ROLLED_BACK);
            marks.drain(..surplus);
        }
    }
    marks.retain(|mark| mark != release);
}

/// Refuses a release that was rolled back.
///
/// # Errors
/// `Conflict` with the code `rolled_back`.
pub(crate) async fn check_sticks(scope: &Scope, read: &ReadEnvironment, release: &str) -> Result<()> {
    if read.record.rolled_back.is_empty() {
        return Ok(());
    }
    check_change_sticks(scope, read, &read_release(scope, release).await?.set, &[]).await
}

/// Refuses a set, as it is after some changes (`None`: removed), with a version of a document that a
/// rollback took out of force, and that nobody has replaced since.
pub(crate) async fn check_change_sticks(
    scope: &Scope,
    read: &ReadEnvironment,
    set: &SetRecord,
    changes: &[(Kind, String, Option<BucketEntry>)],
) -> Result<()> {
    let (Some(active), false) = (&read.record.release, read.record.rolled_back.is_empty()) else {
        return Ok(());
    };
    let mut new = versions(scope, set).await?;
    for (kind, name, entry) in changes {
        match entry {
            Some(entry) => new.insert((*kind, name.clone()), entry.version),
            None => new.remove(&(*kind, name.clone())),
        };
    }
    let active = versions(scope, &read_release(scope, active).await?.set).await?;
    for mark in &read.record.rolled_back {
        let gone = versions(scope, &read_release(scope, mark).await?.set).await?;
        let differs = |key: &&(Kind, String)| gone.get(*key) != active.get(*key);
        for key in gone.keys().chain(active.keys()).filter(differs) {
            if new.get(key) == gone.get(key) {
                return Err(sticks(&read.name, key, gone.get(key).copied()));
            }
        }
    }
    Ok(())
}

async fn versions(scope: &Scope, set: &SetRecord) -> Result<BTreeMap<(Kind, String), u64>> {
    let members = set.members(scope, None).await?;
    Ok(members.into_iter().map(|member| ((member.kind, member.name), member.version)).collect())
}

fn sticks(environment: &str, (kind, name): &(Kind, String), version: Option<u64>) -> Error {
    let what = match version {
        Some(version) => format!("version {version} of the {} `{name}`", kind.as_str()),
        None => format!("the removal of the {} `{name}`", kind.as_str()),
    };
    let text = format!("{what} was rolled back in `{environment}` and does not go live again by itself");
    Error::conflict("rolled_back", text)
        .with_hint("write a better version first, or let a person activate a release with it")
}
