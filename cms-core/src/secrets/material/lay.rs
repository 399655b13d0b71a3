// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bringing a value to where it lies, and the part of a transaction that makes it count.

use super::record::{self, Laid, Note, laid_key, new_id};
use crate::crypto::{Barrier, SealedValue};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::secrets::record::{VersionRecord, value_key};
use crate::store::{Condition, Outcome, Scope, Transaction};

/// Lays a sealed value down: in the material if there is one, else in the store. Answers what the head is to hold,
/// and what must be committed with it.
pub(in crate::secrets) async fn lay(
    kit: &Kit,
    project: &ProjectId,
    key: String,
    sealed: SealedValue,
) -> Result<(Option<Laid>, Transaction)> {
    let Some(material) = &kit.material else { return Ok((None, sealed.put(key))) };
    material.material.ready()?;
    let id = new_id()?;
    let note = laid_key(project, &id);
    let noted =
        Transaction::new().when(Condition::Absent(note.clone())).put(note.clone(), Note::encoded(kit.now())?);
    if let Outcome::Conflict { .. } = kit.db.commit(noted).await? {
        return Err(Error::internal("an id of the material was drawn twice"));
    }
    let (value, unchanged) = sealed.elsewhere();
    let laid = Laid { key: Barrier::key_version(&value)?, id };
    material.put(project, &laid.id, value).await?;
    // Without the note, the entry has been given up: it goes, or is gone.
    let change = unchanged.when(Condition::Present(note.clone())).delete(note);
    Ok((Some(laid), change))
}

/// Has entries removed that were laid for a change which somebody else was faster than. If this fails, they are
/// given up in time.
pub(in crate::secrets) async fn abandon(kit: &Kit, project: &ProjectId, laid: &[Laid]) {
    for Laid { id, .. } in laid {
        let note = laid_key(project, id);
        let Ok(gone) = record::gone(project, id, kit.now()) else { return };
        let change = Transaction::new().when(Condition::Present(note.clone())).delete(note).and(gone);
        if let Err(error) = kit.db.commit(change).await {
            tracing::debug!(%error, "the value of a secret that was not committed stays for now");
        }
    }
}

/// The part of a transaction that lets the value of a version go.
pub(in crate::secrets) fn discard(
    kit: &Kit,
    scope: &Scope,
    path: &str,
    version: &VersionRecord,
) -> Result<Transaction> {
    match &version.laid {
        Some(laid) => record::gone(scope.project(), &laid.id, kit.now()),
        None => Ok(Transaction::new().delete(scope.key(&value_key(path, version.version)))),
    }
}

/// The error for values that lie in a material which this process was not given.
pub(crate) fn missing() -> Error {
    super::unavailable("the values of some secrets lie in a material that this server is not connected to")
        .with_hint("start it with the settings `[openbao]` that it had before")
}
