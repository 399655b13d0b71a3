// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Change requests: changes of documents that go live once others have approved them.
//!
//! An approval is of a hash over the changes, what they were made for, where they go, and what is asked
//! for there; whatever of that changes makes the request stale. What is asked for, and that nothing gets
//! around it, is in `releases::guard`.

mod apply;
mod draft;
mod letters;
mod open;
mod promote;
pub(crate) mod record;
mod schedule;
mod standing;

use std::sync::Arc;

pub(crate) use schedule::apply_due;

use crate::api::documents::Kind;
use crate::api::requests::{ApproveRequest, ChangeRequest, RejectRequest, RequestQuery, RequestState};
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::auth::{Action, Authorized, PrincipalKind, Target, hands, person};
use crate::context::RequestContext;
use crate::documents::record::{decode, encode};
use crate::documents::{Writer, check_message, read_action};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::mails::Mails;
use crate::store::{Condition, Entry, Outcome, Scope, Transaction};
use draft::{Texts, diff};
use letters::News;
use record::{ApprovalRecord, EndRecord, REQUESTS, RequestRecord};
use standing::{Standing, is_asked, standing, targets};

/// How often a change is tried again when others change the request at the same time.
const ATTEMPTS: usize = 16;

/// The change requests of all projects.
#[derive(Debug, Clone)]
pub struct Requests {
    kit: Kit,
    writer: Arc<Writer>,
    mails: Mails,
}

/// A request as it was read past the cache.
#[derive(Debug)]
struct Read {
    entry: Entry,
    record: RequestRecord,
}

impl Requests {
    pub(crate) fn new(kit: Kit, writer: Arc<Writer>, mails: Mails) -> Self {
        Self { kit, writer, mails }
    }

