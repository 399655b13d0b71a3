// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is told of a request by mail, and what: those who may approve it that it waits for them, its author what
//! became of it. No mail holds anything of the documents.

use std::collections::BTreeSet;

use super::Requests;
use super::record::{RequestRecord, RuleRecord};
use super::standing::{is_asked, is_role_asked};
use crate::auth::{Person, person};
use crate::documents::record::decode;
use crate::error::Result;
use crate::mails::Letter;
use crate::projects::record::MemberRecord;
use crate::store::{Scope, Transaction};
use crate::webhooks::Audience;

/// How many approvers are told of one event at most.
const MAX_APPROVERS: usize = 20;
/// How many members of a project are looked at at once.
const PAGE: usize = 200;

/// An event of a request, and those who are to be told of it.
#[derive(Debug)]
pub(super) struct News {
    kind: &'static str,
    audience: Audience,
    /// What has mails sent.
    mails: Transaction,
}

impl News {
    /// The part of a transaction that has all of them told.
    pub(super) fn tell(&self, record: &RequestRecord) -> Result<Transaction> {
        Ok(self.audience.tell(self.kind, &record.event())?.and(self.mails.clone()))
    }
}

impl Requests {
    /// Finds out who is to be told of an event.
    pub(super) async fn news(
        &self,
        scope: &Scope,
        kind: &'static str,
        record: &RequestRecord,
    ) -> Result<News> {
        let emergency = record.end.as_ref().is_some_and(|end| end.emergency);
        let audience = Audience::of(&self.kit, scope).await?;
        let mut news = News { kind, audience, mails: Transaction::new() };
        if !self.mails.is_on() {
            return Ok(news);
        }
        let people = match kind {
            "request.opened" | "request.edited" => self.approvers(scope, record).await?,
            "request.applied" if emergency => {
                let mut people = self.approvers(scope, record).await?;
                people.extend(self.author(scope, record).await?);
                people
            }
            "request.applied" | "request.rejected" => self.author(scope, record).await?.into_iter().collect(),
            _ => Vec::new(),
        };
        let (subject, text) = words(scope, kind, record, emergency);
        let letters = people.into_iter().filter_map(|person| {
            let user = person.principal.to_string().strip_prefix("user:")?.to_owned();
            Some(Letter { user, uid: person.uid?, subject: subject.clone(), text: text.clone() })
        });
        news.mails = self.mails.tell(scope, kind, letters.collect())?;
        Ok(news)
    }

    async fn author(&self, scope: &Scope, record: &RequestRecord) -> Result<Option<Person>> {
        let author = person(&self.kit, scope.project(), &record.author).await?;
        Ok(author.filter(|person| person.email.is_some()))
    }

    /// Those of the project, and those who are named, who may approve a request and have an address. Who
    /// administers all projects is not told of each.
    async fn approvers(&self, scope: &Scope, record: &RequestRecord) -> Result<Vec<Person>> {
        let rules = &record.bound.rules;
        let mut names: BTreeSet<String> = rules
            .iter()
            .flat_map(|rule| rule.approvers.iter())
            .map(|name| name.to_ascii_lowercase())
            .collect();
        names.extend(self.members(scope, rules).await?);
        let mut people = Vec::new();
        for name in names {
            let actor = format!("user:{name}");
            if record.authors.contains(&actor) || people.len() >= MAX_APPROVERS {
                continue;
            }
            let found = person(&self.kit, scope.project(), &actor).await?;
            people.extend(found.filter(|person| person.email.is_some() && is_asked(person, rules)));
        }
        Ok(people)
    }

    /// The members of a project whose role there is asked.
    async fn members(&self, scope: &Scope, rules: &[RuleRecord]) -> Result<Vec<String>> {
        const MEMBERS: &str = "member/";
        let (mut names, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = scope.list(MEMBERS, after.as_deref(), PAGE, false).await?;
            for entry in &page.entries {
                let role = decode::<MemberRecord>(&entry.key, &entry.value)?.role;
                let key = scope.relative(&entry.key);
                if is_role_asked(role, rules) {
                    names.extend(key.strip_prefix(MEMBERS).map(str::to_owned));
                }
                after = Some(key.to_owned());
            }
            if !page.more {
                return Ok(names);
            }
        }
    }
}

/// What a mail says.
fn words(scope: &Scope, kind: &str, record: &RequestRecord, emergency: bool) -> (String, String) {
    let RequestRecord { id, title, author, .. } = record;
    let project = scope.project();
    let (head, what) = match kind {
        "request.opened" => ("approval asked for", format!("`{author}` asks for approval.")),
        "request.edited" => {
            ("approval asked for anew", format!("`{author}` has edited a request; its approvals are void."))
        }
        "request.applied" if emergency => {
            ("applied in an emergency", String::from("This was put in force without its approvals."))
        }
        "request.applied" => ("applied", String::from("Your request is in force.")),
        _ => ("rejected", String::from("Your request was rejected.")),
    };
    let mut lines = vec![what, String::new(), format!("Title:       {title}")];
    lines.extend(record.reason.as_ref().map(|reason| format!("Reason:      {reason}")));
    lines.push(format!("Project:     {project}"));
    lines.extend(record.draft.environment.as_ref().map(|name| format!("Environment: {name}")));
    if let Some(end) = &record.end {
        lines.push(format!("By:          {}", end.by));
        lines.extend(end.reason.as_ref().map(|reason| format!("Because:     {reason}")));
    } else {
        lines.push(format!("Open until:  {}", record.expires_at));
    }
    lines.push(format!("Request:     {id}"));
    lines.extend([String::new(), format!("cms request diff {id} -p {project}"), String::new()]);
    (format!("{project}: {head}: {title}"), lines.join("\n"))
}
