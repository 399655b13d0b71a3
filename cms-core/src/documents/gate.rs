// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a document must pass before it is written: each kind's own rules, and for policies the
//! compiler and the project's Rego tests.

use std::sync::Arc;

use super::record::{SetRecord, decode};
use super::set::CURRENT_SET;
use super::write::Change;
use crate::api::configs::ConfigChange;
use crate::api::documents::{Kind, PolicyError, PolicyValidation, TestPolicies, ValidatePolicy};
use crate::configs::Parsed;
use crate::configs::check::{check as check_configs, check_release, is_config};
use crate::configs::compare::compare;
use crate::configs::rules::check_rules;
use crate::error::{Error, Place, Result};
use crate::ids::{EnvironmentId, Name};
use crate::policies::artifacts::{Artifacts, compile, options};
use crate::policies::engine::{
    Data, Diagnostic, Limits, Module, Outcome as TestOutcome, Program, Snapshot, TestReport, check,
};
use crate::policies::places;
use crate::policies::trial::{Candidate, Trial, Verdict};
use crate::store::Scope;

/// Checks documents. Cloning shares what it has compiled.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    artifacts: Artifacts,
    trial: Arc<dyn Trial>,
    parsed: Parsed,
}

/// What the gate has made of changes, to be kept once they stand.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    program: Option<Arc<Program>>,
    data: Option<(Data, u32)>,
}

impl Gate {
    pub(crate) fn new(artifacts: Artifacts, trial: Arc<dyn Trial>, parsed: Parsed) -> Self {
        Self { artifacts, trial, parsed }
    }

    /// Refuses changes that their kinds do not accept. All are checked as one: policies with the data
    /// that comes with them, as they will stand together.
    pub(crate) async fn check(&self, scope: &Scope, set: &SetRecord, changes: &[Change]) -> Result<Passed> {
        let of = |kind: Kind| changes.iter().filter(|change| change.kind == kind).collect::<Vec<_>>();
        let mut passed = Passed::default();
        let (policies, data) = (of(Kind::Policy), of(Kind::Data));
        if !data.is_empty() {
            passed.data = Some(self.check_data(scope, set, &data).await?);
        }
        if !policies.is_empty() {
            let data = match &passed.data {
                Some((data, _)) => data.clone(),
                None => self.artifacts.data(scope, set).await?,
            };
            passed.program = Some(self.check_policies(scope, set, &policies, &data).await?);
            if policies.iter().any(|policy| is_about_configs(scope, policy)) {
                let rules = self.rules(scope, set, &passed).await?;
                check_rules(scope, set, changes, &self.parsed, &rules).await?;
            }
        } else if let Some((data, _)) = &passed.data {
            let program = self.artifacts.program(scope, set).await?;
            Snapshot::new(program, data).map_err(|found| invalid_data(&found))?;
        }
        if changes.iter().any(|change| is_config(change.kind)) {
            let rules = self.rules(scope, set, &passed).await?;
            check_configs(scope, set, changes, &self.parsed, Some(&rules)).await?;
        }
        Ok(passed)
    }

    /// Refuses a release whose configs cannot be read in an environment. For activation: when they were
    /// written, the environment may not have been there.
    pub(crate) async fn check_release(
        &self,
        scope: &Scope,
        set: &SetRecord,
        environment: &EnvironmentId,
    ) -> Result<()> {
        if set.count(Kind::Config) + set.count(Kind::Template) == 0 {
            return Ok(());
        }
        let rules = self.artifacts.snapshot(scope, set).await?;
        check_release(scope, set, environment, &self.parsed, Some(&rules)).await
    }

    /// How the configs of an environment change from one set to another.
    pub(crate) async fn compare_configs(
        &self,
        scope: &Scope,
        old: &SetRecord,
        new: &SetRecord,
        environment: &EnvironmentId,
    ) -> Result<Vec<ConfigChange>> {
        compare(scope, old, new, environment, &self.parsed).await
    }

