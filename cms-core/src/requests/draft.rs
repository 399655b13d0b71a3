// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a request asks for: the draft and its texts, what it is bound to, the hash over both, and the
//! difference that approvers look at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::record::{ActiveRecord, Bound, ChangeRecord, Draft, RequestRecord, RuleRecord};
use crate::api::documents::{DraftChange, Kind};
use crate::documents::record::SetRecord;
use crate::documents::set::{blob_key, hash, read_string};
use crate::documents::{
    Aim, Based, Batch, Change, parse_drafts as parse, schema_of, text_of, touched, unified, with_schemas,
};
use crate::error::{Error, Result};
use crate::ids::Name;
use crate::releases::activate::{ReadEnvironment, read_environment};
use crate::releases::canonical::canonical;
use crate::releases::{compare_sets, read_project, read_release};
use crate::store::{Scope, Transaction};

/// Texts by their hashes.
pub(super) type Texts = BTreeMap<String, String>;

/// Changes as they were sent.
#[derive(Debug)]
pub(super) struct Sent(Vec<Based>);

impl Sent {
    /// Reads changes.
    ///
    /// # Errors
    /// `Unprocessable` with places.
    pub(super) fn parse(sent: Vec<DraftChange>) -> Result<Self> {
        parse(sent).map(Self)
    }

    /// The same with a document for each schema that came with its config.
    pub(super) async fn with_schemas(self, scope: &Scope) -> Result<Self> {
        with_schemas(scope, self.0).await.map(Self)
    }

    /// The changes as the request holds them.
    pub(super) fn records(&self) -> Vec<ChangeRecord> {
        let record = |(change, base): &Based| ChangeRecord {
            kind: change.kind,
            name: change.name.to_string(),
            hash: change.content.as_ref().map(|content| hash(content.as_bytes())),
            schema: change.schema.clone(),
            base_version: *base,
        };
        self.0.iter().map(record).collect()
    }

    /// The new texts.
    pub(super) fn texts(&self) -> Texts {
        let contents = self.0.iter().filter_map(|(change, _)| change.content.clone());
        contents.map(|content| (hash(content.as_bytes()), content)).collect()
    }

    /// The changes as they will be written.
    pub(super) fn batch(&self, environment: Option<String>) -> Batch {
        Batch { changes: self.0.clone(), environment, message: None }
    }
}

/// The part of a transaction that keeps texts.
pub(super) fn stored(scope: &Scope, texts: &Texts) -> Transaction {
    texts.iter().fold(Transaction::new(), |transaction, (hash, text)| {
        transaction.put(scope.key(&blob_key(hash)), text.clone())
    })
}

/// The changes of a request, to be written.
pub(super) async fn batch(scope: &Scope, record: &RequestRecord) -> Result<Batch> {
    let mut changes = Vec::with_capacity(record.draft.changes.len());
    for ChangeRecord { kind, name, hash, schema, base_version } in &record.draft.changes {
        let content = match hash {
            Some(hash) => Some(read_string(scope, hash).await?),
            None => None,
        };
        let change = Change { schema: schema.clone(), ..Change::new(*kind, Name::parse(name)?, content) };
        changes.push((change, *base_version));
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
            if let Some(schema) = &change.schema {
                let label = |state: &str| format!("{} (its schema)", label(state));
                let bound = schema_of(scope, &name, old).await?;
                whole.push_str(&unified(&bound, schema, &label(&old.to_string()), &label(target)));
            }
        }
    }
    Ok(whole)
}
