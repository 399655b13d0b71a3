// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes logged decisions whose time is over.

use std::time::Duration;

use super::segments;
use crate::api::decision_log::DecisionLog;
use crate::clock::Timestamp;
use crate::documents::record::decode;
use crate::error::Result;
use crate::ids::{EnvironmentId, ProjectId};
use crate::kit::Kit;
use crate::projects::record::{META, ProjectRecord};
use crate::releases::activate::environment_key;
use crate::releases::record::EnvironmentRecord;
use crate::store::{Scope, Transaction};

/// How many segments are removed in one transaction.
const SEGMENTS: usize = 64;
/// How long decisions are kept where logging is no longer set.
const DEFAULT_DAYS: u32 = 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what is over in one project; the number of segments that are gone.
///
/// # Errors
/// Whatever the store answers.
pub(crate) async fn sweep(kit: &Kit, project: &ProjectId) -> Result<usize> {
    let scope = kit.db.internal(project);
    let Some(meta) = scope.fresh(META).await? else { return Ok(0) };
    let record: ProjectRecord = decode(&meta.key, &meta.value)?;
    let mut removed = 0;
    for name in &record.environments {
        let environment = EnvironmentId::parse(name)?;
        let days = settings(&scope, &environment).await?.map_or(DEFAULT_DAYS, |log| log.keep_days);
        let kept = i64::try_from((DAY * days).as_millis()).unwrap_or(i64::MAX);
        let over = Timestamp::from_millis(kit.now().as_millis().saturating_sub(kept));
        removed += remove(kit, &scope, &environment, over).await?;
    }
    Ok(removed)
}

async fn settings(scope: &Scope, environment: &EnvironmentId) -> Result<Option<DecisionLog>> {
    let Some(entry) = scope.fresh(&environment_key(environment.as_str())).await? else { return Ok(None) };
    Ok(decode::<EnvironmentRecord>(&entry.key, &entry.value)?.decision_log)
}

async fn remove(kit: &Kit, scope: &Scope, environment: &EnvironmentId, over: Timestamp) -> Result<usize> {
    let (lowest, end) = (segments::prefix(environment), segments::floor(environment, over));
    let mut removed = 0;
    loop {
        let old = scope.between(&lowest, &end, SEGMENTS).await?;
        if old.entries.is_empty() {
            return Ok(removed);
        }
        removed += old.entries.len();
        let change = old.entries.iter().fold(Transaction::new(), |change, entry| change.delete(&entry.key));
        kit.db.commit(change).await?;
    }
}