    /// The policies and data as they will be, for the rules that configs must pass.
    async fn rules(&self, scope: &Scope, set: &SetRecord, passed: &Passed) -> Result<Arc<Snapshot>> {
        if passed.program.is_none() && passed.data.is_none() {
            return self.artifacts.snapshot(scope, set).await;
        }
        let program = match &passed.program {
            Some(program) => program.clone(),
            None => self.artifacts.program(scope, set).await?,
        };
        let data = match &passed.data {
            Some((data, _)) => data.clone(),
            None => self.artifacts.data(scope, set).await?,
        };
        Snapshot::new(program, &data).map(Arc::new).map_err(|found| refused(&found))
    }

    /// Refuses a whole set that does not compile or whose tests fail, and tells how many of them held.
    pub(crate) async fn check_set(&self, scope: &Scope, set: &SetRecord) -> Result<usize> {
        let data = self.artifacts.data(scope, set).await?;
        let report = self.try_out(scope, self.artifacts.modules(scope, set).await?, &data).await?;
        if report.is_success() { Ok(report.passed) } else { Err(failed_tests(&report)) }
    }

    /// Keeps what changes that now stand have been compiled to.
    pub(crate) fn keep(&self, scope: &Scope, set: &SetRecord, passed: Passed) {
        if let Some(program) = passed.program {
            self.artifacts.keep_program(scope, set, program);
        }
        if let Some((data, source_bytes)) = passed.data {
            self.artifacts.keep_data(scope, set, data, source_bytes);
        }
    }

    async fn check_policies(
        &self,
        scope: &Scope,
        set: &SetRecord,
        changes: &[&Change],
        data: &Data,
    ) -> Result<Arc<Program>> {
        let mut modules = self.artifacts.modules(scope, set).await?;
        for Change { name, content, .. } in changes {
            if let Some(content) = content {
                check_reserved(scope, name, content)?;
            }
            replace(&mut modules, name.as_str(), content.as_deref());
        }
        let report = self.try_out(scope, modules.clone(), data).await?;
        if !report.is_success() {
            return Err(failed_tests(&report));
        }
        let program = compile(modules, options(scope)).await?;
        Snapshot::new(program.clone(), data).map_err(|found| refused(&found))?;
        Ok(program)
    }

    /// Parses the data as it will be, and how much text it comes from at most.
    async fn check_data(&self, scope: &Scope, set: &SetRecord, changes: &[&Change]) -> Result<(Data, u32)> {
        let present = self.artifacts.data(scope, set).await?;
        let limits = options(scope).limits;
        let bytes: usize = changes.iter().filter_map(|change| change.content.as_ref()).map(String::len).sum();
        let grown = u32::try_from(bytes).unwrap_or(u32::MAX);
        let changes: Vec<Change> = changes.iter().copied().cloned().collect();
        let data = tokio::task::spawn_blocking(move || changed(present, &changes, &limits))
            .await
            .map_err(Error::internal)?
            .map_err(|found| invalid_data(&[found]))?;
        Ok((data, self.artifacts.data_bytes(scope, set).saturating_add(grown)))
    }

    /// Checks a policy without writing it.
    pub(crate) async fn validate(&self, scope: &Scope, policy: ValidatePolicy) -> Result<PolicyValidation> {
        let name = policy.name.as_deref().map(Name::parse).transpose()?;
        let name = name.as_ref().map_or("candidate", Name::as_str);
        let module = Module::new(name, policy.content);
        let alone = check(&module, &options(scope));
        let info = match alone {
            Ok(info) => info,
            Err(found) => return Ok(invalid(&found)),
        };
        let mut modules = self.artifacts.modules(scope, &current_set(scope).await?).await?;
        replace(&mut modules, name, Some(&module.text));
        let candidate = Candidate::untested(modules, scope.project().is_platform());
        Ok(match self.trial.run(scope.project(), candidate).await? {
            Verdict::Refused(found) => invalid(&found),
            Verdict::Compiled | Verdict::Tested(_) => PolicyValidation {
                ok: true,
                errors: Vec::new(),
                package: Some(info.package),
                rules: info.rules,
            },
        })
    }

    /// Runs the project's tests with candidates in place.
    pub(crate) async fn test(&self, scope: &Scope, test: TestPolicies) -> Result<TestReport> {
        let set = current_set(scope).await?;
        let mut modules = self.artifacts.modules(scope, &set).await?;
        for (name, text) in &test.documents {
            replace(&mut modules, Name::parse(name)?.as_str(), Some(text));
        }
        let data = self.artifacts.data(scope, &set).await?;
        self.try_out(scope, modules, &data).await
    }

