// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Webhooks on the wire: where a project has others told of what happens in it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;

/// Adds a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// Where to send to: `https://…`.
    pub url: String,
    /// Which events, such as `request.approved` or `request.*`; all, if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// The id.
    pub id: String,
    /// Where it sends to, without the query, which may hold a credential.
    pub url: String,
    /// Which events; all, if it is empty.
    pub events: Vec<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who added it.
    pub created_by: String,
}

/// A new webhook: the only time that its secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedWebhook {
    /// What receivers verify signatures with (`whsec_…`, as Standard Webhooks has it). It cannot be shown
    /// again.
    pub secret: String,
    /// Everything else about it.
    #[serde(flatten)]
    pub about: Webhook,
}

impl fmt::Debug for CreatedWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedWebhook").field("about", &self.about).finish_non_exhaustive()
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It waits to be sent, or to be sent again.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It was given up; it can be sent again by hand.
    Dead,
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The id of the event: what receivers see as `webhook-id`.
    pub id: String,
    /// What happened, such as `request.approved`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Timestamp>,
    /// What came of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
}
