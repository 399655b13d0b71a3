// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens in a project, as a stream that can be resumed: releases, activations, change requests,
//! secrets and keys, by name and number, never a value.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use crate::auth::{Action, Target};
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Batch, Event as Change, Revision, Scope};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectEvent {
    /// Where it stands: pass it as `after` to go on behind it.
    pub id: String,
    /// `release`, `activation`, `request`, `secret` or `key`.
    pub kind: &'static str,
    /// What it is about.
    pub data: Value,
}

/// The events of a project, in order. Ends with an error when it cannot go on.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<ProjectEvent>> + Send>>;

/// The events of all projects.
#[derive(Debug, Clone)]
pub struct Events {
    kit: Kit,
}

impl Events {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit }
    }

    /// Follows a project's events behind `after`, the id of an event; from now on without it.
    ///
    /// # Errors
    /// `Conflict` with the code `compacted` if that event is too old to go on from.
    pub async fn follow(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        after: Option<&str>,
    ) -> Result<EventStream> {
        let proof = self.kit.authorize(ctx, Action::EventRead, Target::new(project, "event")).await?;
        let scope = self.kit.scope(&proof);
        let (revision, skip) = match after {
            Some(id) => parse_id(id)?,
            None => (self.kit.db.store().revision().await?, usize::MAX),
        };
        // The revision of `after` itself is read again, for the events behind it in the same change.
        let changes = self.kit.db.store().watch(&scope.key(""), revision.saturating_sub(1)).await?;
        let watching = self.kit.db.counts().watching();
        let events = changes.flat_map(move |batch| {
            // Counted for as long as the stream is.
            let _held = &watching;
            let events: Vec<Result<ProjectEvent>> = match batch {
                Ok(batch) => {
                    let skip = if batch.revision == revision { skip } else { 0 };
                    events_of(&scope, &batch).into_iter().skip(skip).map(Ok).collect()
                }
                Err(error) => vec![Err(error.into())],
            };
            futures_util::stream::iter(events)
        });
        Ok(Box::pin(events))
    }
}

/// Reads the id of an event, or a revision alone, which stands for all of its events.
fn parse_id(id: &str) -> Result<(Revision, usize)> {
    let parsed = match id.split_once('.') {
        Some((revision, index)) => revision.parse().ok().zip(index.parse().ok()),
        None => id.parse().ok().map(|revision| (revision, usize::MAX)),
    };
    parsed.ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            "invalid_event_id",
            "`after` must be the id of an event, such as `120.1`, or a revision, such as `120`",
        )
    })
}

fn events_of(scope: &Scope, batch: &Batch) -> Vec<ProjectEvent> {
    let mut seen: Vec<_> = batch.events.iter().filter_map(|change| event_of(scope, change)).collect();
    // A release is there before it is activated, though its key sorts behind.
    seen.sort_by_key(|(kind, _)| *kind != "release");
    seen.into_iter()
        .enumerate()
        .map(|(at, (kind, data))| ProjectEvent { id: format!("{}.{}", batch.revision, at + 1), kind, data })
        .collect()
}

fn event_of(scope: &Scope, change: &Change) -> Option<(&'static str, Value)> {
    let key = scope.relative(&change.key);
    let (area, name) = key.split_once('/')?;
    let removed = change.entry.is_none();
    match area {
        "rel" => Some(("release", json!({"release": name}))),
        "envlog" => {
            let (environment, version) = name.split_once('@')?;
            let record: crate::releases::record::ActivationRecord =
                serde_json::from_slice(&change.entry.as_ref()?.value).ok()?;
            let version: u64 = version.parse().ok()?;
            let data = json!({"environment": environment, "version": version, "release": record.release, "kind": record.kind});
            Some(("activation", data))
        }
        "req" => {
            let record: crate::requests::record::RequestRecord =
                serde_json::from_slice(&change.entry.as_ref()?.value).ok()?;
            Some(("request", record.event()))
        }
        "sec" => Some(("secret", json!({"path": name, "removed": removed}))),
        "key" => Some(("key", json!({"id": name, "removed": removed}))),
        _ => None,
    }
}