    /// Compiles policies and runs their tests, where they can do no harm.
    async fn try_out(&self, scope: &Scope, modules: Vec<Module>, data: &Data) -> Result<TestReport> {
        let candidate = Candidate::tested(modules, data, scope.project().is_platform());
        match self.trial.run(scope.project(), candidate).await? {
            Verdict::Refused(found) => Err(refused(&found)),
            Verdict::Tested(report) => Ok(report),
            Verdict::Compiled => Err(Error::internal("the trial ran no tests")),
        }
    }
}

/// The data after some changes. What goes makes room for what comes.
fn changed(data: Data, changes: &[Change], limits: &Limits) -> Result<Data, Diagnostic> {
    let (written, removed): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.content.is_some());
    let data = removed.iter().fold(data, |data, change| data.without_document(change.name.as_str()));
    written.iter().try_fold(data, |data, change| {
        data.with_document(change.name.as_str(), change.content.as_deref().unwrap_or_default(), limits)
    })
}

/// Refuses the package `cms` in documents that are not named so: who may write which is decided by
/// name, and what decides over CMS must not hide under another one.
fn check_reserved(scope: &Scope, name: &Name, content: &str) -> Result<()> {
    if !scope.project().is_platform() || name.is_within("cms") {
        return Ok(());
    }
    // What does not parse is the compiler's to explain.
    let Ok(info) = check(&Module::new(name.as_str(), content), &options(scope)) else { return Ok(()) };
    if info.package.split('.').next() != Some("cms") {
        return Ok(());
    }
    let message = format!(
        "the package `{}` may stand in documents under `cms/` only; name this one `cms/{}`",
        info.package,
        name.as_str().rsplit('/').next().unwrap_or_default()
    );
    let place = Place { path: Some(name.to_string()), message: message.clone(), ..Place::default() };
    Err(Error::unprocessable("invalid_policy", message).with_places(vec![place]))
}

/// Whether a policy holds rules that configs must pass.
fn is_about_configs(scope: &Scope, policy: &Change) -> bool {
    let Some(content) = &policy.content else { return false };
    let info = check(&Module::new(policy.name.as_str(), content.as_str()), &options(scope));
    info.is_ok_and(|info| info.package == "config.validate" || info.package.starts_with("config.validate."))
}

/// The set of the current documents.
pub(crate) async fn current_set(scope: &Scope) -> Result<SetRecord> {
    match scope.fresh(CURRENT_SET).await? {
        Some(entry) => decode(&entry.key, &entry.value),
        None => Ok(SetRecord::empty()),
    }
}

fn replace(modules: &mut Vec<Module>, name: &str, content: Option<&str>) {
    modules.retain(|module| module.name != name);
    if let Some(content) = content {
        modules.push(Module::new(name, content));
    }
}

fn refused(found: &[Diagnostic]) -> Error {
    Error::unprocessable("invalid_policy", "the policy is not accepted").with_places(places(found))
}

fn invalid_data(found: &[Diagnostic]) -> Error {
    Error::unprocessable("invalid_data", "the data is not accepted").with_places(places(found))
}

fn failed_tests(report: &TestReport) -> Error {
    let places = report
        .results
        .iter()
        .filter(|result| matches!(result.outcome, TestOutcome::Failed | TestOutcome::Errored))
        .take(100)
        .map(|result| Place {
            path: Some(result.file.clone()),
            line: Some(result.line),
            column: None,
            message: format!(
                "`{}.{}` {}",
                result.package,
                result.name,
                result.message.as_deref().unwrap_or("does not hold")
            ),
            code: Some("test_failed"),
        })
        .collect();
    let text = format!("{} of the project's tests fail with this change", report.failed + report.errored);
    Error::unprocessable("tests_failed", text).with_places(places)
}

fn invalid(found: &[Diagnostic]) -> PolicyValidation {
    let errors = found
        .iter()
        .map(|diagnostic| PolicyError {
            path: diagnostic.file.clone(),
            line: diagnostic.line,
            column: diagnostic.column,
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
        })
        .collect();
    PolicyValidation { ok: false, errors, package: None, rules: Vec::new() }
}
