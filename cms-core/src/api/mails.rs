// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mails on the wire: what people of a project were told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::webhooks::DeliveryState;
use crate::clock::Timestamp;

/// One mail on its way to one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MailDelivery {
    /// The id.
    pub id: String,
    /// What happened, such as `request.opened`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who is told.
    pub user: String,
    /// What it is about.
    pub subject: String,
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
