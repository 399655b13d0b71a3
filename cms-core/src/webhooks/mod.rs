// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Webhooks: others are told of what happens in a project, by signed messages that survive the end of the
//! process, in order for each receiver, at least once.
//!
//! What is to be told is written in the transaction of what happened (`outbox`); one process at a time
//! sends it (`deliver`), through the port [`Notifier`], as this crate opens no connections.

mod deliver;
mod notifier;
mod outbox;
mod progress;
mod record;

use std::sync::Arc;

use data_encoding::BASE64;

pub(crate) use deliver::deliver_due;
pub use notifier::{Message, Notifier, Silent};
pub(crate) use outbox::{Audience, is_told, spread, told};
pub(crate) use progress::{Progress, kept, waiting_key};

use crate::api::webhooks::{CreateWebhook, CreatedWebhook, Delivery, Webhook};
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::auth::{Action, Target, random, sealed::Sealed};
use crate::context::RequestContext;
use crate::documents::check_message;
use crate::documents::record::{decode, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Condition, Outcome, Range, Scope, Transaction};
use record::{DELIVERIES, DeliveryRecord, HOOKS, HookRecord, WAITING};

/// How many webhooks a project has at most.
pub const MAX_WEBHOOKS: usize = 20;
/// The longest address, in characters.
const MAX_URL_CHARS: usize = 2_000;
/// How many kinds of events a webhook names at most.
const MAX_EVENTS: usize = 20;

/// The webhooks of all projects.
#[derive(Debug, Clone)]
pub struct Webhooks {
    kit: Kit,
    notifier: Arc<dyn Notifier>,
}

impl Webhooks {
    pub(crate) fn new(kit: Kit, notifier: Arc<dyn Notifier>) -> Self {
        Self { kit, notifier }
    }

    /// Adds a webhook. Its secret is in this answer only.
    ///
    /// # Errors
    /// `Unprocessable` for an address that is never sent to; `TooMany` past the quota.
    pub async fn create(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        create: CreateWebhook,
    ) -> Result<CreatedWebhook> {
        check(&create)?;
        let proof = self.kit.authorize(ctx, Action::WebhookWrite, Target::new(project, "webhook")).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        self.notifier.check(&create.url)?;
        let scope = self.kit.scope(&proof);
        if scope.list(HOOKS, None, MAX_WEBHOOKS, false).await?.entries.len() >= MAX_WEBHOOKS {
            let text = format!("a project has at most {MAX_WEBHOOKS} webhooks");
            return Err(Error::new(ErrorKind::TooMany, "quota_exceeded", text));
        }
        let record = HookRecord {
            v: 1,
            id: uuid::Uuid::now_v7().to_string(),
            url: create.url,
            events: create.events,
            description: create.description,
            secret: BASE64.encode(&random::<32>()?),
            created_at: self.kit.now(),
            created_by: ctx.principal.to_string(),
        };
        let created = CreatedWebhook { secret: format!("whsec_{}", record.secret), about: record.to_wire() };
        ctx.offer(&created)?;
        let key = scope.key(&format!("{HOOKS}{}", record.id));
        let change = Sealed::of(&self.kit).write(project, &key, None, &record).await?;
        let target = Target::new(project, "webhook").named(&record.id).to_string();
        let audited = NewRecord::new(Action::WebhookWrite.as_str(), target, project.clone());
        match self.kit.commit(ctx, audited, change).await? {
            Outcome::Committed { .. } => Ok(created),
            Outcome::Conflict { .. } => Err(contended()),
        }
    }

