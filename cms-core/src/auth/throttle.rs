// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts failed logins, per user and per address, in the store: so that it makes no difference
//! which process is asked, and a restart forgives nothing.
//!
//! A window begins with the first failure and lasts 15 minutes. Once it holds too many failures,
//! even the right password is refused until it ends. Names are counted whether or not they exist.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::credential::Digest;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::UserId;
use crate::store::{Condition, Db, Durability, Entry, Outcome, Range, Transaction};

/// How long a window lasts.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How many failures a user may have within a window.
pub const USER_FAILURES: u32 = 10;
/// How many failures an address (of IPv6: a network of 64 bits) may have within a window.
pub const ADDRESS_FAILURES: u32 = 50;

const PREFIX: &str = "auth/throttle/";
const ATTEMPTS: usize = 16;

/// The failures of one user or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FailuresRecord {
    v: u8,
    since: Timestamp,
    failures: u32,
}

/// Who is counted: the user that was named, and the address that named it. The name is hashed: what
/// people type into a field for names may be a password.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    user: Option<String>,
    address: Option<String>,
}

impl Attempt {
    /// Without a user for what cannot be one's name.
    pub(crate) fn new(user: Option<&UserId>, address: Option<IpAddr>) -> Self {
        let digest = |user: &UserId| Digest::of(user.canonical().as_str()).to_text();
        Self {
            user: user.map(|user| format!("{PREFIX}user/{}", digest(user))),
            address: address.map(|address| format!("{PREFIX}address/{}", network(address))),
        }
    }
}

/// Who controls one address of an IPv6 network controls all of them.
fn network(address: IpAddr) -> String {
    let address = address.to_canonical();
    match address {
        IpAddr::V4(_) => address.to_string(),
        IpAddr::V6(_) => {
            IpNet::new(address, 64).map_or_else(|_| address.to_string(), |net| net.network().to_string())
        }
    }
}

/// Refuses an attempt if the user or the address has failed too often.
///
/// # Errors
/// `TooMany`, with the time at which the window ends.
pub(crate) async fn check(db: &Db, attempt: &Attempt, now: Timestamp) -> Result<()> {
    let mut longest = None;
    for (key, limit) in [(&attempt.user, USER_FAILURES), (&attempt.address, ADDRESS_FAILURES)] {
        if let Some(key) = key {
            longest = longest.max(wait(read(db, key).await?.1, limit, now));
        }
    }
    match longest {
        Some(wait) => Err(Error::new(
            ErrorKind::TooMany,
            "too_many_logins",
            "too many failed logins; wait before trying again",
        )
        .with_retry_after(wait)),
        None => Ok(()),
    }
}

/// For how long nothing is accepted.
fn wait(record: Option<FailuresRecord>, limit: u32, now: Timestamp) -> Option<Duration> {
    let record = record.filter(|record| record.failures >= limit)?;
    let end = record.since.after(WINDOW);
    (end > now).then(|| end.since(now))
}

/// Counts a failure.
pub(crate) async fn fail(db: &Db, attempt: &Attempt, now: Timestamp) -> Result<()> {
    for key in [&attempt.user, &attempt.address].into_iter().flatten() {
        count(db, key, now).await?;
    }
    Ok(())
}

async fn count(db: &Db, key: &str, now: Timestamp) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let (entry, record) = read(db, key).await?;
        let open = record.filter(|record| record.since.after(WINDOW) > now);
        let record = match open {
            Some(record) => FailuresRecord { failures: record.failures.saturating_add(1), ..record },
            None => FailuresRecord { v: 1, since: now, failures: 1 },
        };
        let value = serde_json::to_vec(&record).map_err(Error::internal)?;
        let mut change =
            Transaction::new().when(Condition::as_read(key, entry.as_ref())).put(key.to_owned(), value);
        change.durability = Durability::Process;
        if let Outcome::Committed { .. } = db.commit(change).await? {
            return Ok(());
        }
    }
    Err(Error::unavailable("login_busy", "too many logins at once; try again in a moment"))
}

/// The part of a successful login's transaction that forgives the user. The address stays counted:
/// otherwise one account of one's own would open the way to guessing all others.
pub(crate) fn forgive(attempt: &Attempt) -> Transaction {
    attempt.user.iter().fold(Transaction::new(), |change, key| change.delete(key.clone()))
}

async fn read(db: &Db, key: &str) -> Result<(Option<Entry>, Option<FailuresRecord>)> {
    let entry = db.fresh(key).await?;
    let record = entry.as_ref().map(|entry| serde_json::from_slice(&entry.value)).transpose();
    Ok((entry, record.map_err(Error::internal)?))
}

/// Removes windows that have ended; returns how many.
pub(crate) async fn sweep(db: &Db, now: Timestamp) -> Result<usize> {
    let (mut after, mut swept) = (None::<String>, 0);
    loop {
        let mut range = Range::prefix(PREFIX).limit(500);
        if let Some(after) = &after {
            range = range.after(after);
        }
        let page = db.range(range).await?;
        after = page.entries.last().map(|entry| entry.key.clone());
        for entry in page.entries {
            let record: FailuresRecord = serde_json::from_slice(&entry.value).map_err(Error::internal)?;
            if record.since.after(WINDOW) > now {
                continue;
            }
            let mut change =
                Transaction::new().when(Condition::as_read(&entry.key, Some(&entry))).delete(entry.key);
            change.durability = Durability::Process;
            db.commit(change).await?;
            swept += 1;
        }
        if !page.more {
            return Ok(swept);
        }
    }
}
