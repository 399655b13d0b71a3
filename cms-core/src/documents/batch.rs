// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changing several documents in one commit, all or none of them.

use super::draft;
use super::{Documents, write_action};
use crate::api::documents::{WriteDocuments, WrittenDocuments};
use crate::context::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ProjectId;

/// How often the changes are tried again when others change the project at the same time.
const ATTEMPTS: usize = 16;

impl Documents {
    /// Changes several documents, each from the version that its change was made for, in one commit.
    ///
    /// # Errors
    /// `Unprocessable` with places for changes that cannot be made, or that their kind does not accept;
    /// `Conflict` with the code `base_changed` if a document is at another version.
    pub async fn write_all(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        write: WriteDocuments,
    ) -> Result<WrittenDocuments> {
        let changes = draft::parse(write.changes)?;
        let mut proof = None;
        for (change, _) in &changes {
            proof = Some(self.authorize(ctx, project, change.kind, write_action, Some(&change.name)).await?);
        }
        let proof = proof.ok_or_else(|| Error::internal("changes without any came through"))?;
        if let Some(given) = ctx.given()? {
            return Ok(given);
        }
        let changes = draft::with_schemas(&self.kit.scope(&proof), changes).await?;
        for _ in 0..ATTEMPTS {
            let written = self.writer.write_together(ctx, &proof, &changes, write.message.as_ref()).await;
            if let Some(written) = written.map_err(base_changed)? {
                return Ok(written);
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing this project; try again"))
    }
}

/// A document at another version than a change was made for, as something to read again.
pub(crate) fn base_changed(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Stale => Error::conflict("base_changed", error.message())
            .with_hint("read the document again, and make the change for its present version"),
        _ => error,
    }
}
