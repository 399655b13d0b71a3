// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Onboarding: everything that a project begins with, in one transaction.

use super::record::{META, MemberRecord, ProjectRecord, grant_key};
use crate::api::documents::{Document, Kind};
use crate::api::projects::{CreateProject, Member, OnboardedProject};
use crate::audit::NewRecord;
use crate::auth::{Authorized, Keys, NewKey, ScopeName};
use crate::context::RequestContext;
use crate::documents::head_key;
use crate::documents::record::{BucketEntry, SetRecord, VersionRecord, encode};
use crate::documents::set::{CURRENT_SET, blob_key, hash};
use crate::documents::version_key;
use crate::error::{Error, Place, Result};
use crate::ids::{EnvironmentId, Name, ProjectId, UserId};
use crate::kit::Kit;
use crate::policies::defaults::{DefaultDocument, DefaultKind, default_documents};
use crate::releases::MAX_ENVIRONMENTS;
use crate::releases::activate::{Cause, Stamp, make_release, move_pointer, read_environment};
use crate::store::{Condition, Outcome, Scope, Transaction};

/// The longest name for people, in characters.
const MAX_NAME_CHARS: usize = 200;
/// The longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 2_000;
/// How many members a project may begin with; more join later.
const MAX_FIRST_MEMBERS: usize = 50;

/// How often onboarding is tried again when keys are rotated at the same moment.
const ATTEMPTS: usize = 16;

/// Onboards a project.
pub(super) async fn onboard(
    kit: &Kit,
    keys: &Keys,
    ctx: &RequestContext,
    proof: &Authorized,
    create: CreateProject,
) -> Result<OnboardedProject> {
    for _ in 0..ATTEMPTS {
        // Whoever lost to another onboarding of the same project is told so on the next turn.
        if let Some(onboarded) = try_onboard(kit, keys, ctx, proof, create.clone()).await? {
            return Ok(onboarded);
        }
    }
    Err(Error::conflict("too_many_writers", "others keep changing the keyrings; try again"))
}

async fn try_onboard(
    kit: &Kit,
    keys: &Keys,
    ctx: &RequestContext,
    proof: &Authorized,
    create: CreateProject,
) -> Result<Option<OnboardedProject>> {
    let project = proof.project();
    let scope = kit.scope(proof);
    check_texts(Some(&create.name), create.description.as_deref())?;
    let environments = checked_environments(create.environments.as_deref())?;
    let members = checked_members(kit, &create.members).await?;
    let documents = template_documents(create.template.as_deref())?;
    refuse_reuse(kit, &scope, project).await?;

    let stamp = Stamp {
        author: ctx.principal.to_string(),
        time: kit.now(),
        message: Some(String::from("onboarding")),
    };
    let record = ProjectRecord {
        v: 1,
        id: project.to_string(),
        name: create.name,
        description: create.description,
        environments: environments.iter().map(ToString::to_string).collect(),
        auto_release: create.auto_release.unwrap_or(true),
        created_at: stamp.time,
        created_by: stamp.author.clone(),
    };
    let (policies, set, writes) = first_documents(&scope, documents, &stamp).await?;
    let (release, releasing) = first_release(&scope, &environments, &set, &stamp).await?;
    let (minting, key) =
        keys.mint(project, NewKey::with_scope("default", ScopeName::Decide, &stamp.author)).await?;
    let mut change = Transaction::new()
        .when(Condition::Absent(scope.key(META)))
        .when(Condition::Absent(format!("sys/offboarded/{project}")))
        .put(scope.key(META), encode(&record)?)
        .and(kit.barrier.create_project_key(project).await?)
        .and(writes)
        .and(releasing);
    for (user, member) in &members {
        change = change.and(grant(&scope, project, user, member, &stamp)?);
    }
    change = change.and(minting);
    let audited = NewRecord::of(proof).release(release.clone());
    let onboarded = OnboardedProject { project: record.project(1), policies, keys: vec![key], release };
    ctx.offer(&onboarded)?;
    match kit.commit(ctx, audited, change).await? {
        Outcome::Committed { .. } => Ok(Some(onboarded)),
        Outcome::Conflict { .. } => Ok(None),
    }
}

