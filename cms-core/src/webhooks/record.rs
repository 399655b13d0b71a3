// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Webhooks and deliveries as they lie in the store. A webhook holds its secret and an address that may
//! hold one, so it is sealed; a delivery holds names and numbers.

use serde::{Deserialize, Serialize};

use super::progress::Progress;
use crate::api::webhooks::{Delivery, Webhook};
use crate::clock::Timestamp;

/// What the relative keys of webhooks begin with.
pub(super) const HOOKS: &str = "hook/";
/// What the relative keys of deliveries begin with.
pub(super) const DELIVERIES: &str = "dlv/";
/// What the keys begin with under which deliveries wait, outside of projects.
pub(super) const WAITING: &str = "outbox/";
/// What the keys begin with under which lies what happened, until it is a delivery for each webhook.
pub(super) const HAPPENED: &str = "happened/";

/// A webhook.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookRecord {
    pub(crate) v: u8,
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Base64, as receivers are given it behind `whsec_`.
    pub(crate) secret: String,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
}

impl std::fmt::Debug for HookRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookRecord").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryRecord {
    pub(crate) v: u8,
    /// The id of the event.
    pub(crate) id: String,
    pub(crate) kind: String,
    /// What is sent, as it is signed.
    pub(crate) body: String,
    #[serde(flatten)]
    pub(crate) progress: Progress,
}

/// Something that happened, before it is known who wants to hear of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HappenedRecord {
    pub(crate) v: u8,
    pub(crate) id: String,
    pub(crate) kind: String,
    /// What is sent.
    pub(crate) body: String,
    pub(crate) at: Timestamp,
}

impl HookRecord {
    /// The webhook as it goes on the wire.
    pub(super) fn to_wire(&self) -> Webhook {
        let url = self.url.split(['?', '#']).next().unwrap_or_default().to_owned();
        Webhook {
            id: self.id.clone(),
            url,
            events: self.events.clone(),
            description: self.description.clone(),
            created_at: self.created_at,
            created_by: self.created_by.clone(),
        }
    }

    /// Whether the webhook wants to hear of an event.
    pub(super) fn wants(&self, kind: &str) -> bool {
        let fits = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            // `activation` stands for `activation.rollback`, too.
            None => kind.strip_prefix(&**wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        };
        self.events.is_empty() || self.events.iter().any(fits)
    }
}

impl DeliveryRecord {
    /// An event on its way to a webhook.
    pub(super) fn of(happened: HappenedRecord) -> Self {
        let HappenedRecord { id, kind, body, at, .. } = happened;
        Self { v: 1, id, kind, body, progress: Progress::begun(at) }
    }
}

impl DeliveryRecord {
    /// The delivery as it goes on the wire.
    pub(super) fn to_wire(&self) -> Delivery {
        Delivery {
            id: self.id.clone(),
            kind: self.kind.clone(),
            state: self.progress.state,
            attempts: self.progress.attempts,
            created_at: self.progress.created_at,
            next_attempt_at: self.progress.next_attempt(),
            last_result: self.progress.last.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::webhooks::DeliveryState;

    #[test]
    fn the_records_of_version_1_stay_readable() {
        let hook = HookRecord {
            v: 1,
            id: "0198".into(),
            url: "https://hooks.example.org/cms?token=t".into(),
            events: vec!["request.*".into()],
            description: Some("chat".into()),
            secret: "c2VjcmV0".into(),
            created_at: Timestamp::from_millis(0),
            created_by: "user:ann".into(),
        };
        let delivery = DeliveryRecord {
            v: 1,
            id: "0199".into(),
            kind: "request.opened".into(),
            body: "{}".into(),
            progress: Progress {
                state: DeliveryState::Dead,
                attempts: 12,
                created_at: Timestamp::from_millis(0),
                next_at: Timestamp::from_millis(1),
                last: Some("the receiver answered 500".into()),
            },
        };
        let happened = HappenedRecord {
            v: 1,
            id: "0199".into(),
            kind: "request.opened".into(),
            body: "{}".into(),
            at: Timestamp::from_millis(0),
        };
        let golden = include_str!("../../testdata/webhook_v1.jsonl");
        let written = [
            serde_json::to_string(&hook).unwrap(),
            serde_json::to_string(&delivery).unwrap(),
            serde_json::to_string(&happened).unwrap(),
        ];
        assert_eq!(written.join("\n"), golden.trim_end());
        let lines: Vec<&str> = golden.lines().collect();
        assert_eq!(serde_json::from_str::<HookRecord>(lines[0]).unwrap(), hook);
        assert_eq!(serde_json::from_str::<DeliveryRecord>(lines[1]).unwrap(), delivery);
        assert_eq!(serde_json::from_str::<HappenedRecord>(lines[2]).unwrap(), happened);
        assert!(!format!("{hook:?}").contains("c2VjcmV0"));
        assert_eq!(hook.to_wire().url, "https://hooks.example.org/cms");
        assert!(hook.wants("request.opened") && !hook.wants("activation"));
        let hook = HookRecord { events: vec!["activation".into()], ..hook };
        assert!(hook.wants("activation.rollback") && !hook.wants("activations"));
    }
}
