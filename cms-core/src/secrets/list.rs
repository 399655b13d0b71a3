// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listing secrets and their versions: names, authors, times and states, no part of a value.

use super::Secrets;
use super::record::{HEADS, Head};
use crate::api::secrets::{Secret, SecretVersion};
use crate::api::{Page, PageQuery};
use crate::auth::{Action, PrincipalKind, Target};
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::{Name, ProjectId};
use crate::store::{Entry, Scope};

/// What a listing covers. It is authorized as the whole range that it reads, not by the names that
/// it happens to find.
#[derive(Debug, PartialEq, Eq)]
enum Covered {
    /// Every secret.
    All,
    /// Names that begin with this text.
    Text(String),
    /// The name itself, and what lies under it. For keys, whose scopes end at segment borders: by
    /// text, `llm` would cover `llm-other` too.
    Within(String),
}

impl Covered {
    fn parse(prefix: Option<&str>, is_key: bool) -> Result<Self> {
        let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else { return Ok(Self::All) };
        let bad = || Error::invalid("`prefix` must be the beginning of a secret's name");
        let whole = prefix.strip_suffix('/').unwrap_or(prefix);
        // What can follow a name's beginning is no part of the check: `llm/op` begins `llm/openai`.
        if Name::parse(whole).is_err() {
            return Err(bad());
        }
        Ok(if is_key { Self::Within(whole.to_owned()) } else { Self::Text(prefix.to_owned()) })
    }

    fn target(&self, project: &ProjectId) -> Target {
        let target = Target::new(project, "secret");
        match self {
            Self::All => target,
            Self::Text(prefix) => target.named(format!("{prefix}*")),
            Self::Within(name) => target.named(name.clone()),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::All => "",
            Self::Text(text) | Self::Within(text) => text,
        }
    }

    fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Text(prefix) => name.starts_with(prefix.as_str()),
            Self::Within(whole) => {
                name.strip_prefix(whole.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

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
        let covered = Covered::parse(prefix, matches!(ctx.principal.kind, PrincipalKind::Key { .. }))?;
        let proof = self.kit.authorize(ctx, Action::SecretList, covered.target(project)).await?;
        self.refuse_sealed()?;
        let (limit, mut after) = (page.limit()?, page.after()?);
        // A cursor from elsewhere must not move the listing out of what was authorized.
        if after.as_deref().is_some_and(|after| !covered.holds(after)) {
            return Err(Error::invalid("`cursor` belongs to another listing; begin without one"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_covers_whole_segments_and_a_user_text() {
        let key = Covered::parse(Some("llm/"), true).unwrap();
        assert!(key.holds("llm") && key.holds("llm/openai") && !key.holds("llm-other") && !key.holds("ll"));
        let user = Covered::parse(Some("ll"), false).unwrap();
        assert!(user.holds("llm") && user.holds("llm-other") && !user.holds("db"));
        assert_eq!(Covered::parse(Some(""), true).unwrap(), Covered::All);
        for bad in ["//", "a//", "../", "a b", "-x", "a\n"] {
            assert!(Covered::parse(Some(bad), true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_authorized_is_the_range_that_is_read() {
        let project = ProjectId::platform();
        let name = |covered: Covered| covered.target(&project).name;
        assert_eq!(name(Covered::All), None);
        assert_eq!(name(Covered::Text("llm".into())).as_deref(), Some("llm*"));
        assert_eq!(name(Covered::Within("llm".into())).as_deref(), Some("llm"));
    }
}