/// Checks the texts that people read.
pub(super) fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<()> {
    let bad = |text: &str, most: usize| {
        text.chars().count() > most || text.chars().any(|c| c.is_control() && c != '\n')
    };
    if name.is_some_and(|name| name.trim().is_empty() || bad(name, MAX_NAME_CHARS)) {
        return Err(Error::invalid(format!("`name` must have 1 to {MAX_NAME_CHARS} printable characters")));
    }
    if description.is_some_and(|description| bad(description, MAX_DESCRIPTION_CHARS)) {
        return Err(Error::invalid(format!(
            "`description` must have at most {MAX_DESCRIPTION_CHARS} printable characters"
        )));
    }
    Ok(())
}

fn checked_environments(given: Option<&[String]>) -> Result<Vec<EnvironmentId>> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(vec![EnvironmentId::parse("default")?]);
    };
    if given.len() > MAX_ENVIRONMENTS {
        return Err(Error::invalid(format!(
            "a project has at most {MAX_ENVIRONMENTS} environments, not {}",
            given.len()
        )));
    }
    let mut environments = Vec::with_capacity(given.len());
    for name in given {
        let environment = EnvironmentId::parse(name)?;
        if environments.contains(&environment) {
            return Err(Error::invalid(format!("the environment `{environment}` is named twice")));
        }
        environments.push(environment);
    }
    Ok(environments)
}

async fn checked_members(kit: &Kit, given: &[Member]) -> Result<Vec<(UserId, Member)>> {
    if given.len() > MAX_FIRST_MEMBERS {
        return Err(Error::invalid(format!(
            "a project begins with at most {MAX_FIRST_MEMBERS} members; add the others later"
        )));
    }
    let mut members: Vec<(UserId, Member)> = Vec::with_capacity(given.len());
    let mut places = Vec::new();
    for (at, member) in given.iter().enumerate() {
        let user = UserId::parse(&member.user)?.canonical();
        let path = |field: &str| Some(format!("/members/{at}/{field}"));
        if !member.role.is_project() {
            let message = format!("`{}` is no role within a project", member.role.as_str());
            places.push(Place { path: path("role"), message, ..Place::default() });
        } else if !super::members::user_exists(kit, &user).await? {
            let message = format!("the user `{user}` does not exist; create it first");
            places.push(Place { path: path("user"), message, ..Place::default() });
        } else if members.iter().any(|(known, _)| *known == user) {
            places.push(Place {
                path: path("user"),
                message: format!("`{user}` is named twice"),
                ..Place::default()
            });
        }
        members.push((user, member.clone()));
    }
    if places.is_empty() {
        return Ok(members);
    }
    Err(Error::unprocessable("invalid_members", "some members cannot be added").with_places(places))
}

fn template_documents(template: Option<&str>) -> Result<Vec<DefaultDocument>> {
    match template {
        None | Some("rag") => Ok(default_documents().to_vec()),
        Some("empty") => Ok(Vec::new()),
        Some(_) => Err(Error::unprocessable("unknown_template", "the template must be `rag` or `empty`")),
    }
}

async fn refuse_reuse(kit: &Kit, scope: &Scope, project: &ProjectId) -> Result<()> {
    if scope.fresh(META).await?.is_some() {
        return Err(exists(project));
    }
    if kit.db.fresh(&format!("sys/offboarded/{project}")).await?.is_some() {
        return Err(Error::conflict(
            "project_offboarded",
            format!(
                "the project `{project}` was offboarded; its id is not given again, because the audit trail speaks of it"
            ),
        ));
    }
    Ok(())
}

