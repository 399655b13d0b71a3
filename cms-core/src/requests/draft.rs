// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a request asks for: the draft and its texts, what it is bound to, the hash over both, and the
//! difference that approvers look at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::record::{ActiveRecord, Bound, ChangeRecord, Draft, RequestRecord, RuleRecord};
use crate::api::documents::Kind;
use crate::api::requests::{ChangeOp, DraftChange};
use crate::documents::record::SetRecord;
use crate::documents::set::{blob_key, hash, read_string};
use crate::documents::{Aim, Batch, Change, MAX_DOCUMENT_BYTES, text_of, touched, unified};
use crate::error::{Error, Place, Result};
use crate::ids::Name;
use crate::releases::activate::{ReadEnvironment, read_environment};
use crate::releases::canonical::canonical;
use crate::releases::{compare_sets, read_project, read_release};
use crate::store::{Scope, Transaction};

/// How many changes a request holds at most.
pub const MAX_CHANGES: usize = 100;

/// Texts by their hashes.
pub(super) type Texts = BTreeMap<String, String>;

/// Changes as they were sent, with their texts.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) changes: Vec<ChangeRecord>,
    texts: Texts,
}

impl Sent {
    /// Takes changes apart, in the order of kinds and names.
    ///
    /// # Errors
    /// `Unprocessable` with places.
    pub(super) fn parse(sent: Vec<DraftChange>) -> Result<Self> {
        if sent.is_empty() || sent.len() > MAX_CHANGES {
            let text = format!("a request holds 1 to {MAX_CHANGES} changes, not {}", sent.len());
            return Err(Error::unprocessable("invalid_changes", text));
        }
        let (mut changes, mut texts, mut places) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut known = BTreeSet::new();
        for (at, change) in sent.into_iter().enumerate() {
            if let Some((field, message)) =
                fault(&change, known.contains(&(change.kind, change.name.clone())))
            {
                places.push(Place {
                    path: Some(format!("/changes/{at}/{field}")),
                    message,
                    ..Place::default()
                });
            }
            known.insert((change.kind, change.name.clone()));
            let hash = change.content.as_ref().map(|content| hash(content.as_bytes()));
            texts.extend(hash.clone().zip(change.content));
            let DraftChange { kind, name, base_version, .. } = change;
            changes.push(ChangeRecord { kind, name, hash, base_version });
        }
        if !places.is_empty() {
            return Err(
                Error::unprocessable("invalid_changes", "some changes cannot be made").with_places(places)
            );
        }
        changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(Self { changes, texts })
    }

    /// The new texts.
    pub(super) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The part of a transaction that keeps the texts.
    pub(super) fn store(&self, scope: &Scope) -> Transaction {
        self.texts.iter().fold(Transaction::new(), |transaction, (hash, text)| {
            transaction.put(scope.key(&blob_key(hash)), text.clone())
        })
    }

    /// The changes as they will be written.
    ///
    /// # Errors
    /// `Invalid` for a name that is none.
    pub(super) fn batch(&self, environment: Option<String>) -> Result<Batch> {
        let change = |change: &ChangeRecord| {
            let content = change.hash.as_ref().and_then(|hash| self.texts.get(hash)).cloned();
            Ok((Change::new(change.kind, Name::parse(&change.name)?, content), change.base_version))
        };
        let changes = self.changes.iter().map(change).collect::<Result<_>>()?;
        Ok(Batch { changes, environment, message: None })
    }
}

/// What is wrong with a change in itself, and in which field.
fn fault(change: &DraftChange, is_known: bool) -> Option<(&'static str, String)> {
    if let Err(error) = Name::parse(&change.name) {
        return Some(("name", error.message().to_owned()));
    }
    if is_known {
        return Some(("name", format!("the {} `{}` is named twice", change.kind.as_str(), change.name)));
    }
    match (change.op, &change.content) {
        (ChangeOp::Put, None) => Some(("content", String::from("`put` takes the new text"))),
        (ChangeOp::Delete, Some(_)) => Some(("content", String::from("`delete` takes no text"))),
        (ChangeOp::Delete, None) if change.base_version == 0 => {
            Some(("base_version", String::from("what does not exist cannot be removed")))
        }
        (ChangeOp::Put, Some(content)) if content.len() > MAX_DOCUMENT_BYTES => {
            Some(("content", format!("a document holds at most {MAX_DOCUMENT_BYTES} bytes")))
        }
        _ => None,
    }
}

