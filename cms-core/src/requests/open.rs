// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening and editing requests: the draft passes every check that writing it would have to pass.

use std::collections::BTreeSet;
use std::time::Duration;

use super::draft::{Sent, Texts, batch, bound, content_hash, stored};
use super::record::{Bound, ChangeRecord, Draft, REQUESTS, RequestRecord};
use super::schedule::due_key;
use super::{ATTEMPTS, Read, Requests, check_unended, checks_of, contended, written};
use crate::api::requests::{ChangeRequest, CreateRequest, EditRequest, RequestCheck};
use crate::audit::NewRecord;
use crate::auth::{Action, Authorized, Target};
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::documents::{Batch, base_changed, check_message};
use crate::error::{Error, ErrorKind, Result};
use crate::expected::Expected;
use crate::ids::{EnvironmentId, ProjectId};
use crate::releases::activate::read_environment;
use crate::releases::guard::MAX_OPEN_SECONDS;
use crate::store::{Outcome, Scope, Transaction};

/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 200;
/// How many requests a project has open at most.
const MAX_OPEN: usize = 500;
/// For how long a request stays open if nobody says otherwise.
const OPEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// For how long an approved request may wait behind the time at which it is to be applied.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

impl Requests {
    /// Opens a request, after its changes have passed every check.
    ///
    /// # Errors
    /// `Unprocessable` with places for changes that cannot be made, or that their kind does not accept;
    /// `Stale` if a document is not at its `base_version`.
    pub async fn create(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        create: CreateRequest,
    ) -> Result<ChangeRequest> {
        check_title(&create.title)?;
        check_message(create.reason.as_deref())?;
        let environment = create.environment.as_deref().map(EnvironmentId::parse).transpose()?;
        let sent = Sent::parse(create.changes)?;
        let proof = self.authorize_changes(ctx, project, &sent.records(), environment.as_ref()).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        self.check_room(&scope).await?;
        let sent = sent.with_schemas(&scope).await?;
        let draft = Draft {
            changes: sent.records(),
            release: None,
            environment: create.environment,
            apply_at: create.apply_at,
        };
        let bound = bound(&scope, &draft).await?;
        self.check_changes(ctx, &proof, &sent.batch(draft.environment.clone())).await?;
        let now = self.kit.now();
        let id = uuid::Uuid::now_v7().to_string();
        let record = RequestRecord {
            v: 1,
            title: create.title,
            reason: create.reason,
            author: ctx.principal.to_string(),
            authors: self.hands(ctx).await?,
            created_at: now,
            updated_at: now,
            expires_at: self.expiry(&scope, &draft, &bound, create.expires_in).await?,
            checks: checks(&draft),
            hash: content_hash(&scope, &draft, &bound)?,
            id,
            draft,
            bound,
            approvals: Vec::new(),
            end: None,
        };
        let texts = sent.texts();
        self.submit(ctx, &scope, &record, &texts, stored(&scope, &texts)).await
    }

    /// Writes a new request, with what belongs to it.
    pub(super) async fn submit(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        record: &RequestRecord,
        fresh: &Texts,
        parts: Transaction,
    ) -> Result<ChangeRequest> {
        let shown = self.show(ctx, scope, record, 1, fresh).await?;
        ctx.offer(&shown)?;
        let key = scope.key(&format!("{REQUESTS}{}", record.id));
        let news = self.news(scope, "request.opened", record).await?;
        let change = written(&news, (&key, None), record)?.and(due(scope, record)).and(parts);
        let target = Target::new(scope.project(), "request").named(&record.id);
        let audited =
            NewRecord::new(Action::RequestCreate.as_str(), target.to_string(), scope.project().clone());
        match self.kit.commit(ctx, audited.reason(Some(record.title.clone())), change).await? {
            Outcome::Committed { .. } => Ok(shown),
            Outcome::Conflict { .. } => Err(contended()),
        }
    }

