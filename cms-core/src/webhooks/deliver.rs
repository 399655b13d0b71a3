// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending what waits: to each receiver, be it a webhook or a person, in the order in which it happened. A
//! process that dies in between leaves it waiting.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use futures_util::StreamExt;

use super::outbox::{delivery_key, spread};
use super::progress::kept;
use super::record::{DELIVERIES, DeliveryRecord, HOOKS, HookRecord, WAITING};
use super::{Message, Notifier};
use crate::auth::sealed::Sealed;
use crate::clock::Timestamp;
use crate::documents::record::decode;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::mails::Mails;
use crate::store::{Entry, Range, Scope, Transaction};

/// How many receivers are sent to at once.
const AT_ONCE: usize = 32;
/// How many messages one receiver gets before the others have their turn again.
const IN_A_ROW: usize = 50;
/// Sends whatever is due, once.
///
/// # Errors
/// Whatever the store answers; what receivers answer is kept with the deliveries.
pub(crate) async fn deliver_due(kit: &Kit, notifier: &dyn Notifier, mails: &Mails) -> Result<()> {
    spread(kit).await?;
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
    let sent = futures_util::stream::iter(lines)
        .map(|line| async move { serve(kit, (notifier, mails), &line).await });
    let mut sent = sent.buffer_unordered(AT_ONCE);
    while let Some(served) = sent.next().await {
        if let Err(error) = served {
            tracing::warn!(%error, "a webhook could not be served; trying again");
        }
    }
    Ok(())
}

/// Sends what waits for one receiver, until something fails or is not due yet.
async fn serve(kit: &Kit, senders: (&dyn Notifier, &Mails), line: &str) -> Result<()> {
    for _ in 0..IN_A_ROW {
        let first = kit.db.range(Range::prefix(line).limit(1)).await?.entries.into_iter().next();
        let Some(waiting) = first else { return Ok(()) };
        let due: Timestamp = decode(&waiting.key, &waiting.value)?;
        if due > kit.now() || !attempt(kit, senders, &waiting).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Tries one delivery; tells whether the next one may follow.
async fn attempt(kit: &Kit, (notifier, mails): (&dyn Notifier, &Mails), waiting: &Entry) -> Result<bool> {
    let mut parts = waiting.key.strip_prefix(WAITING).unwrap_or_default().splitn(3, '@');
    let (Some(project), Some(line), Some(event)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Error::internal(format!("`{}` is no key of a delivery", waiting.key)));
    };
    let scope = kit.db.internal(&ProjectId::parse(project)?);
    match Mails::is_line(line) {
        true => mails.attempt(&scope, event, waiting).await,
        false => post(kit, notifier, &scope, (line, event), waiting).await,
    }
}

/// Tries a delivery to a webhook.
async fn post(
    kit: &Kit,
    notifier: &dyn Notifier,
    scope: &Scope,
    (hook, event): (&str, &str),
    waiting: &Entry,
) -> Result<bool> {
    let key = scope.key(&format!("{HOOKS}{hook}"));
    let target = Sealed::of(kit).fresh::<HookRecord>(scope.project(), &key).await?;
    let entry = scope.fresh(&delivery_key(hook, event)).await?;
    let (Some(target), Some(entry)) = (target, entry) else {
        // The webhook is gone, or the project is.
        kit.db.commit(Transaction::new().delete(waiting.key.clone())).await?;
        return Ok(true);
    };
    let mut record: DeliveryRecord = decode(&entry.key, &entry.value)?;
    let message = signed(&target.record, &record, kit.now())?;
    let sent = notifier.send(&message).await;
    let is_over = record.progress.note(sent, "the receiver has taken it", kit.now())?;
    let prefix = scope.key(&format!("{DELIVERIES}{hook}@"));
    kept(kit, (waiting, &entry), (&record, &record.progress), &prefix).await?;
    Ok(is_over)
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
