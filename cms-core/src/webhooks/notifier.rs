// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The port through which messages leave: whoever embeds CMS brings the connections.

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, Result};

/// A signed message to one receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub url: String,
    /// The header `webhook-id`: the same for every attempt, so that receivers can tell repetitions.
    pub id: String,
    /// The header `webhook-timestamp`, in seconds.
    pub timestamp: i64,
    /// The header `webhook-signature`.
    pub signature: String,
    /// The body, as JSON.
    pub body: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a credential.
        f.debug_struct("Message").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Sends messages. An implementation MUST answer within some seconds, MUST NOT follow redirects, and MUST
/// NOT reach private addresses unless its operator has said so.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync {
    /// Refuses an address that is never sent to.
    ///
    /// # Errors
    /// `Unprocessable`, with what an address must be.
    fn check(&self, url: &str) -> Result<()>;

    /// Sends a message once.
    ///
    /// # Errors
    /// What is shown to who looks after the webhook: no address, nothing of the answer's body.
    async fn send(&self, message: &Message) -> Result<(), String>;
}

/// Sends nothing: for who embeds CMS without connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

#[async_trait]
impl Notifier for Silent {
    fn check(&self, _: &str) -> Result<()> {
        Err(Error::unprocessable("webhooks_not_available", "this installation sends nothing"))
    }

    async fn send(&self, _: &Message) -> Result<(), String> {
        Err(String::from("this installation sends nothing"))
    }
}
