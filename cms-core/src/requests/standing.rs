// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a request stands at this moment: whether it still fits what is there, and whether enough of
//! those who may approve it now have done so.

use super::draft::bound;
use super::record::{ApprovalRecord, RequestRecord, RuleRecord};
use crate::api::requests::{NeededApprovals, RequestState};
use crate::auth::{Action, Person, Role, Target, person};
use crate::documents::{head_key, record as documents};
use crate::error::Result;
use crate::ids::{EnvironmentId, Name};
use crate::kit::Kit;
use crate::store::{Condition, Scope};

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: RequestState,
    pub(super) reason: Option<String>,
    pub(super) needs: Vec<NeededApprovals>,
    /// That those who have approved may still do so.
    pub(super) conditions: Vec<Condition>,
}

/// Finds out where a request stands.
pub(super) async fn standing(kit: &Kit, scope: &Scope, record: &RequestRecord) -> Result<Standing> {
    let (needs, conditions) = needs(kit, scope, record).await?;
    if let Some(end) = &record.end {
        return Ok(Standing { state: end.state, reason: end.reason.clone(), needs, conditions });
    }
    if kit.now() >= record.expires_at {
        let reason = Some(format!("it was open until {}", record.expires_at));
        return Ok(Standing { state: RequestState::Expired, reason, needs, conditions });
    }
    if let Some(reason) = staleness(scope, record).await? {
        return Ok(Standing { state: RequestState::Stale, reason: Some(reason), needs, conditions });
    }
    let is_approved = needs.iter().all(|need| need.given >= need.quorum);
    let state = if is_approved { RequestState::Approved } else { RequestState::Open };
    Ok(Standing { state, reason: None, needs, conditions })
}

/// What has changed since the request was made, if anything has.
async fn staleness(scope: &Scope, record: &RequestRecord) -> Result<Option<String>> {
    for change in &record.draft.changes {
        let key = head_key(change.kind, &Name::parse(&change.name)?);
        let head: Option<documents::VersionRecord> = match scope.fresh(&key).await? {
            Some(entry) => Some(documents::decode(&entry.key, &entry.value)?),
            None => None,
        };
        let present = head.filter(|head| !head.is_tombstone()).map_or(0, |head| head.version);
        if present != change.base_version {
            let (kind, name, base) = (change.kind.as_str(), &change.name, change.base_version);
            return Ok(Some(format!("the {kind} `{name}` is at version {present} now, not {base}")));
        }
    }
    let is_bound = bound(scope, &record.draft).await? == record.bound;
    Ok((!is_bound)
        .then(|| String::from("what the environments ask for, or what is active there, has changed")))
}

/// What the request needs, and how much of that it has.
async fn needs(
    kit: &Kit,
    scope: &Scope,
    record: &RequestRecord,
) -> Result<(Vec<NeededApprovals>, Vec<Condition>)> {
    let mut people = Vec::new();
    for approval in &record.approvals {
        people.extend(approver(kit, scope, record, approval).await?);
    }
    let need = |environment: Option<&str>, quorum, approvers: &[String]| NeededApprovals {
        environment: environment.map(str::to_owned),
        quorum,
        approvers: approvers.to_vec(),
        given: u32::try_from(people.iter().filter(|person| fits(person, approvers)).count())
            .unwrap_or(u32::MAX),
    };
    let conditions = people.iter().flat_map(|person| person.conditions.clone()).collect();
    let rules = &record.bound.rules;
    if rules.is_empty() {
        // Who wants nobody else to look writes directly.
        return Ok((vec![need(None, 1, &[])], conditions));
    }
    let needs = rules.iter().map(|rule| need(Some(&rule.environment), rule.quorum, &rule.approvers));
    Ok((needs.collect(), conditions))
}

/// Who gave an approval, if the same person may still give it.
async fn approver(
    kit: &Kit,
    scope: &Scope,
    record: &RequestRecord,
    approval: &ApprovalRecord,
) -> Result<Option<Person>> {
    let found = person(kit, scope.project(), &approval.by).await?;
    let Some(person) = found.filter(|person| person.uid == approval.uid) else { return Ok(None) };
    if record.authors.contains(&approval.by) {
        return Ok(None);
    }
    for target in targets(scope, record)? {
        if !kit.authorizer.permits(&person.principal, Action::RequestApprove, &target).await? {
            return Ok(None);
        }
    }
    Ok(Some(person))
}

/// What a request is about, as authorization sees it: each document, or the environment of
/// a promotion.
pub(super) fn targets(scope: &Scope, record: &RequestRecord) -> Result<Vec<Target>> {
    let environment = record.draft.environment.as_deref().map(EnvironmentId::parse).transpose()?;
    let target = |kind: &'static str, name: &str| {
        Target::new(scope.project(), kind).named(name).environment(environment.as_ref())
    };
    if let (Some(_), Some(environment)) = (&record.draft.release, &environment) {
        return Ok(vec![target("environment", environment.as_str())]);
    }
    Ok(record.draft.changes.iter().map(|change| target(change.kind.as_str(), &change.name)).collect())
}

/// Whether a person is among those whom any rule of a request asks.
pub(super) fn is_asked(person: &Person, rules: &[RuleRecord]) -> bool {
    match rules {
        [] => fits(person, &[]),
        rules => rules.iter().any(|rule| fits(person, &rule.approvers)),
    }
}

/// Whether a role in the project is among those whom any rule of a request asks.
pub(super) fn is_role_asked(role: Role, rules: &[RuleRecord]) -> bool {
    let is_in = |approvers: &[String]| match approvers {
        [] => role == Role::ProjectAdmin,
        names => names.iter().any(|name| role.as_str() == name),
    };
    rules.is_empty() && is_in(&[]) || rules.iter().any(|rule| is_in(&rule.approvers))
}

/// Whether a person is among approvers; without any, among those who administer the project.
fn fits(person: &Person, approvers: &[String]) -> bool {
    if approvers.is_empty() {
        let administers = [Role::ProjectAdmin, Role::PlatformAdmin, Role::CmsAdmin];
        return person.roles.iter().any(|role| administers.contains(role));
    }
    let actor = person.principal.to_string();
    let is_named = |name: &String| {
        person.roles.iter().any(|role| role.as_str() == name)
            || actor.strip_prefix("user:").is_some_and(|user| user.eq_ignore_ascii_case(name))
    };
    approvers.iter().any(is_named)
}
