// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making releases and moving environments' pointers, as parts of transactions, so that a change of
//! a document and its automatic release are one commit.

use super::guard::{check_unguarded, rolled_back};
use super::record::{ActivationRecord, EnvironmentRecord, ReleaseRecord};
use crate::clock::Timestamp;
use crate::documents::record::{SetRecord, decode, encode};
use crate::error::Result;
use crate::store::{Condition, Entry, Scope, Transaction};

/// Who does something, when and why.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) author: String,
    pub(crate) time: Timestamp,
    pub(crate) message: Option<String>,
}

/// The relative key of a release.
pub(crate) fn release_key(id: &str) -> String {
    format!("rel/{id}")
}

/// What the keys begin with that hold releases in the order of time.
pub(crate) const RELEASE_ORDER: &str = "relat/";

/// The relative key under which a release stands in the order of time.
pub(crate) fn release_order_key(time: Timestamp, id: &str) -> String {
    format!("{RELEASE_ORDER}{:015}@{id}", time.as_millis().max(0))
}

/// The relative key of an environment.
pub(crate) fn environment_key(environment: &str) -> String {
    format!("env/{environment}")
}

/// The relative key of an activation.
pub(crate) fn activation_key(environment: &str, version: u64) -> String {
    format!("envlog/{environment}@{version:08}")
}

/// The release of a set, and what writes it if it does not exist yet.
pub(crate) async fn make_release(
    scope: &Scope,
    set: &SetRecord,
    stamp: &Stamp,
) -> Result<(ReleaseRecord, bool, Transaction)> {
    let id = set.release_id(scope.project())?;
    let key = release_key(&id);
    if let Some(entry) = scope.fresh(&key).await? {
        return Ok((decode(&entry.key, &entry.value)?, false, Transaction::new()));
    }
    let record = ReleaseRecord {
        v: 1,
        id,
        author: stamp.author.clone(),
        time: stamp.time,
        message: stamp.message.clone(),
        set: set.clone(),
    };
    let write = Transaction::new()
        .when(Condition::Absent(scope.key(&key)))
        .put(scope.key(&key), encode(&record)?)
        .put(scope.key(&release_order_key(record.time, &record.id)), encode(&record.id)?);
    Ok((record, true, write))
}

/// An environment as it was read.
#[derive(Debug, Clone)]
pub(crate) struct ReadEnvironment {
    pub(crate) name: String,
    pub(crate) entry: Option<Entry>,
    pub(crate) record: EnvironmentRecord,
}

/// Reads an environment past the cache.
pub(crate) async fn read_environment(scope: &Scope, name: &str) -> Result<ReadEnvironment> {
    let entry = scope.fresh(&environment_key(name)).await?;
    let record = match &entry {
        Some(entry) => decode(&entry.key, &entry.value)?,
        None => EnvironmentRecord { v: 1, ..EnvironmentRecord::default() },
    };
    Ok(ReadEnvironment { name: name.to_owned(), entry, record })
}

/// Why an environment's pointer moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody who may activates a release.
    Activate,
    /// A change is released by itself.
    Auto,
    /// A change request was approved, or applied in an emergency.
    Request,
    /// Back to what was active there before.
    Rollback,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Auto => "auto",
            Self::Request => "request",
            Self::Rollback => "rollback",
        }
    }
}

/// What moves an environment's pointer: the new record, its history entry, and the condition that
/// nobody moved it in between. The one place that holds environments to the approvals that they ask for.
///
/// # Errors
/// `Denied` with the code `approval_required` where approvals are asked for and not given.
pub(crate) fn move_pointer(
    scope: &Scope,
    environment: &ReadEnvironment,
    release: &str,
    cause: Cause,
    before: Option<u64>,
    stamp: &Stamp,
) -> Result<(ActivationRecord, Transaction)> {
    if matches!(cause, Cause::Activate | Cause::Auto) {
        check_unguarded(environment)?;
    }
    let mut record = environment.record.clone();
    let previous = record.release.replace(release.to_owned());
    rolled_back(&mut record.rolled_back, release, previous.as_deref(), cause);
    record.activated_at = Some(stamp.time);
    record.version += 1;
    let activation = ActivationRecord {
        v: 1,
        version: record.version,
        release: release.to_owned(),
        previous,
        before,
        kind: cause.as_str().to_owned(),
        author: stamp.author.clone(),
        time: stamp.time,
        message: stamp.message.clone(),
    };
    let key = scope.key(&environment_key(&environment.name));
    let change = Transaction::new()
        .when(Condition::as_read(&key, environment.entry.as_ref()))
        .put(key, encode(&record)?)
        .put(scope.key(&activation_key(&environment.name, record.version)), encode(&activation)?);
    Ok((activation, change))
}

/// The activation that a plain activation goes back to on rollback: the one before it.
pub(crate) fn before_of(record: &EnvironmentRecord) -> Option<u64> {
    (record.version > 0).then_some(record.version)
}
