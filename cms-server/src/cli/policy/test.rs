// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy test`: runs Rego tests, on the server with local files as candidates, or in this process.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::app::{App, ProjectArg};
use crate::cli::candidates;
use crate::cli::client::Call;
use crate::cli::failure::Failure;
use crate::cli::offline;
use crate::cli::route::Route;
use crate::cli::table::{self, Column};

const RESULTS: &[Column] = &[
    ("OUTCOME", "outcome"),
    ("PACKAGE", "package"),
    ("TEST", "name"),
    ("DOCUMENT", "path"),
    ("LINE", "line"),
    ("MESSAGE", "message"),
];

/// How often `--watch` looks at the files, and for how long they must be at rest.
const LOOK: Duration = Duration::from_millis(300);

/// Run Rego tests: the project's, with local files in place of stored policies, or those of local files
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms policy test policies/ -p rag\n  cms policy test --local policies/ --coverage\n  \
    cms policy test --local policies/ --run 'authz_test' --watch\n\n\
    A file is the candidate for the policy named by its path below the given directory:\n  \
    policies/rag/authz.rego stands for `rag/authz`. Where no project is named, and with --coverage,\n  \
    --threshold, --run or --watch, the tests run in this process. The exit code is 2 when a test fails."
)]
pub(crate) struct TestArgs {
    /// Files and directories with the candidates; none: the stored policies alone
    paths: Vec<PathBuf>,
    /// Run the tests in this process, without a server
    #[arg(long, requires = "paths")]
    local: bool,
    /// Show which lines the tests have not evaluated
    #[arg(short, long, requires = "paths")]
    coverage: bool,
    /// Fail unless the tests evaluate this share of the lines
    #[arg(short, long, value_name = "PERCENT", requires = "paths")]
    threshold: Option<f64>,
    /// Run only the tests whose names match, such as `rag.authz_test.test_reader`
    #[arg(short, long, value_name = "REGEX", requires = "paths")]
    run: Option<Regex>,
    /// Run the tests again whenever a file changes, until interrupted
    #[arg(short, long, requires = "paths")]
    watch: bool,
    /// Show the tests that passed as well
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the tests and shows what came of them.
///
/// # Errors
/// Files or policies that are not accepted; without further words a failed test or too little coverage.
pub(crate) async fn run(args: TestArgs, project: &ProjectArg, app: &App) -> Result<(), Failure> {
    let own = args.local || args.coverage || args.watch || args.threshold.is_some() || args.run.is_some();
    if own || (!args.paths.is_empty() && app.project(project).is_err()) {
        return if args.watch { watch(&args, app).await } else { local(&args, app) };
    }
    remote(args, &app.project(project)?, app).await
}

fn local(args: &TestArgs, app: &App) -> Result<(), Failure> {
    let chosen = |name: &str| args.run.as_ref().is_none_or(|pattern| pattern.is_match(name));
    let text = offline::test(app, &args.paths, &chosen)?;
    let outcome = report(app, &text, args);
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let percent = value.pointer("/coverage/percent").and_then(Value::as_f64).unwrap_or_default();
    if args.coverage && app.out.format == crate::cli::output::Format::Table {
        app.out.text(&uncovered(&value))?;
    }
    match args.threshold.filter(|wanted| percent < *wanted) {
        Some(wanted) => {
            app.out.always(&format!("the tests evaluate {percent:.1} % of the lines, less than {wanted} %"));
            Err(Failure::negative())
        }
        None => outcome,
    }
}

/// Runs the tests now and after every change.
async fn watch(args: &TestArgs, app: &App) -> Result<(), Failure> {
    let mut tested = None;
    loop {
        let seen = stamp(&args.paths);
        tokio::time::sleep(LOOK).await;
        if seen != stamp(&args.paths) || tested.as_ref() == Some(&seen) {
            continue;
        }
        if let Err(failure) = local(args, app) {
            app.out.fail(&failure);
        }
        app.out.say("waiting for a change; stop with Ctrl-C");
        tested = Some(seen);
    }
}

/// The files below the paths, with the times of their last changes.
fn stamp(paths: &[PathBuf]) -> Vec<(PathBuf, Option<SystemTime>)> {
    let mut open = paths.to_vec();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if let Ok(entries) = std::fs::read_dir(&path) {
            open.extend(entries.flatten().map(|entry| entry.path()));
        } else {
            let changed = std::fs::metadata(&path).and_then(|about| about.modified()).ok();
            found.push((path, changed));
        }
    }
    found.sort();
    found
}

