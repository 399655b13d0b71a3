// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A request that is run once for its key: its change and the note that it was made are one
//! transaction. Whoever died in between has made both or neither, so the request can be told its
//! answer, or be run again.

use std::fmt;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::Record;
use super::{Idempotency, running};
use crate::error::{Error, Result};
use crate::sensitive::Sensitive;
use crate::store::{Condition, Entry, Outcome, Transaction};

/// A request that has begun under a key. The context of the request carries it.
pub struct Once {
    idempotency: Idempotency,
    pub(super) fingerprint: String,
    state: Mutex<State>,
}

struct State {
    /// The record of the key as this request has written or found it.
    entry: Entry,
    /// Whether the change is made.
    applied: bool,
    /// What the service answers, or has answered before it died.
    reply: Option<Sensitive<Vec<u8>>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("key", &self.state.lock().entry.key).finish_non_exhaustive()
    }
}

impl Once {
    pub(super) fn new(
        idempotency: Idempotency,
        fingerprint: String,
        entry: Entry,
        applied: Option<Bytes>,
    ) -> Self {
        let reply = applied.as_ref().map(|reply| Sensitive::new(reply.to_vec()));
        Self {
            idempotency,
            fingerprint,
            state: Mutex::new(State { entry, applied: applied.is_some(), reply }),
        }
    }

    /// The record as it was last known, and whether the change is made.
    pub(super) fn known(&self) -> (Entry, bool) {
        let state = self.state.lock();
        (state.entry.clone(), state.applied)
    }

    /// The reply of the service to the first sending of the request, if its change is made.
    pub(crate) fn given<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let state = self.state.lock();
        match (&state.reply, state.applied) {
            (Some(reply), true) => serde_json::from_slice(reply.expose()).map(Some).map_err(Error::internal),
            _ => Ok(None),
        }
    }

    /// Sets what the next commit keeps as the reply.
    pub(crate) fn offer<T: Serialize>(&self, reply: &T) -> Result<()> {
        let reply = Sensitive::new(serde_json::to_vec(reply).map_err(Error::internal)?);
        let mut state = self.state.lock();
        if !state.applied {
            state.reply = Some(reply);
        }
        Ok(())
    }

    /// Adds to a change that it was made; `None` if an earlier change of the same request says so.
    /// The condition comes last.
    pub(crate) async fn join(&self, change: Transaction) -> Result<Option<(Transaction, Entry)>> {
        let (entry, applied) = self.known();
        if applied {
            return Ok(None);
        }
        let reply = self.state.lock().reply.clone();
        let record = Record::applied(
            self.fingerprint.clone(),
            self.idempotency.kit.now(),
            reply.map_or_else(Bytes::new, |reply| Bytes::copy_from_slice(reply.expose())),
        );
        let (put, next) = self.idempotency.put(&entry.key, Some(&entry), &record).await?;
        let mut joined = change.and(put);
        joined.conditions.push(Condition::as_read(&entry.key, Some(&entry)));
        Ok(Some((joined, next)))
    }

    /// Takes note of how a joined change ended; `conditions` is how many the change itself had.
    pub(crate) fn ended(&self, outcome: Outcome, next: Entry, conditions: usize) -> Result<Outcome> {
        match outcome {
            Outcome::Committed { revision } => {
                let mut state = self.state.lock();
                state.entry = Entry { modified: revision, ..next };
                state.applied = true;
                Ok(Outcome::Committed { revision })
            }
            // Behind the change's own come that of the keyring and that of the key.
            Outcome::Conflict { failed } if failed.contains(&(conditions + 1)) => Err(running()),
            Outcome::Conflict { failed } => Ok(Outcome::Conflict { failed }),
        }
    }
}
