// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is to be told, written in the transaction of what happened, and from there to a delivery for each
//! webhook that wants to hear of it. Of changes of documents, secrets and environments, it is read from the
//! transaction itself, so that no service can forget it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::progress::waiting_key;
use super::record::{DELIVERIES, DeliveryRecord, HAPPENED, HOOKS, HappenedRecord};
use super::{MAX_WEBHOOKS, hooks};
use crate::clock::Timestamp;
use crate::documents::record::{VersionRecord, decode, encode};
use crate::error::Result;
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::releases::record::ActivationRecord;
use crate::store::{Condition, Entry, Operation, Range, Scope, Transaction};

/// How much of what happened is read at once.
const AT_ONCE: usize = 100;

/// Those who are to be told of what happens in a project.
#[derive(Debug)]
pub(crate) struct Audience {
    scope: Scope,
    is_there: bool,
    now: Timestamp,
}

/// What receivers read.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    project: &'a str,
    data: &'a Value,
}

impl Audience {
    /// Finds out whether there is one.
    pub(crate) async fn of(kit: &Kit, scope: &Scope) -> Result<Self> {
        let is_there = !kit.db.range(Range::prefix(&scope.key(HOOKS)).limit(1)).await?.entries.is_empty();
        Ok(Self { scope: scope.clone(), is_there, now: kit.now() })
    }

    /// The part of a transaction that has them told of an event.
    pub(crate) fn tell(&self, kind: &str, data: &Value) -> Result<Transaction> {
        if !self.is_there {
            return Ok(Transaction::new());
        }
        // Ids grow with time, so that what happened first is told first.
        let id = format!("evt_{}", uuid::Uuid::now_v7());
        let body = Body { r#type: kind, timestamp: self.now, project: self.scope.project().as_str(), data };
        let body = String::from_utf8_lossy(&encode(&body)?).into_owned();
        let key = format!("{HAPPENED}{id}@{}", self.scope.project());
        let record = HappenedRecord { v: 1, id, kind: kind.to_owned(), body, at: self.now };
        Ok(Transaction::new().put(key, encode(&record)?))
    }
}

/// The part of a transaction that has others told of what its other parts do. Never a text or a value.
pub(crate) async fn told(kit: &Kit, change: &Transaction) -> Result<Transaction> {
    let mut events: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
    for operation in &change.operations {
        if let Some((project, kind, data)) = event_of(operation)? {
            events.entry(project).or_default().push((kind, data));
        }
    }
    let mut told = Transaction::new();
    for (project, events) in events {
        let audience = Audience::of(kit, &kit.db.internal(&ProjectId::parse(project)?)).await?;
        for (kind, data) in together(events) {
            told = told.and(audience.tell(&kind, &data)?);
        }
    }
    Ok(told)
}

/// Whether an operation has others told.
pub(crate) fn is_told(operation: &Operation) -> bool {
    matches!(operation, Operation::Put { key, .. } if key.starts_with(HAPPENED))
}

/// What an operation does that others want to hear of.
fn event_of(operation: &Operation) -> Result<Option<(&str, String, Value)>> {
    let (key, value) = match operation {
        Operation::Put { key, value, .. } => (key, Some(value)),
        Operation::Delete { key } => (key, None),
        Operation::DeletePrefix { .. } => return Ok(None),
    };
    let mut parts = key.splitn(4, '/');
    let (Some("p"), Some(project), Some(area), Some(name)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let event = match (area, value) {
        ("doc", Some(value)) => {
            let record: VersionRecord = decode(key, value)?;
            let (kind, name) = name.split_once('/').unwrap_or((name, ""));
            let data = json!({"name": name, "version": record.version, "removed": record.is_tombstone()});
            Some((format!("{kind}.changed"), data))
        }
        ("envlog", Some(value)) => {
            let record: ActivationRecord = decode(key, value)?;
            let (environment, _) = name.split_once('@').unwrap_or((name, ""));
            let data = json!({
                "environment": environment, "version": record.version, "release": record.release,
                "previous": record.previous, "by": record.author,
            });
            Some((format!("activation.{}", record.kind), data))
        }
        ("sec", value) => {
            Some((String::from("secret.changed"), json!({"path": name, "removed": value.is_none()})))
        }
        _ => None,
    };
    Ok(event.map(|(kind, data)| (project, kind, data)))
}

/// Documents of one kind that change together are one event.
fn together(events: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let (mut changed, mut others): (BTreeMap<String, Vec<Value>>, _) = (BTreeMap::new(), Vec::new());
    for (kind, data) in events {
        match kind.as_str() {
            "secret.changed" => others.push((kind, data)),
            _ if kind.ends_with(".changed") => changed.entry(kind).or_default().push(data),
            _ => others.push((kind, data)),
        }
    }
    // A document is there before it is activated.
    let changed = changed.into_iter().map(|(kind, documents)| (kind, json!({"documents": documents})));
    changed.chain(others).collect()
}

/// Makes what happened a delivery for each webhook that wants to hear of it. What cannot be told, as its project
/// cannot be read, keeps nobody else waiting.
pub(crate) async fn spread(kit: &Kit) -> Result<()> {
    // An event has a condition, and two operations for each webhook; a transaction must hold one more.
    let full = (kit.db.store().capabilities().transaction_items / 2).saturating_sub(2 * MAX_WEBHOOKS + 1);
    let mut range = Range::prefix(HAPPENED).limit(AT_ONCE);
    loop {
        let page = kit.db.range(range).await?;
        let mut change = Transaction::new();
        for entry in &page.entries {
            match deliveries(kit, entry).await {
                Ok(made) => change = change.and(made),
                Err(error) => {
                    tracing::warn!(%error, key = entry.key, "webhooks could not be told of something")
                }
            }
            if change.operations.len() > full {
                kit.db.commit(std::mem::take(&mut change)).await?;
            }
        }
        // If somebody else is at the same, what is left is done the next time.
        if !change.operations.is_empty() {
            kit.db.commit(change).await?;
        }
        match page.entries.last().filter(|_| page.more) {
            Some(last) => range = Range::prefix(HAPPENED).limit(AT_ONCE).after(&last.key),
            None => return Ok(()),
        }
    }
}

/// The part of a transaction that makes an event deliveries.
async fn deliveries(kit: &Kit, entry: &Entry) -> Result<Transaction> {
    let (_, project) = entry.key.rsplit_once('@').unwrap_or_default();
    let scope = kit.db.internal(&ProjectId::parse(project)?);
    let delivery = DeliveryRecord::of(decode(&entry.key, &entry.value)?);
    let mut change =
        Transaction::new().when(Condition::as_read(&entry.key, Some(entry))).delete(entry.key.clone());
    for hook in hooks(kit, &scope).await?.iter().filter(|hook| hook.wants(&delivery.kind)) {
        change = change
            .put(scope.key(&delivery_key(&hook.id, &delivery.id)), encode(&delivery)?)
            .put(waiting_key(&scope, &hook.id, &delivery.id), encode(&delivery.progress.next_at)?);
    }
    Ok(change)
}

/// The relative key of a delivery.
pub(super) fn delivery_key(hook: &str, event: &str) -> String {
    format!("{DELIVERIES}{hook}@{event}")
}
