// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents: named, versioned texts of a kind. Every version is immutable and addressed by the
//! hash of its text; removing a document is a version too.
//!
//! Writing is in `write`; what a kind accepts is in `gate`.

mod batch;
mod diff;
mod draft;
mod edit;
mod encoded;
mod gate;
mod live;
pub(crate) mod record;
mod release;
pub(crate) mod set;
mod write;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use batch::base_changed;
pub use diff::unified;
pub use draft::MAX_CHANGES;
pub(crate) use draft::{Based, parse as parse_drafts, with_schemas};
pub use edit::DataEdit;
pub use encoded::EncodedDocument;
use encoded::Stored;
pub(crate) use gate::Gate;
pub(crate) use live::Aim;
pub(crate) use release::touched;
pub(crate) use write::{Batch, Change, Writer, check_message};

use crate::api::documents::{
    Document, DocumentContent, DocumentDiff, Kind, PolicyTestReport, PolicyValidation, PutDocument,
    RollbackDocument, TestPolicies, ValidatePolicy,
};
use crate::api::{Page, PageQuery};
use crate::auth::{Action, Authorized, Target};
use crate::configs::environment_of;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::expected::Expected;
use crate::ids::{Name, ProjectId};
use crate::kit::Kit;
use crate::store::Scope;
use record::{VersionRecord, decode};

/// The largest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// How many documents a project holds at most.
pub const MAX_DOCUMENTS: u64 = 10_000;
/// How many versions a document has at most.
pub const MAX_VERSIONS: u64 = 100_000;
/// The longest message of a version, a release or an activation, in characters.
pub const MAX_MESSAGE_CHARS: usize = 1_000;

/// The documents of all projects.
#[derive(Debug, Clone)]
pub struct Documents {
    kit: Kit,
    writer: Arc<Writer>,
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The version that now stands.
    pub document: Document,
    /// Whether the document is new.
    pub created: bool,
}

impl Documents {
    pub(crate) fn new(kit: Kit, writer: Arc<Writer>) -> Self {
        Self { kit, writer }
    }

    /// Writes a new version. Unchanged text is no new version.
    ///
    /// # Errors
    /// `Unprocessable` with places if the kind does not accept the text; `Stale` if `expected` does
    /// not hold; `TooLarge` and `TooMany` past the limits.
    pub async fn put(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        put: PutDocument,
        expected: Expected,
    ) -> Result<Written> {
        let proof = self.authorize(ctx, project, kind, write_action, Some(name)).await?;
        if put.schema.is_some() && kind != Kind::Config {
            return Err(Error::unprocessable(
                "schema_not_available",
                format!("a {} takes no `schema`", kind.as_str()),
            ));
        }
        let mut change = Change { schema: put.schema, ..Change::new(kind, name.clone(), Some(put.content)) };
        let Some(schema) = change.schema.take_if(|schema| is_inline(schema)) else {
            return self.writer.write(ctx, &proof, change, put.message, &expected, None).await;
        };
        // A schema that is given itself becomes a document that is named as the config is.
        change.schema = Some(name.to_string());
        let beside = Change::new(Kind::Schema, name.clone(), Some(schema));
        self.writer.write_beside(ctx, &proof, change, beside, put.message, &expected).await
    }

