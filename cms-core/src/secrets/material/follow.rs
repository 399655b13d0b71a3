// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removing entries that no head points to: those whose writer died or was refused, those of destroyed versions,
//! those of offboarded projects. Bears being done twice, and by two at once.

use std::time::Duration;

use super::Counted;
use super::record::{self, GONE, LAID, LEFT, Note};
use crate::documents::record::decode;
use crate::error::Result;
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Condition, Entry, Page, Range, Transaction};

/// After which time an entry that no head points to is given up. Its writer's commit fails from then on, so
/// clocks that differ, or a writer that slept, do no harm.
const GIVEN_UP: Duration = Duration::from_secs(5 * 60);
/// How many notes are read at once.
const AT_ONCE: usize = 200;

/// Does what is due, once.
///
/// # Errors
/// The first thing that the store or the material answers; what is left is done the next time.
pub(crate) async fn follow_up(kit: &Kit, material: &Counted) -> Result<()> {
    give_up(kit).await?;
    sweep_left(kit, material).await?;
    let mut waiting = 0;
    let mut removed = Ok(());
    let mut range = Range::prefix(GONE).limit(AT_ONCE);
    loop {
        let page = kit.db.range(range).await?;
        for entry in &page.entries {
            if removed.is_ok() {
                removed = remove(kit, material, entry).await;
            }
            waiting += u64::from(removed.is_err());
        }
        match next(&page, GONE) {
            Some(following) => range = following,
            None => break,
        }
    }
    kit.db.counts().material_waiting(waiting);
    removed
}

/// The part of an offboarding that has everything of the project removed.
pub(crate) fn offboarded(kit: &Kit, project: &ProjectId) -> Result<Transaction> {
    match &kit.material {
        Some(_) => Ok(Transaction::new().put(format!("{LEFT}{project}"), Note::encoded(kit.now())?)),
        None => Ok(Transaction::new()),
    }
}

async fn give_up(kit: &Kit) -> Result<()> {
    let mut range = Range::prefix(LAID).limit(AT_ONCE);
    loop {
        let page = kit.db.range(range).await?;
        for entry in &page.entries {
            let note: Note = decode(&entry.key, &entry.value)?;
            if kit.now().since(note.at) < GIVEN_UP {
                continue;
            }
            let (project, id) = record::parse(&entry.key, LAID)?;
            tracing::info!(%project, "gave up the value of a secret that was not finished");
            let change = Transaction::new()
                .when(Condition::as_read(&entry.key, Some(entry)))
                .delete(entry.key.clone())
                .and(record::gone(&project, id, kit.now())?);
            // Its writer may have been faster, or another process that does the same.
            kit.db.commit(change).await?;
        }
        match next(&page, LAID) {
            Some(following) => range = following,
            None => return Ok(()),
        }
    }
}

async fn remove(kit: &Kit, material: &Counted, entry: &Entry) -> Result<()> {
    let (project, id) = record::parse(&entry.key, GONE)?;
    material.destroy(&project, id).await?;
    kit.db.commit(Transaction::new().delete(entry.key.clone())).await?;
    Ok(())
}

/// Removes what offboarded projects have left. Their data keys are destroyed, so nothing of it opens.
async fn sweep_left(kit: &Kit, material: &Counted) -> Result<()> {
    let page = kit.db.range(Range::prefix(LEFT).limit(AT_ONCE)).await?;
    for entry in &page.entries {
        let project = ProjectId::parse(entry.key.strip_prefix(LEFT).unwrap_or_default())?;
        for id in material.list(&project).await? {
            material.destroy(&project, &id).await?;
        }
        kit.db.commit(Transaction::new().delete(entry.key.clone())).await?;
    }
    Ok(())
}

fn next(page: &Page, prefix: &str) -> Option<Range> {
    let last = page.entries.last().filter(|_| page.more)?;
    Some(Range::prefix(prefix).limit(AT_ONCE).after(&last.key))
}
