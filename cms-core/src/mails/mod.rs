// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails: people are told of what waits for them and of what became of what they asked for, through the same
//! outbox as webhooks. Whom to tell what is decided where it happens; connections are the port [`Mailer`]'s.

mod mailer;
mod record;

use std::sync::Arc;

pub(crate) use mailer::check_address;
pub use mailer::{Mail, Mailer};
use record::MAILS;
pub(crate) use record::MailRecord;

use crate::api::mails::MailDelivery;
use crate::api::{Page, PageQuery};
use crate::audit::NewRecord;
use crate::auth::{Action, Target, person};
use crate::context::RequestContext;
use crate::documents::record::{decode, encode};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Condition, Entry, Outcome, Scope, Transaction};
use crate::webhooks::{Progress, kept, waiting_key};

/// What the lines of people begin with in the outbox; webhooks have UUIDs.
const LINE: &str = "mail-";

/// The mails of all projects.
#[derive(Debug, Clone)]
pub struct Mails {
    kit: Kit,
    mailer: Option<Arc<dyn Mailer>>,
}

/// Something to tell a person.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) user: String,
    pub(crate) uid: String,
    pub(crate) subject: String,
    pub(crate) text: String,
}

impl Mails {
    pub(crate) fn new(kit: Kit, mailer: Option<Arc<dyn Mailer>>) -> Self {
        Self { kit, mailer }
    }

    /// Whether mails are sent at all. Where they are not, none is written.
    pub(crate) fn is_on(&self) -> bool {
        self.mailer.is_some()
    }

    /// Lists what was sent to people of a project, waits or was given up, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        page: &PageQuery,
    ) -> Result<Page<MailDelivery>> {
        let proof = self.kit.authorize(ctx, Action::WebhookRead, Target::new(project, "mail")).await?;
        let scope = self.kit.scope(&proof);
        let after = page.after()?.map(|id| format!("{MAILS}{id}"));
        let found = scope.list(MAILS, after.as_deref(), page.limit()?, true).await?;
        let mut items = Vec::with_capacity(found.entries.len());
        for entry in &found.entries {
            items.push(decode::<MailRecord>(&entry.key, &entry.value)?.to_wire());
        }
        let last = items.last().map(|item: &MailDelivery| item.id.clone()).filter(|_| found.more);
        Ok(Page::new(items, last.as_deref()))
    }

    /// Sends a mail again, whatever came of it.
    ///
    /// # Errors
    /// `NotFound` if there is no such mail.
    pub async fn resend(&self, ctx: &RequestContext, project: &ProjectId, id: &str) -> Result<MailDelivery> {
        let proof = self.kit.authorize(ctx, Action::WebhookWrite, Target::new(project, "mail")).await?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let scope = self.kit.scope(&proof);
        let gone = || Error::not_found(format!("the mail `{}`", id.escape_default()));
        let uuid =
            id.strip_prefix("evt_").and_then(|uuid| uuid::Uuid::try_parse(uuid).ok()).ok_or_else(gone)?;
        let entry = scope.fresh(&format!("{MAILS}evt_{uuid}")).await?.ok_or_else(gone)?;
        let mut record: MailRecord = decode(&entry.key, &entry.value)?;
        record.progress.again(self.kit.now());
        let waiting = waiting_key(&scope, &line(&record.uid), &record.id);
        let change = Transaction::new()
            .when(Condition::as_read(&entry.key, Some(&entry)))
            .put(entry.key.clone(), encode(&record)?)
            .put(waiting, encode(&record.progress.next_at)?);
        let shown = record.to_wire();
        ctx.offer(&shown)?;
        match self.kit.commit(ctx, NewRecord::of(&proof), change).await? {
            Outcome::Committed { .. } => Ok(shown),
            Outcome::Conflict { .. } => {
                Err(Error::conflict("too_many_writers", "it is being sent at this moment; try again"))
            }
        }
    }

    /// The part of a transaction that has people told of an event.
    pub(crate) fn tell(&self, scope: &Scope, kind: &str, letters: Vec<Letter>) -> Result<Transaction> {
        let mut change = Transaction::new();
        for Letter { user, uid, subject, text } in letters {
            let id = format!("evt_{}", uuid::Uuid::now_v7());
            let progress = Progress::begun(self.kit.now());
            let waiting = waiting_key(scope, &line(&uid), &id);
            change = change.put(waiting, encode(&progress.next_at)?);
            let record = MailRecord { v: 1, id, kind: kind.to_owned(), user, uid, subject, text, progress };
            change = change.put(scope.key(&format!("{MAILS}{}", record.id)), encode(&record)?);
        }
        Ok(change)
    }

    /// Whether a line of the outbox is that of a person.
    pub(crate) fn is_line(line: &str) -> bool {
        line.starts_with(LINE)
    }

    /// Tries to send a mail, and tells whether the next one may follow.
    pub(crate) async fn attempt(&self, scope: &Scope, id: &str, waiting: &Entry) -> Result<bool> {
        let Some(entry) = scope.fresh(&format!("{MAILS}{id}")).await? else {
            // The project is gone, or the mail is.
            self.kit.db.commit(Transaction::new().delete(waiting.key.clone())).await?;
            return Ok(true);
        };
        let mut record: MailRecord = decode(&entry.key, &entry.value)?;
        let is_over = match self.address(scope, &record).await? {
            None => {
                record.progress.give_up("the user has no mail address any more, or has left the project");
                true
            }
            Some(to) => {
                let (subject, text) = (record.subject.clone(), record.text.clone());
                let mail = Mail { id: record.id.clone(), to, subject, text };
                let sent = match &self.mailer {
                    Some(mailer) => mailer.send(&mail).await,
                    None => Err(String::from("this installation sends no mails")),
                };
                record.progress.note(sent, "the mail server has taken it", self.kit.now())?
            }
        };
        kept(&self.kit, (waiting, &entry), (&record, &record.progress), &scope.key(MAILS)).await?;
        Ok(is_over)
    }

    /// Where a mail goes: to who the user is now, while the user has a role in the project.
    async fn address(&self, scope: &Scope, record: &MailRecord) -> Result<Option<String>> {
        let person = person(&self.kit, scope.project(), &format!("user:{}", record.user)).await?;
        let is_same = |uid: &Option<String>| uid.as_ref() == Some(&record.uid);
        let person = person.filter(|person| is_same(&person.uid) && !person.roles.is_empty());
        Ok(person.and_then(|person| person.email))
    }
}

/// The line of a person in the outbox.
fn line(uid: &str) -> String {
    format!("{LINE}{uid}")
}
