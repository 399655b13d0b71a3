// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the tests that policies bring along, by OPA's conventions: a rule named `test_…` passes when
//! it has a value other than `false`, and one named `todo_test_…` is skipped.
//!
//! Tests run in the interpreter, which knows `with` and counts the lines that it evaluates.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regorus::utils::limits::monotonic_now;
use regorus::{Engine, Value};
use serde::{Deserialize, Serialize};

use super::compile;
use super::data::Data;
use super::diagnostic::Diagnostic;
use super::evaluate::EvaluationError;
use super::explain::Explainer;
use super::frontend::Reader;
use super::interpreter;
use super::limits::Limits;
use super::meter;
use super::module::{self, Module, Options};
use super::outline::Outline;
use super::path::{QueryPath, reference_of};
use super::program::Program;
use super::snapshot::Input;
use super::stack::guarded;

/// How many failures of one run are explained.
const MAX_EXPLAINED: usize = 20;

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// How many tests held.
    pub passed: usize,
    /// How many tests did not hold.
    pub failed: usize,
    /// How many tests could not be evaluated.
    pub errored: usize,
    /// How many tests are marked as not yet to be run.
    pub skipped: usize,
    /// Each test, in the order of the policies.
    pub results: Vec<TestResult>,
    /// What the tests evaluated of the policies that are not tests themselves.
    pub coverage: Coverage,
}

impl TestReport {
    /// Whether no test failed, and none could not be evaluated.
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.errored == 0
    }
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// The package, such as `rag.authz_test`.
    pub package: String,
    /// The rule, such as `test_reader_may_query`.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it did not pass.
    pub message: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// The name of the document that holds it.
    pub file: String,
    /// The line, from 1: of the test, or of the expression with which it failed.
    pub line: u32,
}

impl TestResult {
    fn full_name(&self) -> String {
        format!("{}.{}", self.package, self.name)
    }
}

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed,
    /// It could not be evaluated.
    Errored,
    /// It is not to be run.
    Skipped,
}

/// The lines of each policy that ran, and those that did not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// The share of lines that ran, from 0 to 100.
    pub percent: f64,
    /// By the name of the document.
    pub files: BTreeMap<String, FileCoverage>,
}

/// The lines of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileCoverage {
    /// The lines that ran.
    pub covered: BTreeSet<u32>,
    /// The lines that could have run.
    pub not_covered: BTreeSet<u32>,
}

/// Compiles all policies and runs their tests over the data.
///
/// # Errors
/// What is wrong with the policies, if they do not compile.
pub fn run_tests(modules: &[Module], data: &Data, options: &Options) -> Result<TestReport, Vec<Diagnostic>> {
    run_chosen_tests(modules, data, options, &|_| true)
}

/// Compiles all policies and runs those tests whose names, such as `rag.authz_test.test_reader`, are chosen.
///
/// # Errors
/// As [`run_tests`].
pub fn run_chosen_tests(
    modules: &[Module],
    data: &Data,
    options: &Options,
    chosen: &(dyn Fn(&str) -> bool + Sync),
) -> Result<TestReport, Vec<Diagnostic>> {
    // Refuses, among others, recursion, which the interpreter could not survive.
    Program::compile(modules, options)?;
    let outlines = module::read_all(modules, options)?;
    compile::within_stack(|| {
        let places = compile::places(modules.iter().zip(&outlines), Reader::Interpreter);
        let engine = compile::engine(modules, &places, &options.limits)?;
        let mut run = Run::new(engine, &data.to_value(), &options.limits);
        let results = modules.iter().zip(&outlines).flat_map(|(module, outline)| tests(module, outline));
        let results = results.filter(|test| chosen(&test.full_name()));
        let results = results.map(|test| run.test(test)).collect();
        Ok(report(results, run.coverage(modules, &outlines)))
    })
    .map(|mut report| {
        explain_failures(&mut report.results, modules, data, options);
        report
    })
}

/// Says of failed tests with which expression they did.
fn explain_failures(results: &mut [TestResult], modules: &[Module], data: &Data, options: &Options) {
    let mut failed = results.iter_mut().filter(|test| test.outcome == Outcome::Failed).peekable();
    if failed.peek().is_none() {
        return;
    }
    let mut options = options.clone();
    options.limits.time = options.limits.test_time;
    let Ok(explainer) = Explainer::new(modules, data, &options) else { return };
    for test in failed.take(MAX_EXPLAINED) {
        let path = test.package.split('.').chain(test.name.split('.'));
        let Ok(path) = QueryPath::from_segments(path) else { continue };
        let explanation = explainer.explain(&path, &Input::NONE);
        let own = explanation.tried.iter().find(|tried| tried.rule == test.full_name());
        let Some(failure) = own.and_then(|tried| tried.failure.as_ref()) else { continue };
        let reason = own.and_then(|tried| tried.deepest_failure()).map_or_else(String::new, |tried| {
            let failure = tried.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            format!(
                "; {}:{}: {failure}",
                tried.document,
                tried.failure.as_ref().map_or(tried.line, |f| f.line)
            )
        });
        test.line = failure.line;
        test.message = test.message.take().map(|message| format!("{message}: {failure}{reason}"));
    }
}