    /// Edits a request as one of its authors. Its approvals are void, even if nothing has changed.
    ///
    /// # Errors
    /// `Denied` for others; as [`Requests::create`].
    pub async fn edit(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        edit: EditRequest,
        expected: Expected,
    ) -> Result<ChangeRequest> {
        check_title(edit.title.as_deref().unwrap_or("-"))?;
        check_message(edit.reason.as_deref())?;
        let sent = edit.changes.map(Sent::parse).transpose()?;
        let proof = self.authorize(ctx, Action::RequestRead, project, id).await?;
        let scope = self.kit.scope(&proof);
        let sent = match sent {
            Some(sent) => Some(sent.with_schemas(&scope).await?),
            None => None,
        };
        for _ in 0..ATTEMPTS {
            let Read { entry, mut record } = self.read(&scope, id).await?;
            self.check_author(ctx, &proof, &record).await?;
            check_unended(&record)?;
            expected.check(Some(entry.version), "the request")?;
            if record.draft.release.is_some() {
                let text = "a promotion is not edited; withdraw it and promote again";
                return Err(Error::conflict("not_editable", text));
            }
            let environment = record.draft.environment.as_deref().map(EnvironmentId::parse).transpose()?;
            if let Some(sent) = &sent {
                record.draft.changes = sent.records();
            }
            self.authorize_changes(ctx, project, &record.draft.changes, environment.as_ref()).await?;
            record.draft.apply_at = edit.apply_at.or(record.draft.apply_at);
            record.bound = bound(&scope, &record.draft).await?;
            let changes = match &sent {
                Some(sent) => sent.batch(record.draft.environment.clone()),
                None => batch(&scope, &record).await?,
            };
            self.check_changes(ctx, &proof, &changes).await?;
            record.title = edit.title.clone().unwrap_or(record.title);
            record.reason = edit.reason.clone().or(record.reason);
            record.updated_at = self.kit.now();
            record.expires_at = self.expiry(&scope, &record.draft, &record.bound, edit.expires_in).await?;
            record.checks = checks(&record.draft);
            record.hash = content_hash(&scope, &record.draft, &record.bound)?;
            record.approvals.clear();
            let hands = self.hands(ctx).await?;
            record
                .authors
                .extend(hands.into_iter().filter(|hand| !record.authors.contains(hand)).collect::<Vec<_>>());
            let audited = NewRecord::new("request:edit", proof.target().to_string(), project.clone());
            let news = self.news(&scope, "request.edited", &record).await?;
            let mut change = written(&news, (&entry.key, Some(&entry)), &record)?.and(due(&scope, &record));
            if let Some(sent) = &sent {
                change = change.and(stored(&scope, &sent.texts()));
            }
            if let Outcome::Committed { .. } = self.kit.commit(ctx, audited, change).await? {
                return self.show(ctx, &scope, &record, entry.version + 1, &Texts::new()).await;
            }
        }
        Err(contended())
    }

    async fn authorize_changes(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        changes: &[ChangeRecord],
        environment: Option<&EnvironmentId>,
    ) -> Result<Authorized> {
        let mut proof = None;
        for change in changes {
            let target =
                Target::new(project, change.kind.as_str()).named(&change.name).environment(environment);
            proof = Some(self.kit.authorize(ctx, Action::RequestCreate, target).await?);
        }
        proof.ok_or_else(|| Error::internal("a request without changes came through"))
    }

    /// Checks that the changes could be written now.
    async fn check_changes(&self, ctx: &RequestContext, proof: &Authorized, batch: &Batch) -> Result<()> {
        self.writer.check_batch(ctx, proof, batch).await.map_err(base_changed)
    }

    pub(super) async fn check_room(&self, scope: &Scope) -> Result<()> {
        let found = scope.list(REQUESTS, None, MAX_OPEN, true).await?;
        let mut open = 0;
        for entry in &found.entries {
            let record: RequestRecord = crate::documents::record::decode(&entry.key, &entry.value)?;
            open += usize::from(record.end.is_none() && record.expires_at > self.kit.now());
        }
        if open < MAX_OPEN {
            return Ok(());
        }
        let text = format!("a project has at most {MAX_OPEN} open change requests; close some first");
        Err(Error::new(ErrorKind::TooMany, "quota_exceeded", text))
    }

    /// Until when a request stays open.
    pub(super) async fn expiry(
        &self,
        scope: &Scope,
        draft: &Draft,
        bound: &Bound,
        expires_in: Option<u64>,
    ) -> Result<Timestamp> {
        let now = self.kit.now();
        if let Some(seconds) = expires_in.filter(|seconds| !(60..=MAX_OPEN_SECONDS).contains(seconds)) {
            let text = format!("`expires_in` is {seconds}, but must be 60 to {MAX_OPEN_SECONDS} seconds");
            return Err(Error::invalid(text));
        }
        let latest = now.after(Duration::from_secs(MAX_OPEN_SECONDS));
        if draft.apply_at.is_some_and(|at| at <= now || at > latest) {
            return Err(Error::invalid(format!("`apply_at` must lie between now and {latest}")));
        }
        let mut open = OPEN;
        for rule in &bound.rules {
            let asked = read_environment(scope, &rule.environment).await?.record.approvals.expires_after();
            open = asked.map_or(open, |seconds| open.min(Duration::from_secs(seconds)));
        }
        let expires = now.after(expires_in.map_or(open, Duration::from_secs));
        match draft.apply_at {
            Some(at) if at >= expires && expires_in.is_some() => {
                Err(Error::invalid("`apply_at` lies behind the time at which the request expires"))
            }
            Some(at) => Ok(expires.max(at.after(GRACE))),
            None => Ok(expires),
        }
    }
}

/// What has a request applied when its time has come.
fn due(scope: &Scope, record: &RequestRecord) -> Transaction {
    record.draft.apply_at.map_or_else(Transaction::new, |at| {
        Transaction::new().put(due_key(at, scope.project(), &record.id), Vec::new())
    })
}

fn check_title(title: &str) -> Result<()> {
    let is_fine = !title.trim().is_empty() && title.chars().count() <= MAX_TITLE_CHARS;
    if is_fine && !title.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(format!("`title` must have 1 to {MAX_TITLE_CHARS} printable characters")))
}

/// What the draft has passed.
fn checks(draft: &Draft) -> Vec<RequestCheck> {
    let names: BTreeSet<&str> =
        draft.changes.iter().flat_map(|change| checks_of(change.kind)).copied().collect();
    names.into_iter().map(|name| RequestCheck { name: name.to_owned(), ok: true, detail: None }).collect()
}
