// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms verify`: everything decrypts, every hash agrees, every index agrees with its data.
//!
//! What is checked here are projects, documents, releases, members and key look-ups; secrets,
//! identity and the audit trail check themselves.

mod documents;
mod indexes;

pub(crate) use indexes::verify_look_ups;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::keyrings::ProjectKeyState;
use crate::auth::AuthReport;
use crate::error::Result;
use crate::ids::{PLATFORM, ProjectId};
use crate::secrets::SecretsReport;
use crate::store::{Db, Range, Scope};

/// How many problems a report lists before it only counts.
const MAX_LISTED: usize = 100;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many projects were checked.
    pub projects: u64,
    /// How many documents, in all their versions.
    pub documents: u64,
    /// How many releases.
    pub releases: u64,
    /// How many sealed values were opened.
    pub sealed_values: u64,
    /// How many audit records were hashed again.
    pub audit_records: u64,
    /// The data keys and how many values each of their versions has sealed: of `platform`, and of
    /// every project that has more than one, at most 100 entries.
    pub keys: Vec<ProjectKeyState>,
    /// What is wrong, at most 100 entries.
    pub problems: Vec<String>,
    /// How many things are wrong.
    pub problem_count: u64,
}

impl VerifyReport {
    /// Notes that something is wrong.
    pub(crate) fn problem(&mut self, text: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < MAX_LISTED {
            self.problems.push(text.into());
        }
    }

    /// Takes over what the versions of a project's data key have sealed.
    pub(crate) fn add_key(&mut self, state: ProjectKeyState) {
        // A newer one than the keyring had when it was read is of a rotation at this moment.
        let is_lost = |version: u32, held: bool| version < state.version && !held;
        for lost in state.generations.iter().filter(|it| is_lost(it.version, it.held)) {
            let (project, version, values) = (&state.project, lost.version, lost.values);
            self.problem(format!(
                "version {version} of the data key of `{project}` is gone, but sealed {values} values"
            ));
        }
        let is_told = state.project == PLATFORM || state.generations.len() > 1;
        if is_told && self.keys.len() < MAX_LISTED {
            self.keys.push(state);
        }
    }

    /// Takes over what was found among users, sessions, API keys and signing keys.
    pub(crate) fn add_identity(&mut self, identity: AuthReport) {
        self.sealed_values += identity.sealed_values;
        for problem in identity.problems {
            self.problem(problem);
        }
    }

    /// Takes over what the secrets service found in a project.
    pub(crate) fn add_secrets(&mut self, secrets: SecretsReport) {
        self.sealed_values += secrets.sealed_values;
        for problem in secrets.problems {
            self.problem(problem);
        }
    }
}

/// Checks documents, releases and indexes of a project.
pub(crate) async fn verify_project(db: &Db, scope: &Scope, report: &mut VerifyReport) -> Result<()> {
    documents::verify(scope, report).await?;
    indexes::verify(db, scope, report).await?;
    report.projects += 1;
    Ok(())
}

/// Every project that has a record.
pub(crate) async fn projects(db: &Db) -> Result<Vec<ProjectId>> {
    let mut projects = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut range = Range::prefix("keys/").limit(1_000);
        if let Some(after) = &after {
            range = range.after(after);
        }
        let page = db.range(range).await?;
        for entry in &page.entries {
            if let Some(project) =
                entry.key.strip_prefix("keys/").and_then(|name| ProjectId::parse(name).ok())
                && db.fresh(&format!("p/{project}/meta")).await?.is_some()
            {
                projects.push(project);
            }
            after = Some(entry.key.clone());
        }
        if !page.more {
            return Ok(projects);
        }
    }
}
