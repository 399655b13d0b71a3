// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listing secrets and their versions: names, authors, times and states, no part of a value.

use super::Secrets;
use super::record::{HEADS, Head};
use crate::api::secrets::{Secret, SecretVersion};
use crate::api::{Page, PageQuery};
use crate::auth::{Action, Covered};
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::{Name, ProjectId};
use crate::store::{Entry, Scope};

impl Secrets {
    /// Lists the secrets whose names begin with `prefix`, deleted ones included.
    ///
    /// # Errors
    /// `Invalid` for a page or prefix that cannot be.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        prefix: Option<&str>,
        page: &PageQuery,
    ) -> Result<Page<Secret>> {
        let covered = Covered::parse(prefix, &ctx.principal)?;
        let proof = self.kit.authorize(ctx, Action::SecretList, covered.target(project, "secret")).await?;
        self.refuse_sealed()?;
        let (limit, mut after) = (page.limit()?, page.after()?);
        covered.check_cursor(after.as_deref())?;
        let scope = self.kit.scope(&proof);
        let mut items: Vec<Secret> = Vec::with_capacity(limit);
        loop {
            let start = after.as_ref().map(|name| format!("{HEADS}{name}"));
            let prefix = format!("{HEADS}{}", covered.text());
            let found = scope.list(&prefix, start.as_deref(), limit + 1, false).await?;
            for entry in &found.entries {
                let name = name_of(&scope, entry);
                after = Some(name.to_owned());
                if !covered.holds(name) {
                    continue;
                }
                if items.len() == limit {
                    let last = items.last().map(|item| item.path.clone());
                    return Ok(Page::new(items, last.as_deref()));
                }
                items.push(self.summary(&scope, name, entry).await?);
            }
            if !found.more {
                return Ok(Page::new(items, None));
            }
        }
    }

    /// Lists the versions of a secret that are kept, newest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such secret.
    pub async fn versions(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        path: &Name,
        page: &PageQuery,
    ) -> Result<Page<SecretVersion>> {
        let proof = self.authorize(ctx, Action::SecretList, project, path).await?;
        let limit = page.limit()?;
        let before = match page.after()? {
            Some(cursor) => {
                cursor.parse().map_err(|_| Error::invalid("`cursor` belongs to another listing"))?
            }
            None => u64::MAX,
        };
        let head = self.head(&self.kit.scope(&proof), path).await?;
        let mut older = head.versions.iter().rev().filter(|version| version.version < before);
        let items: Vec<SecretVersion> = older.by_ref().take(limit).map(|version| version.to_wire()).collect();
        let last = older.next().and(items.last()).map(|version| version.version.to_string());
        Ok(Page::new(items, last.as_deref()))
    }

    async fn summary(&self, scope: &Scope, name: &str, entry: &Entry) -> Result<Secret> {
        let opener = self.kit.barrier.opener(scope.project(), &entry.value).await?;
        let head = Head::open(&opener, entry)?;
        let last = head.versions.last().ok_or_else(|| Error::internal("a head has no version"))?;
        Ok(head.to_wire(name, last))
    }
}

pub(super) fn name_of<'e>(scope: &Scope, entry: &'e Entry) -> &'e str {
    scope.relative(&entry.key).strip_prefix(HEADS).unwrap_or_default()
}