    /// Lists the requests of a project, newest first, without differences.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        query: &RequestQuery,
    ) -> Result<Page<ChangeRequest>> {
        let proof = self.kit.authorize(ctx, Action::RequestRead, Target::new(project, "request")).await?;
        let scope = self.kit.scope(&proof);
        let page = PageQuery { limit: query.limit, cursor: query.cursor.clone() };
        let (limit, mut after) = (page.limit()?, page.after()?);
        let mut items: Vec<ChangeRequest> = Vec::new();
        loop {
            let start = after.as_ref().map(|id| format!("{REQUESTS}{id}"));
            let found = scope.list(REQUESTS, start.as_deref(), limit + 1, true).await?;
            for entry in &found.entries {
                let record: RequestRecord = decode(&entry.key, &entry.value)?;
                let id = record.id.clone();
                let standing = standing(&self.kit, &scope, &record).await?;
                if query.state.is_none_or(|state| state == standing.state) {
                    if items.len() == limit {
                        let last = items.last().map(|item| item.id.clone());
                        return Ok(Page::new(items, last.as_deref()));
                    }
                    items.push(wire(&record, standing, entry.version));
                }
                after = Some(id);
            }
            if !found.more {
                return Ok(Page::new(items, None));
            }
        }
    }

    /// Reads a request. Who may not read its documents sees no difference.
    ///
    /// # Errors
    /// `NotFound` if there is no such request.
    pub async fn get(&self, ctx: &RequestContext, project: &ProjectId, id: &str) -> Result<ChangeRequest> {
        let proof = self.authorize(ctx, Action::RequestRead, project, id).await?;
        let scope = self.kit.scope(&proof);
        let Read { entry, record } = self.read(&scope, id).await?;
        self.show(ctx, &scope, &record, entry.version, &Texts::new()).await
    }

    /// Approves the content that a hash names. Nobody approves what they have a hand in, and nobody
    /// counts twice.
    ///
    /// # Errors
    /// `Denied` for who is not asked, or has a hand in it; `Conflict` if the request is not open, or its
    /// content is another one.
    pub async fn approve(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        approve: ApproveRequest,
    ) -> Result<ChangeRequest> {
        check_message(approve.comment.as_deref())?;
        let proof = self.authorize(ctx, Action::RequestApprove, project, id).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let Read { entry, mut record } = self.read(&scope, id).await?;
            let uid = self.check_approver(ctx, &proof, &scope, &record).await?;
            self.check_open(&scope, &record).await?;
            if approve.hash != record.hash {
                return Err(other_content(&record));
            }
            let by = ctx.principal.to_string();
            if record.approvals.iter().any(|approval| approval.by == by && approval.uid == uid) {
                return self.show(ctx, &scope, &record, entry.version, &Texts::new()).await;
            }
            let at = self.kit.now();
            record.approvals.retain(|approval| approval.by != by);
            record.approvals.push(ApprovalRecord { by, uid, at, comment: approve.comment.clone() });
            let audited = NewRecord::of(&proof).reason(approve.comment.clone());
            if let Some(shown) = self.commit(ctx, &scope, audited, &entry, &record).await? {
                return Ok(shown);
            }
        }
        Err(contended())
    }

    /// Refuses a request for good.
    ///
    /// # Errors
    /// `Denied` for who is not asked; `Conflict` if it has ended.
    pub async fn reject(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        reject: RejectRequest,
    ) -> Result<ChangeRequest> {
        let reason = given_reason(Some(&reject.reason))?;
        let proof = self.authorize(ctx, Action::RequestApprove, project, id).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let Read { entry, mut record } = self.read(&scope, id).await?;
            self.check_approver(ctx, &proof, &scope, &record).await?;
            check_unended(&record)?;
            record.end = Some(self.end(ctx, RequestState::Rejected, Some(reason.clone())));
            let audited = NewRecord::new("request:reject", proof.target().to_string(), project.clone());
            let audited = audited.reason(Some(reason.clone()));
            if let Some(shown) = self.commit(ctx, &scope, audited, &entry, &record).await? {
                return Ok(shown);
            }
        }
        Err(contended())
    }

    /// Takes a request back, as one of its authors.
    ///
    /// # Errors
    /// `Denied` for others; `Conflict` if it has ended.
    pub async fn withdraw(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
    ) -> Result<ChangeRequest> {
        let proof = self.authorize(ctx, Action::RequestRead, project, id).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        for _ in 0..ATTEMPTS {
            let Read { entry, mut record } = self.read(&scope, id).await?;
            self.check_author(ctx, &proof, &record).await?;
            check_unended(&record)?;
            record.end = Some(self.end(ctx, RequestState::Withdrawn, None));
            let audited = NewRecord::new("request:withdraw", proof.target().to_string(), project.clone());
            if let Some(shown) = self.commit(ctx, &scope, audited, &entry, &record).await? {
                return Ok(shown);
            }
        }
        Err(contended())
    }

    async fn authorize(
        &self,
        ctx: &RequestContext,
        action: Action,
        project: &ProjectId,
        id: &str,
    ) -> Result<Authorized> {
        let target = Target::new(project, "request").named(checked_id(id)?);
        self.kit.authorize(ctx, action, target).await
    }

    async fn read(&self, scope: &Scope, id: &str) -> Result<Read> {
        let entry = scope.fresh(&format!("{REQUESTS}{id}")).await?;
        let entry = entry.ok_or_else(|| Error::not_found(format!("the change request `{id}`")))?;
        Ok(Read { record: decode(&entry.key, &entry.value)?, entry })
    }

    /// Refuses whoever may not approve the request, and answers what tells the caller from others of
    /// the same name.
    async fn check_approver(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        scope: &Scope,
        record: &RequestRecord,
    ) -> Result<Option<String>> {
        for target in targets(scope, record)? {
            self.kit.authorize(ctx, Action::RequestApprove, target).await?;
        }
        let caller = match &ctx.principal.kind {
            PrincipalKind::User { .. } | PrincipalKind::Root => {
                person(&self.kit, scope.project(), &ctx.principal.to_string()).await?
            }
            _ => None,
        };
        let Some(caller) = caller else {
            return Err(self.refuse(ctx, proof, "not_an_approver", "only people approve").await);
        };
        if record.authors.contains(&ctx.principal.to_string()) {
            return Err(self.refuse(ctx, proof, "self_approval", "nobody approves their own change").await);
        }
        if !is_asked(&caller, &record.bound.rules) {
            let reason = "the caller is not among the approvers of any environment that this reaches";
            return Err(self.refuse(ctx, proof, "not_an_approver", reason).await);
        }
        Ok(caller.uid)
    }

    async fn check_author(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        record: &RequestRecord,
    ) -> Result<()> {
        if record.authors.contains(&ctx.principal.to_string()) {
            return Ok(());
        }
        let reason = "only its author does that; whoever may approve it can reject it";
        Err(self.refuse(ctx, proof, "not_the_author", reason).await)
    }

    /// Puts a refusal that no policy could have known of on the trail, and answers with it.
    async fn refuse(
        &self,
        ctx: &RequestContext,
        proof: &Authorized,
        code: &'static str,
        reason: &str,
    ) -> Error {
        let refused = self.kit.authorizer.refuse(ctx, proof.action(), proof.target(), reason).await;
        match refused.kind() {
            ErrorKind::Denied => Error::new(ErrorKind::Denied, code, refused.message()),
            _ => refused,
        }
    }

    /// Refuses what is neither open nor approved.
    async fn check_open(&self, scope: &Scope, record: &RequestRecord) -> Result<Standing> {
        check_unended(record)?;
        let standing = standing(&self.kit, scope, record).await?;
        let why = standing.reason.clone().unwrap_or_default();
        match standing.state {
            RequestState::Stale => {
                Err(Error::conflict("request_stale", format!("the request is stale: {why}"))
                    .with_hint("its author edits it for what is there now, and it is approved anew"))
            }
            RequestState::Expired => {
                Err(Error::conflict("request_expired", format!("the request has expired: {why}"))
                    .with_hint("open a new one"))
            }
            _ => Ok(standing),
        }
    }

    /// Writes a request over what was read; `None` if somebody else was faster.
    async fn commit(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        audited: NewRecord,
        entry: &Entry,
        record: &RequestRecord,
    ) -> Result<Option<ChangeRequest>> {
        let shown = self.show(ctx, scope, record, entry.version + 1, &Texts::new()).await?;
        ctx.offer(&shown)?;
        let kind = match record.end.as_ref().map(|end| end.state) {
            Some(RequestState::Rejected) => "request.rejected",
            Some(_) => "request.withdrawn",
            None => "request.approved",
        };
        let news = self.news(scope, kind, record).await?;
        let change = written(&news, (&entry.key, Some(entry)), record)?;
        match self.kit.commit(ctx, audited, change).await? {
            Outcome::Committed { .. } => Ok(Some(shown)),
            Outcome::Conflict { .. } => Ok(None),
        }
    }

    fn end(&self, ctx: &RequestContext, state: RequestState, reason: Option<String>) -> EndRecord {
        let (by, at) = (ctx.principal.to_string(), self.kit.now());
        EndRecord { state, by, at, reason, release: None, emergency: false }
    }

    /// The request as the caller may see it.
    async fn show(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        record: &RequestRecord,
        version: u64,
        fresh: &Texts,
    ) -> Result<ChangeRequest> {
        let mut shown = wire(record, standing(&self.kit, scope, record).await?, version);
        let mut is_readable = true;
        for (action, target) in readings(scope, record) {
            is_readable &= self.kit.authorizer.permits(&ctx.principal, action, &target).await?;
        }
        if is_readable {
            shown.diff = Some(diff(scope, record, fresh).await?);
        }
        Ok(shown)
    }

    async fn hands(&self, ctx: &RequestContext) -> Result<Vec<String>> {
        hands(&self.kit, &ctx.principal).await
    }
}