    /// Removes a document by a tombstone version; its history stays.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; `Unprocessable` if the policies that stay do not pass.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        message: Option<String>,
        expected: Expected,
    ) -> Result<Document> {
        let proof = self.authorize(ctx, project, kind, write_action, Some(name)).await?;
        let change = Change::new(kind, name.clone(), None);
        Ok(self.writer.write(ctx, &proof, change, message, &expected, None).await?.document)
    }

    /// Writes a new version with the text of an old one.
    ///
    /// # Errors
    /// `NotFound` if that version has no text; otherwise as [`Documents::put`].
    pub async fn rollback(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        back: RollbackDocument,
    ) -> Result<Written> {
        let proof = self.authorize(ctx, project, kind, write_action, Some(name)).await?;
        if let Some(written) = ctx.given()? {
            return Ok(written);
        }
        let scope = self.kit.scope(&proof);
        let old = read_version(&scope, kind, name, back.version).await?;
        if old.is_tombstone() {
            return Err(not_found(kind, name, Some(back.version)));
        }
        let content = set::read_string(&scope, &old.hash).await?;
        let message = back.message.or_else(|| Some(format!("roll back to version {}", back.version)));
        let change = Change {
            schema: Some(old.schema.unwrap_or_default()),
            ..Change::new(kind, name.clone(), Some(content))
        };
        self.writer.write(ctx, &proof, change, message, &Expected::Any, None).await
    }

    /// Reads a version with its text; the newest, unless one is named.
    ///
    /// # Errors
    /// `NotFound` if there is no such document or version, or if it is a tombstone.
    pub async fn get(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        version: Option<u64>,
    ) -> Result<DocumentContent> {
        let proof = self.authorize(ctx, project, kind, read_action, Some(name)).await?;
        Stored::read(&self.kit.scope(&proof), kind, name, version).await?.content(kind, name)
    }

    /// Reads as [`Documents::get`] does, into the JSON that goes on the wire: encoded once for each version,
    /// not once for each reader.
    ///
    /// # Errors
    /// As [`Documents::get`].
    pub async fn get_encoded(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        version: Option<u64>,
    ) -> Result<EncodedDocument> {
        let proof = self.authorize(ctx, project, kind, read_action, Some(name)).await?;
        Stored::read(&self.kit.scope(&proof), kind, name, version).await?.encoded(kind, name)
    }

    /// Lists the current documents of a kind whose names begin with `prefix`.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        prefix: Option<&str>,
        page: &PageQuery,
    ) -> Result<Page<Document>> {
        let mut target = Target::new(project, kind.as_str());
        target.name = prefix.map(str::to_owned);
        let proof = self.kit.authorize(ctx, read_action(kind), target).await?;
        let scope = self.kit.scope(&proof);
        let (limit, root) = (page.limit()?, head_prefix(kind));
        let mut after = page.after()?;
        let mut items: Vec<Document> = Vec::new();
        loop {
            let start = after.as_ref().map(|name| format!("{root}{name}"));
            let found = scope
                .list(&format!("{root}{}", prefix.unwrap_or("")), start.as_deref(), limit + 1, false)
                .await?;
            let exhausted = !found.more;
            for entry in &found.entries {
                let name = scope.relative(&entry.key).strip_prefix(&root).unwrap_or_default().to_owned();
                let record: VersionRecord = decode(&entry.key, &entry.value)?;
                if !record.is_tombstone() {
                    if items.len() == limit {
                        let last = items.last().map(|item| item.name.clone());
                        return Ok(Page::new(items, last.as_deref()));
                    }
                    items.push(record.document(kind, &name));
                }
                after = Some(name);
            }
            if exhausted {
                return Ok(Page::new(items, None));
            }
        }
    }

    /// Lists the versions of a document, newest first, tombstones included.
    ///
    /// # Errors
    /// `NotFound` if there never was such a document.
    pub async fn versions(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        page: &PageQuery,
    ) -> Result<Page<Document>> {
        let proof = self.authorize(ctx, project, kind, read_action, Some(name)).await?;
        let scope = self.kit.scope(&proof);
        let prefix = format!("ver/{}/{name}@", kind.as_str());
        let after = page.after()?.map(|version| format!("{prefix}{version}"));
        let limit = page.limit()?;
        let found = scope.list(&prefix, after.as_deref(), limit, true).await?;
        if found.entries.is_empty() && after.is_none() {
            return Err(not_found(kind, name, None));
        }
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in &found.entries {
            items.push(decode::<VersionRecord>(&entry.key, &entry.value)?.document(kind, name.as_str()));
        }
        let last = found.entries.last().filter(|_| found.more).and_then(|entry| entry.key.rsplit_once('@'));
        Ok(Page::new(items, last.map(|(_, version)| version)))
    }

    /// Compares two versions: by default the newest and the one before it.
    ///
    /// # Errors
    /// `NotFound` if a version does not exist.
    pub async fn diff(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        name: &Name,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<DocumentDiff> {
        let proof = self.authorize(ctx, project, kind, read_action, Some(name)).await?;
        let scope = self.kit.scope(&proof);
        let to = match to {
            Some(to) => to,
            None => read_head(&scope, kind, name).await?.version,
        };
        let from = from.unwrap_or(to.saturating_sub(1));
        let old = text_of(&scope, kind, name, from).await?;
        let new = text_of(&scope, kind, name, to).await?;
        let diff = unified(&old, &new, &format!("{name}@{from}"), &format!("{name}@{to}"));
        Ok(DocumentDiff { name: name.to_string(), kind, from, to, diff })
    }

    /// Checks a policy against the others of the project without writing it.
    ///
    /// # Errors
    /// Only what authorization answers: what is wrong with the policy is in the answer.
    pub async fn validate(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        policy: ValidatePolicy,
    ) -> Result<PolicyValidation> {
        let target = Target::new(project, "policy");
        let proof = self.kit.authorize(ctx, Action::PolicyTest, target).await?;
        self.writer.gate().validate(&self.kit.scope(&proof), policy).await
    }

    /// Runs the project's Rego tests with candidate documents in place.
    ///
    /// # Errors
    /// `Unprocessable` with places if the candidates do not compile.
    pub async fn test(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        test: TestPolicies,
    ) -> Result<PolicyTestReport> {
        let proof = self.kit.authorize(ctx, Action::PolicyTest, Target::new(project, "policy")).await?;
        Ok(self.writer.gate().test(&self.kit.scope(&proof), test).await?.into())
    }

    async fn authorize(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        kind: Kind,
        action: fn(Kind) -> Action,
        name: Option<&Name>,
    ) -> Result<Authorized> {
        let mut target = Target::new(project, kind.as_str());
        target.name = name.map(ToString::to_string);
        target.environment = name.and_then(|name| environment_of(kind, name));
        self.kit.authorize(ctx, action(kind), target).await
    }
}

