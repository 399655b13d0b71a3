// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks the look-up entries that lie outside of a project's prefix: members by user, keys by id.

use super::VerifyReport;
use super::documents::entries;
use crate::error::Result;
use crate::projects::record::grant_key;
use crate::store::{Db, Range, Scope};

/// Checks that every member and key of a project can be looked up.
pub(super) async fn verify(db: &Db, scope: &Scope, report: &mut VerifyReport) -> Result<()> {
    for entry in entries(scope, "member/").await? {
        let user = scope.relative(&entry.key).trim_start_matches("member/").to_owned();
        let grant = db.fresh(&grant_key(&user, scope.project().as_str())).await?;
        if grant.is_none_or(|grant| grant.value != entry.value) {
            report.problem(format!("`{}` and the grant of `{user}` disagree", entry.key));
        }
    }
    for entry in entries(scope, "key/").await? {
        let id = scope.relative(&entry.key).trim_start_matches("key/").to_owned();
        if db.fresh(&format!("auth/key/{id}")).await?.is_none() {
            report.problem(format!("`{}` cannot be looked up by its id", entry.key));
        }
    }
    Ok(())
}

/// Checks that no grant outlives its member.
pub(crate) async fn verify_look_ups(db: &Db, report: &mut VerifyReport) -> Result<()> {
    let prefix = "auth/grant/";
    let mut after: Option<String> = None;
    loop {
        let mut range = Range::prefix(prefix).limit(500);
        if let Some(after) = &after {
            range = range.after(after);
        }
        let page = db.range(range).await?;
        for entry in &page.entries {
            let Some((user, project)) = entry.key.strip_prefix(prefix).and_then(|rest| rest.rsplit_once('/'))
            else {
                continue;
            };
            // What an offboarded project left behind grants nothing: its id is not given again.
            let is_gone = db.fresh(&format!("sys/offboarded/{project}")).await?.is_some();
            if !is_gone && db.fresh(&format!("p/{project}/member/{user}")).await?.is_none() {
                report.problem(format!("`{}` grants a role to somebody who is no member", entry.key));
            }
        }
        after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            return Ok(());
        }
    }
}
