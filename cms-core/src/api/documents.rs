// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents on the wire: versioned texts of a kind.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::policies::engine::{Outcome as TestOutcome, TestReport, TestResult};

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Rego module.
    Policy,
    /// JSON that policies read under `data`.
    Data,
    /// A service's configuration.
    Config,
    /// A JSON Schema.
    Schema,
    /// A template.
    Template,
    /// What templates can name in an environment, or in all of them.
    Variable,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Policy, Self::Data, Self::Config, Self::Schema, Self::Template, Self::Variable];

    /// The kind's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Data => "data",
            Self::Config => "config",
            Self::Schema => "schema",
            Self::Template => "template",
            Self::Variable => "variable",
        }
    }

    /// The word for many of the kind, as it stands in paths.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Policy => "policies",
            Self::Data => "data",
            Self::Config => "configs",
            Self::Schema => "schemas",
            Self::Template => "templates",
            Self::Variable => "variables",
        }
    }

    /// Finds a kind by the word for many of it.
    pub fn from_plural(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.plural() == text)
    }
}

/// A new version of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDocument {
    /// The text itself.
    pub content: String,
    /// Why it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For configs: the schema to keep to from now on, by name; empty for none. As before if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOp {
    /// It gets a new version.
    Put,
    /// It is removed by a tombstone version.
    Delete,
}

/// A change of one document, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftChange {
    /// The kind.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// What becomes of it.
    pub op: ChangeOp,
    /// The new text, for `put`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// For configs: the schema to keep to from now on, by name or as JSON; empty for none, as before if not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The version that the change was made for; 0: it does not exist yet.
    pub base_version: u64,
}

/// Changes several documents, all or none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteDocuments {
    /// The changes, 1 to 100.
    pub changes: Vec<DraftChange>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of several documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrittenDocuments {
    /// The versions that were written; a text that was there already is none.
    pub documents: Vec<Document>,
    /// The release that the changes made, where auto-release is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// One version of a document, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: Kind,
    /// The version, from 1.
    pub version: u64,
    /// SHA-256 of the text, in hexadecimal; empty for a tombstone.
    pub hash: String,
    /// Who wrote it.
    pub author: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Why it was written.
    pub message: Option<String>,
    /// The version that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Whether this version removes the document.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The schema that the config keeps to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The size of the text in bytes.
    pub size: u64,
    /// The release that the change made, where auto-release is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// One version of a document with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DocumentContent {
    /// The version.
    #[serde(flatten)]
    pub document: Document,
    /// The text.
    pub content: String,
}

/// Two versions of a document, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DocumentDiff {
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: Kind,
    /// The older version; 0: before the first.
    pub from: u64,
    /// The newer version.
    pub to: u64,
    /// The difference in unified form; empty if there is none.
    pub diff: String,
}

/// Which old version becomes the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackDocument {
    /// The version whose text comes back.
    pub version: u64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A policy to check without writing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidatePolicy {
    /// The Rego text.
    pub content: String,
    /// The name that it would have; an existing policy of that name is replaced for the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What checking a policy found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyValidation {
    /// Whether it could be written, as far as parsing and compiling tell.
    pub ok: bool,
    /// What is wrong, with places.
    pub errors: Vec<PolicyError>,
    /// The package that it declares.
    pub package: Option<String>,
    /// The rules that it declares.
    pub rules: Vec<String>,
}

/// One thing that is wrong in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyError {
    /// The document.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// A stable word, such as `rego_parse_error`.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// A run of the project's Rego tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestPolicies {
    /// Policies that stand in for, or join, the stored ones: name to text.
    #[serde(default)]
    pub documents: std::collections::BTreeMap<String, String>,
}

/// What a run of Rego tests came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTestReport {
    /// How many tests held.
    pub passed: usize,
    /// How many tests did not hold.
    pub failed: usize,
    /// How many tests could not be evaluated.
    pub errored: usize,
    /// How many tests are marked as not yet to be run (`todo_test_…`).
    pub skipped: usize,
    /// Each test, in the order of the policies.
    pub results: Vec<PolicyTestResult>,
    /// Which lines of the policies the tests evaluated.
    pub coverage: PolicyCoverage,
}

/// One Rego test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTestResult {
    /// The package.
    pub package: String,
    /// The rule.
    pub name: String,
    /// `passed`, `failed`, `errored` or `skipped`.
    pub outcome: String,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// The document that holds it.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
}

/// Which lines of the policies the tests evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyCoverage {
    /// The share of lines that ran, from 0 to 100.
    pub percent: f64,
    /// By document.
    pub files: std::collections::BTreeMap<String, PolicyFileCoverage>,
}

/// Which lines of one policy the tests evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyFileCoverage {
    /// The lines that ran.
    pub covered: Vec<u32>,
    /// The lines that could have run.
    pub not_covered: Vec<u32>,
}

impl From<TestReport> for PolicyTestReport {
    fn from(report: TestReport) -> Self {
        let files = report.coverage.files.into_iter().map(|(name, lines)| {
            let lines = PolicyFileCoverage {
                covered: lines.covered.into_iter().collect(),
                not_covered: lines.not_covered.into_iter().collect(),
            };
            (name, lines)
        });
        Self {
            passed: report.passed,
            failed: report.failed,
            errored: report.errored,
            skipped: report.skipped,
            coverage: PolicyCoverage { percent: report.coverage.percent, files: files.collect() },
            results: report.results.into_iter().map(PolicyTestResult::from).collect(),
        }
    }
}

impl From<TestResult> for PolicyTestResult {
    fn from(result: TestResult) -> Self {
        let outcome = match result.outcome {
            TestOutcome::Passed => "passed",
            TestOutcome::Failed => "failed",
            TestOutcome::Errored => "errored",
            TestOutcome::Skipped => "skipped",
        };
        Self {
            package: result.package,
            name: result.name,
            outcome: outcome.to_owned(),
            message: result.message,
            duration_ns: u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX),
            path: result.file,
            line: result.line,
        }
    }
}
