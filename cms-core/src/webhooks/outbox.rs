// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is to be told, written in the transaction of what happened: a delivery for each webhook that wants
//! to hear of it, and outside of projects a mark that it waits.

use serde::Serialize;
use serde_json::Value;

use super::hooks;
use super::record::{DELIVERIES, DeliveryRecord, HookRecord, WAITING};
use crate::api::webhooks::DeliveryState;
use crate::clock::Timestamp;
use crate::documents::record::encode;
use crate::error::Result;
use crate::kit::Kit;
use crate::store::{Scope, Transaction};

/// Those who are to be told of what happens in a project.
#[derive(Debug)]
pub(crate) struct Audience {
    scope: Scope,
    hooks: Vec<HookRecord>,
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
    /// Finds out who is to be told.
    pub(crate) async fn of(kit: &Kit, scope: &Scope) -> Result<Self> {
        Ok(Self { scope: scope.clone(), hooks: hooks(kit, scope).await?, now: kit.now() })
    }

    /// The part of a transaction that has them told of an event.
    pub(crate) fn tell(&self, kind: &str, data: &Value) -> Result<Transaction> {
        // Ids grow with time, so that what happened first is told first.
        let id = format!("evt_{}", uuid::Uuid::now_v7());
        let (timestamp, project) = (self.now, self.scope.project().as_str());
        let body = encode(&Body { r#type: kind, timestamp, project, data })?;
        let record = DeliveryRecord {
            v: 1,
            id,
            kind: kind.to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            state: DeliveryState::Pending,
            attempts: 0,
            created_at: self.now,
            next_at: self.now,
            last: None,
        };
        let mut change = Transaction::new();
        for hook in self.hooks.iter().filter(|hook| hook.wants(kind)) {
            change = change
                .put(self.scope.key(&delivery_key(&hook.id, &record.id)), encode(&record)?)
                .put(waiting_key(&self.scope, &hook.id, &record.id), encode(&record.next_at)?);
        }
        Ok(change)
    }
}

/// The relative key of a delivery.
pub(super) fn delivery_key(hook: &str, event: &str) -> String {
    format!("{DELIVERIES}{hook}@{event}")
}

/// The key under which a delivery waits; its value is when it is tried next.
pub(super) fn waiting_key(scope: &Scope, hook: &str, event: &str) -> String {
    format!("{WAITING}{}@{hook}@{event}", scope.project())
}