/// Whether a schema is given itself, and not by its name.
fn is_inline(schema: &str) -> bool {
    schema.trim_start().starts_with('{')
}

pub(crate) fn read_action(kind: Kind) -> Action {
    match kind {
        Kind::Policy => Action::PolicyRead,
        Kind::Data => Action::DataRead,
        Kind::Config | Kind::Schema | Kind::Template | Kind::Variable => Action::ConfigRead,
    }
}

pub(crate) fn write_action(kind: Kind) -> Action {
    match kind {
        Kind::Policy => Action::PolicyWrite,
        Kind::Data => Action::DataWrite,
        Kind::Config | Kind::Schema | Kind::Template | Kind::Variable => Action::ConfigWrite,
    }
}

fn head_prefix(kind: Kind) -> String {
    format!("doc/{}/", kind.as_str())
}

/// The hash under which a text is stored: SHA-256, in hexadecimal.
pub fn text_hash(text: &str) -> String {
    set::hash(text.as_bytes())
}

/// The relative key of a document's newest version.
pub(crate) fn head_key(kind: Kind, name: &Name) -> String {
    ["doc/", kind.as_str(), "/", name.as_str()].concat()
}

/// The relative key of one version of a document.
pub(crate) fn version_key(kind: Kind, name: &Name, version: u64) -> String {
    format!("ver/{}/{name}@{version:08}", kind.as_str())
}

pub(crate) fn not_found(kind: Kind, name: &Name, version: Option<u64>) -> Error {
    match version {
        Some(version) => Error::not_found(format!("version {version} of the {} `{name}`", kind.as_str())),
        None => Error::not_found(format!("the {} `{name}`", kind.as_str())),
    }
}

async fn read_head(scope: &Scope, kind: Kind, name: &Name) -> Result<VersionRecord> {
    match scope.cached(&head_key(kind, name)).await?.entry() {
        Some(entry) => decode(&entry.key, &entry.value),
        None => Err(not_found(kind, name, None)),
    }
}

async fn read_version(scope: &Scope, kind: Kind, name: &Name, version: u64) -> Result<VersionRecord> {
    match scope.cached(&version_key(kind, name, version)).await?.entry() {
        Some(entry) => decode(&entry.key, &entry.value),
        None => Err(not_found(kind, name, Some(version))),
    }
}

/// The schema that a version of a config keeps to; empty for none.
pub(crate) async fn schema_of(scope: &Scope, name: &Name, version: u64) -> Result<String> {
    if version == 0 {
        return Ok(String::new());
    }
    Ok(read_version(scope, Kind::Config, name, version).await?.schema.unwrap_or_default())
}

/// The text of a version; empty before the first and for tombstones.
pub(crate) async fn text_of(scope: &Scope, kind: Kind, name: &Name, version: u64) -> Result<String> {
    if version == 0 {
        return Ok(String::new());
    }
    let record = read_version(scope, kind, name, version).await?;
    if record.is_tombstone() { Ok(String::new()) } else { set::read_string(scope, &record.hash).await }
}
