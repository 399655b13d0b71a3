// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks that every secret decrypts, and that heads, values and counts agree.

use std::collections::BTreeMap;

use super::list::name_of;
use super::material::Seen;
use super::record::{HEADS, Head, VALUES, VersionRecord, split_value_key};
use super::{SecretData, Secrets, quota};
use crate::api::secrets::SecretState;
use crate::error::Result;
use crate::ids::{Name, ProjectId};
use crate::store::{Entry, Scope};

/// What a check of the secrets found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsReport {
    /// How many secrets were checked.
    pub secrets: u64,
    /// How many sealed values were opened, heads included.
    pub sealed_values: u64,
    /// What is wrong: one text for each thing, without values.
    pub problems: Vec<String>,
}

/// The versions that heads say have a value, by the relative key of the value.
type Expected = BTreeMap<String, u64>;

const PAGE: usize = 200;

impl Secrets {
    /// Opens every secret of a project and compares heads, values and counts.
    ///
    /// # Errors
    /// Whatever the store answers, and `Sealed`; what is wrong with secrets is in the report.
    pub(crate) async fn verify(&self, scope: &Scope, report: &mut SecretsReport) -> Result<()> {
        self.refuse_sealed()?;
        let mut expected = Expected::new();
        let before = report.secrets;
        let mut seen = Seen::of(&self.kit, scope).await?;
        let mut after: Option<String> = None;
        loop {
            let page = scope.list(HEADS, after.as_deref(), PAGE, false).await?;
            for entry in &page.entries {
                report.secrets += 1;
                let Some(head) = self.verify_head(scope, entry, &mut expected, report).await? else {
                    continue;
                };
                self.verify_laid(scope, entry, &head, &mut seen, report).await?;
            }
            after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
            if !page.more {
                break;
            }
        }
        self.verify_values(scope, expected, report).await?;
        report.problems.extend(seen.strangers(&self.kit, scope).await?);
        let (counted, found) = (quota::count(scope).await?, report.secrets - before);
        if counted != found {
            let project = scope.project();
            report.problems.push(format!("project `{project}` counts {counted} secrets, but has {found}"));
        }
        Ok(())
    }

    async fn verify_head(
        &self,
        scope: &Scope,
        entry: &Entry,
        expected: &mut Expected,
        report: &mut SecretsReport,
    ) -> Result<Option<Head>> {
        let name = name_of(scope, entry);
        let head = match self.kit.barrier.opener(scope.project(), &entry.value).await {
            Ok(opener) => Head::open(&opener, entry),
            Err(error) => Err(error),
        };
        let Ok(head) = head else {
            report.problems.push(format!("the secret at `{}` does not open", entry.key));
            return Ok(None);
        };
        report.sealed_values += 1;
        if Name::parse(name).is_err() {
            report.problems.push(format!("`{}` is no key of a secret", entry.key));
        }
        if !head.versions.is_sorted_by(|a, b| a.version < b.version) {
            report.problems.push(format!("the versions of `{}` are out of order", entry.key));
        }
        let kept = |version: &&VersionRecord| version.state() != SecretState::Destroyed;
        for version in head.versions.iter().filter(kept).filter(|version| version.laid.is_none()) {
            expected.insert(super::value_key(name, version.version), version.version);
        }
        Ok(Some(head))
    }

    /// Opens every value of a secret that lies in the material.
    async fn verify_laid(
        &self,
        scope: &Scope,
        entry: &Entry,
        head: &Head,
        seen: &mut Seen,
        report: &mut SecretsReport,
    ) -> Result<()> {
        for version in &head.versions {
            let Some(laid) = &version.laid else { continue };
            let number = version.version;
            let key = scope.key(&super::value_key(name_of(scope, entry), number));
            match seen.take(&self.kit, scope, &laid.id).await? {
                Some(value) => self.verify_value(scope.project(), &key, &value, number, report).await,
                // It may have been destroyed or laid elsewhere since the head was read.
                None if self.kit.db.fresh(&entry.key).await?.map(|now| now.modified)
                    != Some(entry.modified) => {}
                None => report.problems.push(format!("the value at `{key}` is missing")),
            }
        }
        Ok(())
    }

    async fn verify_values(
        &self,
        scope: &Scope,
        mut expected: Expected,
        report: &mut SecretsReport,
    ) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = scope.list(VALUES, after.as_deref(), PAGE, false).await?;
            for entry in &page.entries {
                let relative = scope.relative(&entry.key);
                match (expected.remove(relative), split_value_key(relative)) {
                    (Some(version), Some(_)) => {
                        self.verify_value(scope.project(), &entry.key, &entry.value, version, report).await
                    }
                    _ => report.problems.push(format!("the value at `{}` belongs to no secret", entry.key)),
                }
            }
            after = page.entries.last().map(|entry| scope.relative(&entry.key).to_owned());
            if !page.more {
                break;
            }
        }
        for relative in expected.keys() {
            report.problems.push(format!("the value at `{}` is missing", scope.key(relative)));
        }
        Ok(())
    }

    async fn verify_value(
        &self,
        project: &ProjectId,
        key: &str,
        value: &[u8],
        version: u64,
        report: &mut SecretsReport,
    ) {
        let opened = self.kit.barrier.open(project, key, version, value).await;
        match opened
            .and_then(SecretData::from_stored)
            .and_then(|data| data.fields().map(|fields| fields.len()))
        {
            Ok(_) => report.sealed_values += 1,
            Err(_) => report.problems.push(format!("the value at `{key}` does not open")),
        }
    }
}