/// The part of a transaction that writes a request over what was read, and has others told of it.
fn written(news: &News, (key, read): (&str, Option<&Entry>), record: &RequestRecord) -> Result<Transaction> {
    let write = Transaction::new().when(Condition::as_read(key, read)).put(key, encode(record)?);
    Ok(write.and(news.tell(record)?))
}

/// What somebody must be allowed to read to see what a request changes.
fn readings(scope: &Scope, record: &RequestRecord) -> Vec<(Action, Target)> {
    if record.draft.release.is_some() {
        let all = [Action::PolicyRead, Action::DataRead, Action::ConfigRead];
        return all.map(|action| (action, Target::new(scope.project(), "release"))).to_vec();
    }
    let changes = record.draft.changes.iter();
    let target = |kind: Kind, name: &str| Target::new(scope.project(), kind.as_str()).named(name);
    changes.map(|change| (read_action(change.kind), target(change.kind, &change.name))).collect()
}

/// The request as it goes on the wire, without its difference.
fn wire(record: &RequestRecord, standing: Standing, version: u64) -> ChangeRequest {
    ChangeRequest {
        id: record.id.clone(),
        hash: record.hash.clone(),
        state: standing.state,
        state_reason: standing.reason,
        title: record.title.clone(),
        reason: record.reason.clone(),
        author: record.author.clone(),
        created_at: record.created_at,
        updated_at: record.updated_at,
        expires_at: record.expires_at,
        environment: record.draft.environment.clone(),
        apply_at: record.draft.apply_at,
        changes: record.draft.changes.iter().map(record::ChangeRecord::to_wire).collect(),
        release: record.draft.release.clone(),
        needs: standing.needs,
        approvals: record.approvals.iter().map(ApprovalRecord::to_wire).collect(),
        checks: record.checks.clone(),
        diff: None,
        outcome: record.end.as_ref().map(EndRecord::to_wire),
        version,
    }
}

fn check_unended(record: &RequestRecord) -> Result<()> {
    let Some(end) = &record.end else { return Ok(()) };
    let state = serde_json::to_value(end.state).map_err(Error::internal)?;
    let state = state.as_str().unwrap_or_default();
    Err(Error::conflict("request_closed", format!("the request is {state} already, by `{}`", end.by)))
}

fn other_content(record: &RequestRecord) -> Error {
    let text =
        format!("the content of the request is `{}` now, which is not what was looked at", record.hash);
    Error::conflict("hash_mismatch", text).with_hint("read the request again, and approve its present `hash`")
}

/// A reason that must be given.
fn given_reason(reason: Option<&String>) -> Result<String> {
    check_message(reason.map(String::as_str))?;
    let reason = reason.map(|reason| reason.trim()).filter(|reason| !reason.is_empty());
    reason.map(str::to_owned).ok_or_else(|| {
        Error::unprocessable("reason_required", "a `reason` must be given, for those who look back at this")
    })
}

/// The id of a request is a UUID; nothing else is looked up.
fn checked_id(id: &str) -> Result<&str> {
    match uuid::Uuid::try_parse(id) {
        Ok(uuid) if uuid.to_string() == id => Ok(id),
        _ => {
            let shown: String = id.chars().take(80).flat_map(char::escape_default).collect();
            Err(Error::not_found(format!("the change request `{shown}`")))
        }
    }
}

fn contended() -> Error {
    Error::conflict("too_many_writers", "others keep changing this request; try again")
}

/// The word for what has checked a kind of documents.
const fn checks_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Policy => &["validation", "tests"],
        Kind::Data | Kind::Template | Kind::Variable => &["validation"],
        Kind::Config | Kind::Schema => &["validation", "schema"],
    }
}
