// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes what no session needs any more. Nothing here decides whether a session stands: what is
//! removed has ended already, so no record of the trail speaks of it.

use super::record::{RefreshRecord, SessionRecord, session_key};
use super::{Sessions, refresh_key};
use crate::auth::sealed::Fresh;
use crate::auth::throttle;
use crate::auth::users::{LiveUser, UserRecord, user_key};
use crate::error::Result;
use crate::ids::{ProjectId, UserId};
use crate::store::{Condition, Durability, Entry, Range, Transaction};

/// How many entries are read at a time.
const CHUNK: usize = 500;

impl Sessions {
    /// Removes sessions, refresh tokens and counts of failed logins that have ended; to be called
    /// about once an hour. Returns how many.
    ///
    /// # Errors
    /// Whatever the store or the barrier answers.
    pub async fn sweep(&self) -> Result<usize> {
        let mut swept = throttle::sweep(&self.kit.db, self.kit.now()).await?;
        for prefix in ["auth/session/", "auth/refresh/"] {
            let mut after = None::<String>;
            loop {
                let mut range = Range::prefix(prefix).limit(CHUNK);
                if let Some(after) = &after {
                    range = range.after(after);
                }
                let page = self.kit.db.range(range).await?;
                after = page.entries.last().map(|entry| entry.key.clone());
                for entry in page.entries {
                    swept += usize::from(self.sweep_one(entry).await?);
                }
                if !page.more {
                    break;
                }
            }
        }
        Ok(swept)
    }

    async fn sweep_one(&self, entry: Entry) -> Result<bool> {
        let change = if entry.key.starts_with("auth/session/") {
            self.sweep_session(entry).await?
        } else {
            self.sweep_refresh(entry).await?
        };
        let Some(mut change) = change else { return Ok(false) };
        change.durability = Durability::Process;
        self.kit.db.commit(change).await?;
        Ok(true)
    }

    async fn sweep_session(&self, entry: Entry) -> Result<Option<Transaction>> {
        let platform = ProjectId::platform();
        let Fresh { entry, record } = self.sealed.open::<SessionRecord>(&platform, entry).await?;
        let user = UserId::parse(&record.user)?;
        let live = self.sealed.fresh::<UserRecord>(&platform, &user_key(&user)).await?;
        let live = live.map(|live| LiveUser::new(&live.record)).transpose()?;
        let stands = live.is_some_and(|live| record.belongs_to(&live)) && record.ends_at > self.kit.now();
        Ok((!stands).then(|| removal(&entry).delete(refresh_key(&record.sid))))
    }

    async fn sweep_refresh(&self, entry: Entry) -> Result<Option<Transaction>> {
        let Fresh { entry, record } =
            self.sealed.open::<RefreshRecord>(&ProjectId::platform(), entry).await?;
        let sid = entry.key.strip_prefix("auth/refresh/").unwrap_or_default();
        let session = session_key(&UserId::parse(&record.user)?, sid);
        let stands = record.expires_at > self.kit.now() && self.kit.db.fresh(&session).await?.is_some();
        // Without its refresh token, a session still lasts until its access token expires.
        Ok((!stands).then(|| removal(&entry)))
    }
}

fn removal(entry: &Entry) -> Transaction {
    Transaction::new().when(Condition::as_read(&entry.key, Some(entry))).delete(entry.key.clone())
}
