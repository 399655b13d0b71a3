// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following the changes, over the end of connections and members: whole revisions, each once, in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cms_core::store::{Batch, Event, Revision, StoreError, StoreErrorKind, StoreResult, WatchStream};
use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{EventType, WatchOptions};
use futures_util::stream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::client::Client;
use super::error::{Reached, fail, needs_login, reached, refusal, status_of};
use super::keys::{Keys, ours, theirs};
use super::range;

/// How long a watch looks for a member that answers before it ends with an error.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Follows the changes under a prefix after a revision.
pub(super) async fn watch(
    client: &Arc<Client>,
    keys: &Keys,
    prefix: &str,
    after: Revision,
) -> StoreResult<WatchStream> {
    let mut follower = Follower {
        client: client.clone(),
        keys: keys.clone(),
        prefix: prefix.to_owned(),
        position: theirs(after),
        parts: Vec::new(),
        ready: VecDeque::new(),
        open: None,
    };
    follower.open().await?;
    Ok(Box::pin(stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(batch) => Some((Ok(batch), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

struct Follower {
    client: Arc<Client>,
    keys: Keys,
    prefix: String,
    /// etcd's revision up to which everything was taken over.
    position: i64,
    /// The pieces of an answer that is not whole yet.
    parts: Vec<PbEvent>,
    /// What was taken over and not handed out.
    ready: VecDeque<Batch>,
    open: Option<Open>,
}

/// A watch at one member.
struct Open {
    answers: etcd_client::WatchStream,
    /// Shows when the client leaves the member.
    moved: Receiver<usize>,
}

impl Follower {
    async fn next(&mut self) -> StoreResult<Batch> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            let Some(open) = &mut self.open else {
                self.open().await?;
                continue;
            };
            let answer = tokio::select! {
                answer = open.answers.message() => answer,
                _ = open.moved.changed() => {
                    self.close();
                    continue;
                }
            };
            match answer {
                Ok(Some(answer)) => self.take(answer.0)?,
                Ok(None) => self.close(),
                Err(error) => self.lost(status_of(error))?,
            }
        }
    }

    /// Begins where everything before was taken over; with another member, if one does not answer.
    async fn open(&mut self) -> StoreResult<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Whether this position is still kept, and was reached.
            range::revision(&self.client, &self.keys, Some(self.position)).await?;
            // What is too large for one message comes in several, each but the last marked.
            let options = WatchOptions::new()
                .with_range(self.keys.prefix_end(&self.prefix))
                .with_start_revision(self.position.saturating_add(1))
                .with_fragment();
            match self.client.watch(self.keys.key(&self.prefix), options).await {
                Ok((answers, moved)) => {
                    self.open = Some(Open { answers, moved });
                    return Ok(());
                }
                Err(status) if reached(&status) == Reached::Refused && !needs_login(&status) => {
                    return Err(refusal(status));
                }
                Err(status) if Instant::now() >= deadline => {
                    let text = "no member lets the changes be followed: check that a majority runs";
                    return Err(fail(StoreErrorKind::Unavailable, text).with_source(status));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Forgets a stream, and what of it is not whole.
    fn close(&mut self) {
        self.open = None;
        self.parts.clear();
    }

    fn lost(&mut self, status: Status) -> StoreResult<()> {
        self.close();
        if reached(&status) == Reached::Refused && !needs_login(&status) {
            return Err(refusal(status));
        }
        self.client.leave_present(&status);
        Ok(())
    }

    fn take(&mut self, answer: PbWatchResponse) -> StoreResult<()> {
        self.client.note(answer.header.as_ref(), 0)?;
        if answer.canceled {
            return self.canceled(&answer);
        }
        let whole = !answer.fragment;
        self.parts.extend(answer.events);
        if whole {
            let parts = std::mem::take(&mut self.parts);
            self.sort(parts)?;
        }
        Ok(())
    }

    fn canceled(&mut self, answer: &PbWatchResponse) -> StoreResult<()> {
        if answer.compact_revision > 0 {
            let text = "the history up to this revision is forgotten: read afresh";
            return Err(fail(StoreErrorKind::Compacted, text));
        }
        self.close();
        let reason = &answer.cancel_reason;
        if reason.contains("permission denied") {
            return Err(refusal(Status::permission_denied(reason)));
        }
        // The member has no leader, or ends.
        self.client.leave_present(&Status::unavailable(reason));
        Ok(())
    }

    /// Puts events together by their revision, each in the order of keys.
    fn sort(&mut self, events: Vec<PbEvent>) -> StoreResult<()> {
        let mut revisions: BTreeMap<i64, BTreeMap<String, Event>> = BTreeMap::new();
        for event in events {
            let Some(kv) = event.kv else { return Err(strange("an event without a key")) };
            let revision = kv.mod_revision;
            if revision <= self.position {
                return Err(strange("a change that was delivered before: its state went back"));
            }
            if kv.key == self.keys.mark() {
                continue;
            }
            let key = self.keys.name(&kv.key)?;
            let entry =
                if event.r#type == EventType::Delete as i32 { None } else { Some(self.keys.entry(kv)?) };
            revisions.entry(revision).or_default().insert(key.clone(), Event { key, entry });
        }
        for (revision, events) in revisions {
            self.position = revision;
            self.ready.push_back(Batch { revision: ours(revision), events: events.into_values().collect() });
        }
        Ok(())
    }
}

fn strange(what: &str) -> StoreError {
    fail(StoreErrorKind::Corrupt, format!("etcd sent {what}; check its members, then start CMS again"))
}
