// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When a lease ends. No wall clock: each process times, by its monotonic clock, how long it has
//! seen a lease without a renewal; so a jump of the clock ends nothing, and a lease never ends
//! before its owner must expect it. After a restart the time begins anew.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cms_core::store::{LeaseId, StoreResult};
use rusqlite::{Connection, OptionalExtension};

use super::error::from_sqlite;
use super::row::{signed, unsigned};

/// The leases of the store as this process has last seen them.
#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<LeaseId, Seen>);

#[derive(Debug)]
struct Seen {
    renewals: i64,
    ttl: Duration,
    since: Instant,
}

impl Leases {
    /// Reads all leases; those that were renewed or are new begin their time now.
    pub(super) fn refresh(&mut self, conn: &Connection) -> StoreResult<()> {
        let now = Instant::now();
        let mut old = std::mem::take(&mut self.0);
        for (id, ttl, renewals) in read(conn).map_err(from_sqlite)? {
            let id = LeaseId(unsigned(id));
            let since =
                old.remove(&id).filter(|seen| seen.renewals == renewals).map_or(now, |seen| seen.since);
            self.0.insert(id, Seen { renewals, ttl: Duration::from_millis(unsigned(ttl)), since });
        }
        Ok(())
    }

    /// The leases whose time is over, with the number of renewals that this rests on.
    pub(super) fn due(&self) -> Vec<(LeaseId, i64)> {
        let over = self.0.iter().filter(|(_, seen)| seen.since.elapsed() >= seen.ttl);
        over.map(|(id, seen)| (*id, seen.renewals)).collect()
    }
}

fn read(conn: &Connection) -> rusqlite::Result<Vec<(i64, i64, i64)>> {
    let mut find = conn.prepare_cached("SELECT id, ttl, renewals FROM lease")?;
    find.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// Tells whether nobody has renewed a lease since it was seen.
pub(super) fn unrenewed(conn: &Connection, lease: LeaseId, renewals: i64) -> StoreResult<bool> {
    let find = conn.prepare_cached("SELECT renewals FROM lease WHERE id = ?1");
    let now: Option<i64> = find
        .and_then(|mut find| find.query_row([signed(lease.0)], |row| row.get(0)).optional())
        .map_err(from_sqlite)?;
    Ok(now == Some(renewals))
}

pub(super) fn grant(conn: &Connection, ttl: Duration) -> rusqlite::Result<LeaseId> {
    let ttl = i64::try_from(ttl.max(Duration::from_secs(1)).as_millis()).unwrap_or(i64::MAX);
    conn.prepare_cached("INSERT INTO lease (ttl, renewals) VALUES (?1, 0)")?.execute([ttl])?;
    Ok(LeaseId(unsigned(conn.last_insert_rowid())))
}

/// Renews a lease; tells whether it still existed.
pub(super) fn renew(conn: &Connection, lease: LeaseId) -> rusqlite::Result<bool> {
    let sql = "UPDATE lease SET renewals = renewals + 1 WHERE id = ?1";
    conn.prepare_cached(sql)?.execute([signed(lease.0)]).map(|count| count > 0)
}
