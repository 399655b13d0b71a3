// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending what waits: to each receiver in the order in which it happened, again after longer and longer
//! pauses, until it is taken or given up. A process that dies in between leaves it waiting.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use futures_util::StreamExt;

use super::outbox::delivery_key;
use super::record::{DELIVERIES, DeliveryRecord, HOOKS, HookRecord, WAITING};
use super::{Message, Notifier};
use crate::api::webhooks::DeliveryState;
use crate::auth::{random, sealed::Sealed};
use crate::clock::Timestamp;
use crate::documents::record::{decode, encode};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Condition, Entry, Range, Transaction};

/// After how many attempts a delivery is given up; the last one comes some hours after the first.
const MAX_ATTEMPTS: u32 = 12;
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How many receivers are sent to at once.
const AT_ONCE: usize = 32;
/// How many messages one receiver gets before the others have their turn again.
const IN_A_ROW: usize = 50;
/// How many deliveries of a webhook are kept for looking back.
const KEPT: usize = 200;

/// Sends whatever is due, once.
///
/// # Errors
/// Whatever the store answers; what receivers answer is kept with the deliveries.
pub(crate) async fn deliver_due(kit: &Kit, notifier: &dyn Notifier) -> Result<()> {
    let mut lines = Vec::new();
    let mut range = Range::prefix(WAITING).limit(1);
    while let Some(first) = kit.db.range(range).await?.entries.into_iter().next() {
        let Some((line, _)) = first.key.rsplit_once('@') else {
            return Err(Error::internal(format!("`{}` is no key of a delivery", first.key)));
        };
        lines.push(format!("{line}@"));
        // `A` is the character after `@`: behind everything that waits for the same receiver.
        range = Range { start: format!("{line}A"), ..Range::prefix(WAITING).limit(1) };
    }
    let sent = futures_util::stream::iter(lines).map(|line| async move { serve(kit, notifier, &line).await });
    let mut sent = sent.buffer_unordered(AT_ONCE);
    while let Some(served) = sent.next().await {
        if let Err(error) = served {
            tracing::warn!(%error, "a webhook could not be served; trying again");
        }
    }
    Ok(())
}

/// Sends what waits for one receiver, until something fails or is not due yet.
async fn serve(kit: &Kit, notifier: &dyn Notifier, line: &str) -> Result<()> {
    for _ in 0..IN_A_ROW {
        let first = kit.db.range(Range::prefix(line).limit(1)).await?.entries.into_iter().next();
        let Some(waiting) = first else { return Ok(()) };
        let due: Timestamp = decode(&waiting.key, &waiting.value)?;
        if due > kit.now() || !attempt(kit, notifier, &waiting).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Tries one delivery; tells whether the next one may follow.
async fn attempt(kit: &Kit, notifier: &dyn Notifier, waiting: &Entry) -> Result<bool> {
    let mut parts = waiting.key.strip_prefix(WAITING).unwrap_or_default().splitn(3, '@');
    let (Some(project), Some(hook), Some(event)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Error::internal(format!("`{}` is no key of a delivery", waiting.key)));
    };
    let project = ProjectId::parse(project)?;
    let scope = kit.db.internal(&project);
    let target = Sealed::of(kit).fresh::<HookRecord>(&project, &scope.key(&format!("{HOOKS}{hook}"))).await?;
    let entry = scope.fresh(&delivery_key(hook, event)).await?;
    let (Some(target), Some(entry)) = (target, entry) else {
        // The webhook is gone, or the project is.
        kit.db.commit(Transaction::new().delete(waiting.key.clone())).await?;
        return Ok(true);
    };
    let mut record: DeliveryRecord = decode(&entry.key, &entry.value)?;
    let message = signed(&target.record, &record, kit.now())?;
    let sent = notifier.send(&message).await;
    record.attempts += 1;
    let is_over = sent.is_ok() || record.attempts >= MAX_ATTEMPTS;
    record.state = match (&sent, is_over) {
        (Ok(()), _) => DeliveryState::Delivered,
        (Err(_), true) => DeliveryState::Dead,
        (Err(_), false) => DeliveryState::Pending,
    };
    record.next_at = kit.now().after(pause(record.attempts)?);
    record.last = Some(sent.err().unwrap_or_else(|| String::from("the receiver has taken it")));
    let change = Transaction::new()
        .when(Condition::as_read(&entry.key, Some(&entry)))
        .put(entry.key.clone(), encode(&record)?);
    let change = match is_over {
        true => {
            prune(kit, &scope.key(&format!("{DELIVERIES}{hook}@")), change.delete(waiting.key.clone()))
                .await?
        }
        false => change.put(waiting.key.clone(), encode(&record.next_at)?),
    };
    // Somebody who has it sent again at this moment wins; it is tried anew then.
    kit.db.commit(change).await?;
    Ok(is_over)
}

/// Lets the oldest deliveries go that are over.
async fn prune(kit: &Kit, prefix: &str, mut change: Transaction) -> Result<Transaction> {
    let found = kit.db.range(Range::prefix(prefix).limit(KEPT + 20)).await?.entries;
    let surplus = found.len().saturating_sub(KEPT);
    for entry in found.iter().take(surplus) {
        let record: DeliveryRecord = decode(&entry.key, &entry.value)?;
        let is_written = change.conditions.iter().any(|condition| condition.key() == entry.key);
        if record.state != DeliveryState::Pending && !is_written {
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

/// A message with its signature, in the form of Standard Webhooks
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
fn signed(hook: &HookRecord, record: &DeliveryRecord, now: Timestamp) -> Result<Message> {
    let timestamp = now.as_secs();
    let secret = BASE64.decode(hook.secret.as_bytes()).map_err(Error::internal)?;
    Ok(Message {
        url: hook.url.clone(),
        id: record.id.clone(),
        timestamp,
        signature: signature(&secret, &record.id, timestamp, &record.body),
        body: record.body.clone(),
    })
}

fn signature(secret: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests;
