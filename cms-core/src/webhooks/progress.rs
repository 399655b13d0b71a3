// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How far something is on its way to somebody: tried again after longer and longer pauses, until it is taken
//! or given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::WAITING;
use crate::api::webhooks::DeliveryState;
use crate::auth::random;
use crate::clock::Timestamp;
use crate::documents::record::{decode, encode};
use crate::error::Result;
use crate::kit::Kit;
use crate::store::{Condition, Entry, Range, Scope, Transaction};

/// After how many attempts something is given up; the last one comes some hours after the first.
pub(super) const MAX_ATTEMPTS: u32 = 12;
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How much of what is over is kept for looking back.
pub(crate) const KEPT: usize = 200;

/// How far something is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) state: DeliveryState,
    pub(crate) attempts: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) next_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<String>,
}

impl Progress {
    /// Of what is to be sent for the first time.
    pub(crate) fn begun(at: Timestamp) -> Self {
        Self { state: DeliveryState::Pending, attempts: 0, created_at: at, next_at: at, last: None }
    }

    /// Notes what came of an attempt, and tells whether that was the last one.
    pub(crate) fn note(&mut self, sent: Result<(), String>, taken: &str, now: Timestamp) -> Result<bool> {
        self.attempts += 1;
        self.state = match &sent {
            Ok(()) => DeliveryState::Delivered,
            Err(_) if self.attempts >= MAX_ATTEMPTS => DeliveryState::Dead,
            Err(_) => DeliveryState::Pending,
        };
        self.next_at = now.after(pause(self.attempts)?);
        self.last = Some(sent.err().unwrap_or_else(|| taken.to_owned()));
        Ok(self.state != DeliveryState::Pending)
    }

    /// Gives up for a reason that no further attempt changes.
    pub(crate) fn give_up(&mut self, why: &str) {
        (self.state, self.last) = (DeliveryState::Dead, Some(why.to_owned()));
    }

    /// Begins anew, by hand.
    pub(crate) fn again(&mut self, now: Timestamp) {
        (self.state, self.attempts, self.next_at) = (DeliveryState::Pending, 0, now);
    }

    /// When it is tried next, if it is.
    pub(crate) fn next_attempt(&self) -> Option<Timestamp> {
        (self.state == DeliveryState::Pending).then_some(self.next_at)
    }
}

/// The key under which something waits; its value is when it is tried next. What waits in one line is sent in
/// order.
pub(crate) fn waiting_key(scope: &Scope, line: &str, event: &str) -> String {
    format!("{WAITING}{}@{line}@{event}", scope.project())
}

/// Keeps what came of an attempt with the record at `entry`, of which the surplus under `prefix` goes. Somebody
/// who has it sent again at this moment wins; it is tried anew then.
pub(crate) async fn kept<R: Serialize>(
    kit: &Kit,
    (waiting, entry): (&Entry, &Entry),
    (record, progress): (&R, &Progress),
    prefix: &str,
) -> Result<()> {
    let change = Transaction::new()
        .when(Condition::as_read(&entry.key, Some(entry)))
        .put(entry.key.clone(), encode(record)?);
    let change = match progress.state {
        DeliveryState::Pending => change.put(waiting.key.clone(), encode(&progress.next_at)?),
        _ => prune(kit, prefix, change.delete(waiting.key.clone())).await?,
    };
    kit.db.commit(change).await?;
    Ok(())
}

/// Lets the oldest go that are over.
async fn prune(kit: &Kit, prefix: &str, mut change: Transaction) -> Result<Transaction> {
    let found = kit.db.range(Range::prefix(prefix).limit(KEPT + 20)).await?.entries;
    let surplus = found.len().saturating_sub(KEPT);
    for entry in found.iter().take(surplus) {
        let progress: Progress = decode(&entry.key, &entry.value)?;
        let is_written = change.conditions.iter().any(|condition| condition.key() == entry.key);
        if progress.state != DeliveryState::Pending && !is_written {
            change = change.delete(entry.key.clone());
        }
    }
    Ok(change)
}

/// How long to wait after so many attempts, with some chance, so that receivers that come back are not met
/// by all at once.
fn pause(attempts: u32) -> Result<Duration> {
    let doubled =
        FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    let pause = doubled.min(LONGEST_PAUSE);
    let chance = u32::from_le_bytes(random::<4>()?) % 500;
    Ok(pause + pause * chance / 1_000)
}
