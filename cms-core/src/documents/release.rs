// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes live with a change, and where: the release that is made of it, and the environments that
//! move to it in the same commit.

use std::collections::BTreeSet;

use super::gate::Gate;
use super::live::Aim;
use super::record::{BucketEntry, SetRecord};
use super::write::Change;
use crate::api::documents::Kind;
use crate::error::Result;
use crate::projects::record::ProjectRecord;
use crate::releases::activate::{
    Cause, ReadEnvironment, Stamp, before_of, make_release, move_pointer, read_environment,
};
use crate::releases::guard::check_change_sticks;
use crate::releases::read_release;
use crate::store::{Scope, Transaction};

/// Entries of a set that change (`None`: removed).
type Entries = [(Kind, String, Option<BucketEntry>)];

/// A set before and after a change.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) before: SetRecord,
    pub(super) after: SetRecord,
}

/// How a change is released.
pub(super) struct Releasing<'a> {
    pub(super) scope: &'a Scope,
    pub(super) gate: &'a Gate,
    pub(super) stamp: &'a Stamp,
    pub(super) aim: Aim<'a>,
}

impl Releasing<'_> {
    /// What releases the set and activates it in every environment that asks for that, and in the one
    /// where it is to be live.
    ///
    /// # Errors
    /// `Denied` where an environment asks for approvals that were not given; `Conflict` where what was
    /// rolled back would be made live.
    pub(super) async fn of(
        &self,
        project: &ProjectRecord,
        current: &Step,
        entries: &Entries,
        changes: &[Change],
    ) -> Result<(Option<String>, Transaction)> {
        let (mut made, mut moves) = (BTreeSet::new(), Transaction::new());
        let mut shown = None;
        for environment in touched(self.scope, project, self.aim).await? {
            let is_aim = self.aim.is_at(&environment.name);
            let is_asked = matches!(self.aim, Aim::Request(_));
            let is_guarded = is_asked && environment.record.approvals.quorum() > 0;
            let cause = if is_asked && (is_guarded || is_aim) { Cause::Request } else { Cause::Auto };
            // After a rollback, what was rolled back stays out until a person activates it.
            let is_apart =
                is_guarded || (!environment.record.rolled_back.is_empty() && (is_asked || !is_aim));
            let own = match is_apart {
                true => Some(self.apart(&environment, current, entries, changes).await?),
                false => None,
            };
            let (step, buckets) = own.unwrap_or_else(|| (current.clone(), Transaction::new()));
            let id = step.after.release_id(self.scope.project())?;
            if made.insert(id.clone()) {
                let (_, _, make) = make_release(self.scope, &step.after, self.stamp).await?;
                moves = moves.and(buckets).and(make);
            }
            if shown.is_none() || is_aim {
                shown = Some(id.clone());
            }
            if environment.record.release.as_ref() == Some(&id) {
                continue;
            }
            check_change_sticks(self.scope, &environment, &step.before, entries).await?;
            let back = before_of(&environment.record);
            let (_, change) = move_pointer(self.scope, &environment, &id, cause, back, self.stamp)?;
            moves = moves.and(change);
        }
        Ok((shown, moves))
    }

    /// What goes live where approvals are asked for, or where a release was rolled back: what is active
    /// there with these changes, and nothing else that was written since.
    async fn apart(
        &self,
        environment: &ReadEnvironment,
        current: &Step,
        entries: &Entries,
        changes: &[Change],
    ) -> Result<(Step, Transaction)> {
        let before = match &environment.record.release {
            Some(release) => read_release(self.scope, release).await?.set,
            None => SetRecord::empty(),
        };
        let (after, buckets) = before.with(self.scope, entries).await?;
        if after != current.after {
            let checked = self.gate.check(self.scope, &before, changes).await;
            checked.map_err(|error| {
                let name = &environment.name;
                error.with_hint(format!(
                    "this was checked with what is active in `{name}`, which differs from the newest versions"
                ))
            })?;
        }
        Ok((Step { before, after }, buckets))
    }
}

/// The environments in which a change is live at once.
pub(crate) async fn touched(
    scope: &Scope,
    project: &ProjectRecord,
    aim: Aim<'_>,
) -> Result<Vec<ReadEnvironment>> {
    let mut touched = Vec::new();
    for name in &project.environments {
        let environment = read_environment(scope, name).await?;
        if environment.record.auto_release.unwrap_or(project.auto_release) || aim.is_at(name) {
            touched.push(environment);
        }
    }
    Ok(touched)
}