/// The changes of a request, to be written.
pub(super) async fn batch(scope: &Scope, record: &RequestRecord) -> Result<Batch> {
    let mut changes = Vec::with_capacity(record.draft.changes.len());
    for ChangeRecord { kind, name, hash, base_version } in &record.draft.changes {
        let content = match hash {
            Some(hash) => Some(read_string(scope, hash).await?),
            None => None,
        };
        changes.push((Change::new(*kind, Name::parse(name)?, content), *base_version));
    }
    let message = Some(format!("{} (request {})", record.title, record.id));
    Ok(Batch { changes, environment: record.draft.environment.clone(), message })
}

/// The circumstances of a draft as they are now.
///
/// # Errors
/// `NotFound` if the project has no such environment.
pub(super) async fn bound(scope: &Scope, draft: &Draft) -> Result<Bound> {
    let project = read_project(scope).await?.1;
    if let Some(environment) = &draft.environment
        && !project.environments.contains(environment)
    {
        return Err(Error::not_found(format!("environment `{environment}`")));
    }
    let mut bound = Bound::default();
    let aim = Aim::Request(draft.environment.as_deref());
    for environment in touched(scope, &project, aim).await? {
        if draft.release.is_some() && !aim.is_at(&environment.name) {
            continue;
        }
        let approvals = &environment.record.approvals;
        if approvals.quorum() == 0 {
            continue;
        }
        bound.rules.push(RuleRecord {
            environment: environment.name.clone(),
            quorum: approvals.quorum(),
            approvers: approvals.approvers().to_vec(),
        });
        let versions = active(scope, &environment, &draft.changes).await?;
        bound.active.push(ActiveRecord { environment: environment.name, versions });
    }
    if let (Some(_), Some(environment)) = (&draft.release, &draft.environment) {
        bound.replaces = read_environment(scope, environment).await?.record.release;
    }
    Ok(bound)
}

/// Which versions of documents are active in an environment; 0: none.
async fn active(scope: &Scope, environment: &ReadEnvironment, changes: &[ChangeRecord]) -> Result<Vec<u64>> {
    let mut active: BTreeMap<(Kind, String), u64> = BTreeMap::new();
    if let Some(release) = &environment.record.release {
        let members = read_release(scope, release).await?.set.members(scope, None).await?;
        active.extend(members.into_iter().map(|member| ((member.kind, member.name), member.version)));
    }
    let version = |change: &ChangeRecord| active.get(&(change.kind, change.name.clone())).copied();
    Ok(changes.iter().map(|change| version(change).unwrap_or(0)).collect())
}

/// The hash that approvals name: of everything but the words around it.
pub(super) fn content_hash(scope: &Scope, draft: &Draft, bound: &Bound) -> Result<String> {
    #[derive(Serialize)]
    struct Content<'a> {
        v: u8,
        project: &'a str,
        draft: &'a Draft,
        bound: &'a Bound,
    }
    let content = Content { v: 1, project: scope.project().as_str(), draft, bound };
    let text = serde_json::to_vec(&content).map_err(Error::internal)?;
    Ok(hash(&canonical(&text).map_err(Error::internal)?))
}

/// The difference that a request makes, document by document: to what it was made for, and to what is
/// active where it needs approvals. `fresh` are texts that are not stored yet.
pub(super) async fn diff(scope: &Scope, record: &RequestRecord, fresh: &Texts) -> Result<String> {
    let mut whole = String::new();
    if let Some(release) = &record.draft.release {
        let old = match &record.bound.replaces {
            Some(release) => read_release(scope, release).await?.set,
            None => SetRecord::empty(),
        };
        let new = read_release(scope, release).await?.set;
        for change in compare_sets(scope, &old, &new).await? {
            whole.push_str(&change.diff);
        }
    }
    for (at, change) in record.draft.changes.iter().enumerate() {
        let name = Name::parse(&change.name)?;
        let new = match change.hash.as_ref().map(|hash| (hash, fresh.get(hash))) {
            Some((_, Some(text))) => text.clone(),
            Some((hash, None)) => read_string(scope, hash).await?,
            None => String::new(),
        };
        let active = record.bound.active.iter().filter_map(|active| active.versions.get(at).copied());
        let olds: BTreeSet<u64> = active.chain([change.base_version]).collect();
        for old in olds {
            let text = text_of(scope, change.kind, &name, old).await?;
            let label = |state: &str| format!("{}/{name}@{state}", change.kind.as_str());
            let target = if change.hash.is_some() { "new" } else { "removed" };
            whole.push_str(&unified(&text, &new, &label(&old.to_string()), &label(target)));
        }
    }
    Ok(whole)
}