async fn remote(args: TestArgs, project: &str, app: &App) -> Result<(), Failure> {
    let candidates = candidates::collect(&args.paths)?;
    for file in &candidates.data {
        app.out.say(&format!("`{}` is no policy; the server uses its stored data", file.path.display()));
    }
    let documents: serde_json::Map<String, Value> =
        candidates.policies.iter().map(|found| (found.name.clone(), json!(found.text))).collect();
    let route = Route::project(project)?.fixed("policies").fixed("-").fixed("test");
    let progress = app.out.progress(&format!("testing with {} candidates", documents.len()));
    let answer =
        app.client()?.call(Call::json(Method::POST, route, &json!({ "documents": documents }))).await;
    progress.finish_and_clear();
    let answer = answer.map_err(|failure| candidates::point(app, failure, &candidates))?;
    report(app, &answer.text, &args)
}

/// Writes the outcome of a test run; a failed test is a failure without further words.
fn report(app: &App, text: &str, args: &TestArgs) -> Result<(), Failure> {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let counted = summary(&value).ok_or_else(|| Failure::error("the server sent no report of a test run"));
    let (words, succeeded) = counted?;
    app.out.data(text, |value| outcomes(value, args.verbose))?;
    app.out.say(&words);
    if succeeded { Ok(()) } else { Err(Failure::negative()) }
}

fn summary(value: &Value) -> Option<(String, bool)> {
    let count = |key: &str| value.get(key).and_then(Value::as_u64);
    let (passed, failed, errored) = (count("passed")?, count("failed")?, count("errored").unwrap_or(0));
    let mut words = format!("{passed} passed, {failed} failed, {errored} in error");
    if let Some(skipped) = count("skipped").filter(|skipped| *skipped > 0) {
        words += &format!(", {skipped} skipped");
    }
    if let Some(percent) =
        value.get("coverage").and_then(|coverage| coverage.get("percent")).and_then(Value::as_f64)
    {
        words += &format!("; coverage {percent:.0} %");
    }
    Some((words, failed == 0 && errored == 0))
}

fn outcomes(value: &Value, verbose: bool) -> String {
    let results = value.get("results").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let passed = |result: &&Value| result.get("outcome").and_then(Value::as_str) == Some("passed");
    let shown: Vec<Value> = results.iter().filter(|result| verbose || !passed(result)).cloned().collect();
    if shown.is_empty() { String::new() } else { table::rows(&shown, RESULTS) }
}

/// The lines of each policy that no test evaluated: `rag/authz: 3-5, 9`.
fn uncovered(value: &Value) -> String {
    let files = value.pointer("/coverage/files").and_then(Value::as_object);
    let told = files.into_iter().flatten().filter_map(|(name, lines)| {
        let missed: Vec<u64> =
            lines.get("not_covered")?.as_array()?.iter().filter_map(Value::as_u64).collect();
        (!missed.is_empty()).then(|| format!("not covered: {name}: {}", ranges(&missed)))
    });
    told.collect::<Vec<_>>().join("\n")
}

fn ranges(lines: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for line in lines {
        match runs.last_mut().filter(|(_, end)| end + 1 == *line) {
            Some((_, end)) => *end = *line,
            None => runs.push((*line, *line)),
        }
    }
    let told = runs.iter().map(|(start, end)| match start == end {
        true => start.to_string(),
        false => format!("{start}-{end}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_are_listed_unless_asked() {
        let value = json!({"passed": 1, "failed": 1, "errored": 0, "results": [
            {"package": "rag.authz_test", "name": "test_a", "outcome": "passed"},
            {"package": "rag.authz_test", "name": "test_b", "outcome": "failed"}]});
        assert_eq!(summary(&value), Some(("1 passed, 1 failed, 0 in error".into(), false)));
        assert!(!outcomes(&value, false).contains("test_a") && outcomes(&value, false).contains("test_b"));
        assert!(outcomes(&value, true).contains("test_a"));
    }

    #[test]
    fn an_answer_without_counts_is_no_success() {
        assert_eq!(summary(&json!({})), None);
    }

    #[test]
    fn lines_without_coverage_are_told_in_runs() {
        let value = json!({"coverage": {"files": {
            "rag/authz": {"covered": [1], "not_covered": [3, 4, 5, 9]},
            "rag/other": {"covered": [1], "not_covered": []}}}});
        assert_eq!(uncovered(&value), "not covered: rag/authz: 3-5, 9");
    }
}
