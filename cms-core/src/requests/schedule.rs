// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Applying requests at the time that they name. What is due stands outside of projects, in the order of
//! time, so that looking costs nothing while nothing is; doing it twice does no harm.

use super::Requests;
use crate::api::requests::ApplyRequest;
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::error::Result;
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::{Range, Transaction};

/// What the keys begin with.
const DUE: &str = "due/";

/// The key under which a request stands until it is applied.
pub(super) fn due_key(at: Timestamp, project: &ProjectId, id: &str) -> String {
    format!("{DUE}{:015}@{project}@{id}", at.as_millis().max(0))
}

/// Applies what is due; what waits for its approvals still is looked at again.
///
/// # Errors
/// Whatever the store answers.
pub(crate) async fn apply_due(kit: &Kit, requests: &Requests) -> Result<()> {
    let end =
        format!("{DUE}{:015}@", kit.now().after(std::time::Duration::from_millis(1)).as_millis().max(0));
    let range = Range { start: DUE.to_owned(), end, limit: 200, descending: false };
    for entry in kit.db.range(range).await?.entries {
        let mut parts = entry.key.splitn(3, '@').skip(1);
        let (project, id) = (parts.next().map(ProjectId::parse), parts.next());
        let is_done = match (project, id) {
            (Some(Ok(project)), Some(id)) => is_done(requests, &project, id).await,
            _ => true,
        };
        if is_done {
            kit.db.commit(Transaction::new().delete(entry.key)).await?;
        }
    }
    Ok(())
}

/// Tries to apply a request, and tells whether that is over.
async fn is_done(requests: &Requests, project: &ProjectId, id: &str) -> bool {
    let ctx = RequestContext::new(Principal::system());
    match requests.apply(&ctx, project, id, ApplyRequest::default()).await {
        Ok(_) => {
            tracing::info!(%project, id, "applied a change request at its time");
            true
        }
        Err(error) if error.code() == "approval_required" || error.is_retryable() => false,
        Err(error) => {
            tracing::warn!(%project, id, %error, "a change request was not applied at its time");
            true
        }
    }
}