fn exists(project: &ProjectId) -> Error {
    Error::conflict("project_exists", format!("the project `{project}` exists already"))
}

async fn first_documents(
    scope: &Scope,
    documents: Vec<DefaultDocument>,
    stamp: &Stamp,
) -> Result<(Vec<Document>, SetRecord, Transaction)> {
    let (mut policies, mut changes, mut writes) = (Vec::new(), Vec::new(), Transaction::new());
    let mut written = std::collections::BTreeSet::new();
    for document in documents {
        let name = Name::parse(document.name)?;
        let kind = match document.kind {
            DefaultKind::Policy => Kind::Policy,
            DefaultKind::Data => Kind::Data,
        };
        let hash = hash(document.text.as_bytes());
        let record = VersionRecord {
            v: 1,
            version: 1,
            hash: hash.clone(),
            size: document.text.len() as u64,
            author: stamp.author.clone(),
            time: stamp.time,
            message: stamp.message.clone(),
            parent: None,
            schema: None,
        };
        writes = writes
            .put(scope.key(&head_key(kind, &name)), encode(&record)?)
            .put(scope.key(&version_key(kind, &name, 1)), encode(&record)?);
        if written.insert(hash.clone()) {
            writes = writes.put(scope.key(&blob_key(&hash)), document.text);
        }
        changes.push((kind, name.to_string(), Some(BucketEntry { version: 1, hash })));
        if kind == Kind::Policy {
            policies.push(record.document(kind, name.as_str()));
        }
    }
    let (set, buckets) = SetRecord::empty().with(scope, &changes).await?;
    let writes = writes.and(buckets).put(scope.key(CURRENT_SET), encode(&set)?);
    Ok((policies, set, writes))
}

/// The first release, active in every environment whatever `auto_release` says: a new project
/// decides from its first moment.
async fn first_release(
    scope: &Scope,
    environments: &[EnvironmentId],
    set: &SetRecord,
    stamp: &Stamp,
) -> Result<(String, Transaction)> {
    let (release, _, mut change) = make_release(scope, set, stamp).await?;
    for environment in environments {
        let read = read_environment(scope, environment.as_str()).await?;
        let (_, moved) = move_pointer(scope, &read, &release.id, Cause::Activate, None, stamp)?;
        change = change.and(moved);
    }
    Ok((release.id, change))
}

/// What makes a user a member.
pub(super) fn grant(
    scope: &Scope,
    project: &ProjectId,
    user: &UserId,
    member: &Member,
    stamp: &Stamp,
) -> Result<Transaction> {
    let record =
        MemberRecord { v: 1, role: member.role, granted_at: stamp.time, granted_by: stamp.author.clone() };
    let bytes = encode(&record)?;
    Ok(Transaction::new()
        .put(scope.key(&format!("member/{user}")), bytes.clone())
        .put(grant_key(user.as_str(), project.as_str()), bytes))
}

/// The project `platform`, as part of the first transaction of an installation.
pub(crate) async fn platform_project(kit: &Kit) -> Result<Transaction> {
    let project = ProjectId::platform();
    let scope = kit.db.internal(&project);
    let stamp = Stamp {
        author: String::from("system"),
        time: kit.now(),
        message: Some(String::from("initialisation")),
    };
    let environment = EnvironmentId::parse("default")?;
    let record = ProjectRecord {
        v: 1,
        id: project.to_string(),
        name: String::from("Platform"),
        description: Some(String::from("What applies to all projects")),
        environments: vec![environment.to_string()],
        auto_release: true,
        created_at: stamp.time,
        created_by: stamp.author.clone(),
    };
    let set = SetRecord::empty();
    let (_, releasing) = first_release(&scope, &[environment], &set, &stamp).await?;
    Ok(Transaction::new()
        .when(Condition::Absent(scope.key(META)))
        .put(scope.key(META), encode(&record)?)
        .put(scope.key(CURRENT_SET), encode(&set)?)
        .and(releasing))
}
