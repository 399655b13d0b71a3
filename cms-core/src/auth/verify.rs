// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks what identity keeps: every sealed record opens, and the look-up entries agree with them.

use serde::de::DeserializeOwned;

use super::keys::{KeyRecord, index_key, record_key};
use super::root::{ROOT_KEY, RootRecord};
use super::sealed::Sealed;
use super::sessions::{RefreshRecord, SessionRecord};
use super::tokens::{SIGNING_KEY, SigningRecord};
use super::users::{UserRecord, admins};
use super::{Auth, credential};
use crate::error::Result;
use crate::ids::ProjectId;
use crate::store::{Db, Entry, Range};

/// How many entries are read at a time.
const PAGE: usize = 500;

/// What a check of identity found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuthReport {
    /// How many sealed records were opened.
    pub(crate) sealed_values: u64,
    /// What is wrong: one text for each thing.
    pub(crate) problems: Vec<String>,
}

impl Auth {
    /// Opens every record and compares the look-up entries with them.
    ///
    /// # Errors
    /// Whatever the store answers; what is wrong with records is in the report.
    pub(crate) async fn verify(&self) -> Result<AuthReport> {
        let sealed = Sealed::of(self.kit());
        let mut report = AuthReport::default();
        if report.single::<RootRecord>(&sealed, ROOT_KEY).await?.is_none() {
            report.problems.push("the installation has no root credential".to_owned());
        }
        report.single::<SigningRecord>(&sealed, SIGNING_KEY).await?;
        report.users(&sealed).await?;
        report.every::<SessionRecord>(&sealed, "auth/session/").await?;
        report.every::<RefreshRecord>(&sealed, "auth/refresh/").await?;
        report.keys(&sealed).await?;
        Ok(report)
    }
}

impl AuthReport {
    /// Opens a record; `None`, after a note, if that cannot be done.
    async fn open<T: DeserializeOwned>(&mut self, sealed: &Sealed, entry: Entry) -> Option<T> {
        self.sealed_values += 1;
        let key = entry.key.clone();
        match sealed.open(&ProjectId::platform(), entry).await {
            Ok(fresh) => Some(fresh.record),
            Err(_) => {
                self.problems.push(format!("the sealed record at `{key}` cannot be read"));
                None
            }
        }
    }

    async fn single<T: DeserializeOwned>(&mut self, sealed: &Sealed, key: &str) -> Result<Option<Entry>> {
        let entry = sealed.db.fresh(key).await?;
        if let Some(entry) = &entry {
            self.open::<T>(sealed, entry.clone()).await;
        }
        Ok(entry)
    }

    async fn every<T: DeserializeOwned>(&mut self, sealed: &Sealed, prefix: &str) -> Result<()> {
        for_each_page(&sealed.db, prefix, async |entries| {
            for entry in entries {
                self.open::<T>(sealed, entry).await;
            }
            Ok(())
        })
        .await
    }

    /// Users, and the list of those who administer CMS.
    async fn users(&mut self, sealed: &Sealed) -> Result<()> {
        let before = admins(&sealed.db).await?;
        let mut found = std::collections::BTreeSet::new();
        for_each_page(&sealed.db, "auth/user/", async |entries| {
            for entry in entries {
                let user = self.open::<UserRecord>(sealed, entry).await;
                found.extend(user.filter(UserRecord::is_admin).map(|user| user.user.clone()));
            }
            Ok(())
        })
        .await?;
        // Somebody may have changed it meanwhile; then this says nothing.
        if found != before && admins(&sealed.db).await? == before {
            self.problems.push("the list of admins and the roles of the users disagree".to_owned());
        }
        Ok(())
    }

    /// The look-up entries of API keys, and the records that they lead to.
    async fn keys(&mut self, sealed: &Sealed) -> Result<()> {
        for_each_page(&sealed.db, &index_key(""), async |entries| {
            for entry in entries {
                self.key(sealed, &entry).await?;
            }
            Ok(())
        })
        .await
    }

    async fn key(&mut self, sealed: &Sealed, index: &Entry) -> Result<()> {
        let id = index.key.rsplit('/').next().unwrap_or_default();
        let project = std::str::from_utf8(&index.value).ok().and_then(|text| ProjectId::parse(text).ok());
        let (Some(project), true) = (project, credential::is_key_id(id)) else {
            self.problems.push(format!("`{}` leads to no project", index.key));
            return Ok(());
        };
        match sealed.db.fresh(&record_key(&project, id)).await? {
            Some(entry) => {
                let record = self.open::<KeyRecord>(sealed, entry).await;
                if record.is_some_and(|record| record.id != id || record.project != project.as_str()) {
                    self.problems.push(format!("`{}` leads to another key", index.key));
                }
            }
            // Unless it went meanwhile, the look-up entry should have gone with it.
            None if sealed.db.fresh(&index.key).await?.is_some() => {
                self.problems.push(format!("`{}` leads to no key", index.key));
            }
            None => {}
        }
        Ok(())
    }
}

/// Reads a range page by page.
async fn for_each_page(
    db: &Db,
    prefix: &str,
    mut visit: impl AsyncFnMut(Vec<Entry>) -> Result<()>,
) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let mut range = Range::prefix(prefix).limit(PAGE);
        if let Some(after) = &after {
            range = range.after(after);
        }
        let page = db.range(range).await?;
        after = page.entries.last().map(|entry| entry.key.clone());
        visit(page.entries).await?;
        if !page.more {
            return Ok(());
        }
    }
}
