// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sees to it that an enabled `cms-admin` remains: every change of who is one goes through a single
//! key, so that two removals at the same moment cannot both believe that another one is left.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::{Condition, Db, Transaction};

const ADMINS: &str = "auth/admins";

/// The enabled users with the role `cms-admin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AdminsRecord {
    v: u8,
    users: BTreeSet<String>,
}

/// The names of the enabled users with the role `cms-admin`.
pub(crate) async fn admins(db: &Db) -> Result<BTreeSet<String>> {
    let entry = db.fresh(ADMINS).await?;
    let record = entry.map(|entry| serde_json::from_slice::<AdminsRecord>(&entry.value)).transpose();
    Ok(record.map_err(Error::internal)?.map(|record| record.users).unwrap_or_default())
}

/// The part of a transaction that makes a user an admin (`becomes`) or none any more.
///
/// # Errors
/// `Conflict` if nobody would be left.
pub(super) async fn change(db: &Db, user: &str, was: bool, becomes: bool) -> Result<Transaction> {
    if was == becomes {
        return Ok(Transaction::new());
    }
    let entry = db.fresh(ADMINS).await?;
    let mut record = match &entry {
        Some(entry) => serde_json::from_slice(&entry.value).map_err(Error::internal)?,
        None => AdminsRecord { v: 1, users: BTreeSet::new() },
    };
    if becomes {
        record.users.insert(user.to_owned());
    } else {
        record.users.remove(user);
    }
    if record.users.is_empty() {
        let text = format!("`{user}` is the last enabled `cms-admin`; make somebody else one first");
        return Err(Error::conflict("last_admin", text));
    }
    let value = serde_json::to_vec(&record).map_err(Error::internal)?;
    Ok(Transaction::new().when(Condition::as_read(ADMINS, entry.as_ref())).put(ADMINS, value))
}
