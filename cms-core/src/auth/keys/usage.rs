// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When keys were last used: noted in memory on each use, written at most once a minute per key.

use std::sync::Arc;

use parking_lot::Mutex;

use super::record::{LiveKey, UseRecord};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::store::{Condition, Db, Durability, Transaction};

/// The uses that wait to be written. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage(Arc<Mutex<Vec<Arc<LiveKey>>>>);

impl Usage {
    /// Notes a use. Costs two atomic accesses, and a lock for the first use since the last flush.
    pub(crate) fn note(&self, key: &Arc<LiveKey>, now: Timestamp) {
        if key.note_use(now) {
            self.0.lock().push(key.clone());
        }
    }

    /// Writes what was noted. A use that cannot be written is lost: it is a hint, not a record.
    pub(crate) async fn flush(&self, db: &Db) -> Result<()> {
        let noted = std::mem::take(&mut *self.0.lock());
        for key in noted {
            let record = UseRecord { v: 1, at: key.take_use() };
            let value = serde_json::to_vec(&record).map_err(Error::internal)?;
            // Without the condition, a late note would bring something of a removed project back.
            let mut change = Transaction::new()
                .when(Condition::Present(key.record_key.clone()))
                .put(key.use_key.clone(), value);
            change.durability = Durability::Process;
            db.commit(change).await?;
        }
        Ok(())
    }
}