/// The tests of a module, not yet run. A test with several definitions is one test.
fn tests<'a>(module: &'a Module, outline: &'a Outline) -> impl Iterator<Item = TestResult> + 'a {
    let mut seen = BTreeSet::new();
    outline.tests().filter(move |head| seen.insert(&head.path)).map(|head| TestResult {
        package: outline.package.join("."),
        name: head.path.join("."),
        outcome: Outcome::Skipped,
        message: None,
        duration: Duration::ZERO,
        file: module.name.clone(),
        line: head.place.0,
    })
}

/// An interpreter with data, and the time that is left for it.
struct Run<'a> {
    engine: Result<Engine, EvaluationError>,
    limits: &'a Limits,
    left: Duration,
}

impl<'a> Run<'a> {
    fn new(mut engine: Engine, data: &Value, limits: &'a Limits) -> Self {
        engine.set_enable_coverage(true);
        Self { engine: interpreter::with_data(engine, data), limits, left: limits.tests_time }
    }

    fn test(&mut self, mut test: TestResult) -> TestResult {
        if test.name.split('.').next_back().is_some_and(|name| name.starts_with("todo_test_")) {
            return test;
        }
        let path = test.package.split('.').chain(test.name.split('.'));
        let started = monotonic_now();
        let value = self.value(&reference_of(path));
        test.duration =
            monotonic_now().zip(started).map(|(end, start)| end.saturating_sub(start)).unwrap_or_default();
        self.left = self.left.saturating_sub(test.duration);
        (test.outcome, test.message) = match value {
            Ok(Value::Undefined) => (Outcome::Failed, Some("the test is undefined".to_owned())),
            Ok(Value::Bool(false)) => (Outcome::Failed, Some("the test is false".to_owned())),
            Ok(_) => (Outcome::Passed, None),
            Err(error) => (Outcome::Errored, Some(error.to_string())),
        };
        test
    }

    fn value(&mut self, reference: &str) -> Result<Value, EvaluationError> {
        let engine = self.engine.as_mut().map_err(|error| error.clone())?;
        if self.left.is_zero() {
            return Err(EvaluationError::Timeout { limit: self.limits.tests_time });
        }
        interpreter::limit_time(engine, self.limits.test_time.min(self.left));
        let before = engine.clone();
        meter::begin(self.limits.memory, false);
        let value = guarded(|| interpreter::value(engine, reference));
        value.unwrap_or_else(|failed| {
            self.engine = Ok(before);
            Err(failed.into())
        })
    }

    /// The coverage of the modules that are not tests.
    fn coverage(&self, modules: &[Module], outlines: &[Outline]) -> Coverage {
        let report = self.engine.as_ref().ok().and_then(|engine| engine.get_coverage_report().ok());
        let mut counted = BTreeMap::new();
        for file in report.map(|report| report.files).unwrap_or_default() {
            let found = modules.iter().zip(outlines).find(|(module, _)| module.name == file.path);
            if found.is_some_and(|(_, outline)| outline.tests().next().is_none()) {
                let lines = FileCoverage { covered: file.covered, not_covered: file.not_covered };
                counted.insert(file.path, lines);
            }
        }
        Coverage { percent: percent(&counted), files: counted }
    }
}

fn percent(files: &BTreeMap<String, FileCoverage>) -> f64 {
    let sum = |lines: fn(&FileCoverage) -> usize| {
        files
            .values()
            .map(lines)
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .map(f64::from)
            .sum::<f64>()
    };
    let covered = sum(|file| file.covered.len());
    let all = covered + sum(|file| file.not_covered.len());
    if all > 0.0 { 100.0 * covered / all } else { 100.0 }
}

fn report(results: Vec<TestResult>, coverage: Coverage) -> TestReport {
    let count = |outcome| results.iter().filter(|test| test.outcome == outcome).count();
    TestReport {
        passed: count(Outcome::Passed),
        failed: count(Outcome::Failed),
        errored: count(Outcome::Errored),
        skipped: count(Outcome::Skipped),
        coverage,
        results,
    }
}