    /// Lists the webhooks, oldest first, without their secrets.
    ///
    /// # Errors
    /// `Sealed` while they cannot be read.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        page: &PageQuery,
    ) -> Result<Page<Webhook>> {
        let proof = self.kit.authorize(ctx, Action::WebhookRead, Target::new(project, "webhook")).await?;
        let scope = self.kit.scope(&proof);
        let after = page.after()?.map(|id| format!("{HOOKS}{id}"));
        let found = scope.list(HOOKS, after.as_deref(), page.limit()?, false).await?;
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in found.entries {
            items.push(Sealed::of(&self.kit).open::<HookRecord>(project, entry).await?.record.to_wire());
        }
        let last = items.last().map(|item: &Webhook| item.id.clone()).filter(|_| found.more);
        Ok(Page::new(items, last.as_deref()))
    }

    /// Removes a webhook with everything that waits for it.
    ///
    /// # Errors
    /// `NotFound` if there is no such webhook.
    pub async fn delete(&self, ctx: &RequestContext, project: &ProjectId, id: &str) -> Result<()> {
        let target = Target::new(project, "webhook").named(checked_id(id)?);
        let proof = self.kit.authorize(ctx, Action::WebhookWrite, target).await?;
        let scope = self.kit.scope(&proof);
        let key = format!("{HOOKS}{id}");
        let entry = scope.fresh(&key).await?.ok_or_else(|| missing(id))?;
        let change = Transaction::new()
            .when(Condition::as_read(&entry.key, Some(&entry)))
            .delete(entry.key.clone())
            .delete_prefix(scope.key(&format!("{DELIVERIES}{id}@")))
            .delete_prefix(format!("{WAITING}{project}@{id}@"));
        match self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Conflict { .. } => Err(contended()),
        }
    }

    /// Lists what was sent to a webhook, waits for it or was given up, newest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such webhook.
    pub async fn deliveries(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        page: &PageQuery,
    ) -> Result<Page<Delivery>> {
        let target = Target::new(project, "webhook").named(checked_id(id)?);
        let proof = self.kit.authorize(ctx, Action::WebhookRead, target).await?;
        let scope = self.kit.scope(&proof);
        scope.fresh(&format!("{HOOKS}{id}")).await?.ok_or_else(|| missing(id))?;
        let prefix = format!("{DELIVERIES}{id}@");
        let after = page.after()?.map(|event| format!("{prefix}{event}"));
        let found = scope.list(&prefix, after.as_deref(), page.limit()?, true).await?;
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in &found.entries {
            items.push(decode::<DeliveryRecord>(&entry.key, &entry.value)?.to_wire());
        }
        let last = items.last().map(|item: &Delivery| item.id.clone()).filter(|_| found.more);
        Ok(Page::new(items, last.as_deref()))
    }

    /// Sends something again, whatever came of it.
    ///
    /// # Errors
    /// `NotFound` if there is no such delivery.
    pub async fn resend(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        id: &str,
        event: &str,
    ) -> Result<Delivery> {
        let target = Target::new(project, "webhook").named(checked_id(id)?);
        let proof = self.kit.authorize(ctx, Action::WebhookWrite, target).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        let gone = || Error::not_found(format!("the delivery `{}`", event.escape_default()));
        let known = event.strip_prefix("evt_").and_then(|uuid| checked_id(uuid).ok()).ok_or_else(gone)?;
        let key = format!("{DELIVERIES}{id}@evt_{known}");
        let entry = scope.fresh(&key).await?.ok_or_else(gone)?;
        let mut record: DeliveryRecord = decode(&entry.key, &entry.value)?;
        record.progress.again(self.kit.now());
        let change = Transaction::new()
            .when(Condition::as_read(&entry.key, Some(&entry)))
            .put(entry.key.clone(), encode(&record)?)
            .put(waiting_key(&scope, id, &record.id), encode(&record.progress.next_at)?);
        let shown = record.to_wire();
        ctx.offer(&shown)?;
        match self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
            Outcome::Committed { .. } => Ok(shown),
            Outcome::Conflict { .. } => Err(contended()),
        }
    }

    pub(crate) fn notifier(&self) -> &Arc<dyn Notifier> {
        &self.notifier
    }
}

/// Every webhook of a project.
async fn hooks(kit: &Kit, scope: &Scope) -> Result<Vec<HookRecord>> {
    let range = Range::prefix(&scope.key(HOOKS)).limit(MAX_WEBHOOKS + 10);
    let mut hooks = Vec::new();
    for entry in kit.db.range(range).await?.entries {
        hooks.push(Sealed::of(kit).open(scope.project(), entry).await?.record);
    }
    Ok(hooks)
}

fn check(create: &CreateWebhook) -> Result<()> {
    check_message(create.description.as_deref())?;
    if create.url.chars().count() > MAX_URL_CHARS {
        return Err(Error::invalid(format!("`url` must have at most {MAX_URL_CHARS} characters")));
    }
    let is_kind = |kind: &String| {
        let start = kind.strip_suffix('*').unwrap_or(kind);
        kind.len() <= 64 && start.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_'))
    };
    if create.events.len() > MAX_EVENTS || !create.events.iter().all(is_kind) {
        let text =
            format!("`events` names at most {MAX_EVENTS} events, such as `request.approved` or `request.*`");
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// The id of a webhook is a UUID; nothing else is looked up.
fn checked_id(id: &str) -> Result<&str> {
    match uuid::Uuid::try_parse(id) {
        Ok(uuid) if uuid.to_string() == id => Ok(id),
        _ => Err(missing(id)),
    }
}

fn missing(id: &str) -> Error {
    let shown: String = id.chars().take(80).flat_map(char::escape_default).collect();
    Error::not_found(format!("the webhook `{shown}`"))
}

fn contended() -> Error {
    Error::conflict("too_many_writers", "others keep changing this webhook; try again")
}
