// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy`: the Rego of a project; beyond what all documents have, checking and testing it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, EnvironmentArg, ProjectArg};
use super::candidates;
use super::client::Call;
use super::decide::{self, Question};
use super::document::{self, DocumentCommand, Kind};
use super::failure::{Failure, Place, Problem};
use super::input;
use super::offline;
use super::route::Route;
use super::table::{self, Column};

const POLICY: Kind = Kind { path: "policies", noun: "policy", content_type: "text/plain" };

const RESULTS: &[Column] = &[
    ("OUTCOME", "outcome"),
    ("PACKAGE", "package"),
    ("TEST", "name"),
    ("DOCUMENT", "path"),
    ("LINE", "line"),
    ("MESSAGE", "message"),
];

/// Store, check, test and compare policies
#[derive(Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand)]
enum PolicyCommand {
    Eval(Eval),
    Test(Test),
    Validate(Validate),
    #[command(flatten)]
    Document(DocumentCommand),
}

/// Evaluate a rule: on the server, or with --local in this process
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy eval rag/authz/allow -i input.json -p rag\n  \
    cms policy eval rag/authz/allow --input '{}' --local policies/ data.json")]
struct Eval {
    #[command(flatten)]
    environment: EnvironmentArg,
    #[command(flatten)]
    question: Question,
    /// Evaluate these files and directories without a server
    #[arg(long, value_name = "PATH", num_args = 1..)]
    local: Vec<PathBuf>,
    /// Exit with 2 unless the answer is yes
    #[arg(long)]
    fail: bool,
}

/// Run the project's Rego tests with local files in place of the stored policies
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms policy test policies/ -p rag\n  cms policy test --local policies/\n\n\
    A file is the candidate for the policy named by its path below the given directory:\n  \
    policies/rag/authz.rego stands for `rag/authz`. The exit code is 2 when a test fails."
)]
struct Test {
    /// Files and directories with the candidates; none: the stored policies alone
    paths: Vec<PathBuf>,
    /// Run the tests in this process, without a server
    #[arg(long, requires = "paths")]
    local: bool,
    /// Show the tests that passed as well
    #[arg(short, long)]
    verbose: bool,
}

/// Check whether a policy parses and compiles; the exit code is 2 when it does not
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy validate authz.rego -p rag")]
struct Validate {
    /// File with the text; `-` or nothing for standard input
    file: Option<PathBuf>,
}

/// Runs a command on policies.
///
/// # Errors
/// The server's refusal, a failed test, or an invalid policy.
pub(crate) async fn run(args: PolicyArgs, app: &App) -> Result<(), Failure> {
    match args.command {
        PolicyCommand::Document(command) => {
            document::run(command, POLICY, &app.project(&args.project)?, app).await
        }
        PolicyCommand::Eval(eval) if !eval.local.is_empty() => local_eval(&eval, app),
        PolicyCommand::Eval(eval) => remote_eval(eval, &app.project(&args.project)?, app).await,
        PolicyCommand::Test(test) if test.local => local_test(&test, app),
        PolicyCommand::Test(test) => remote_test(test, &app.project(&args.project)?, app).await,
        PolicyCommand::Validate(validate) => {
            self::validate(validate, &app.project(&args.project)?, app).await
        }
    }
}

async fn remote_eval(args: Eval, project: &str, app: &App) -> Result<(), Failure> {
    let environment = app.environment(&args.environment)?;
    let text = decide::ask(app, project, args.question, false, environment).await?;
    let yes = decide::show_one(app, &text)?;
    if args.fail && !yes { Err(Failure::negative()) } else { Ok(()) }
}

fn local_eval(args: &Eval, app: &App) -> Result<(), Failure> {
    let text = offline::evaluate(app, &args.local, &args.question)?;
    let yes = decide::show_one(app, &text)?;
    if args.fail && !yes { Err(Failure::negative()) } else { Ok(()) }
}

fn local_test(args: &Test, app: &App) -> Result<(), Failure> {
    let text = offline::test(app, &args.paths)?;
    report(app, &text, args.verbose)
}

async fn remote_test(args: Test, project: &str, app: &App) -> Result<(), Failure> {
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
    report(app, &answer.text, args.verbose)
}

/// Writes the outcome of a test run; a failed test is a failure without further words.
fn report(app: &App, text: &str, verbose: bool) -> Result<(), Failure> {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let counted = summary(&value).ok_or_else(|| Failure::error("the server sent no report of a test run"));
    let (words, succeeded) = counted?;
    app.out.data(text, |value| outcomes(value, verbose))?;
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

async fn validate(args: Validate, project: &str, app: &App) -> Result<(), Failure> {
    let text = input::text_or_piped(args.file.as_deref())?;
    let route = Route::project(project)?.fixed("policies").fixed("-").fixed("validate");
    let answer = app.client()?.call(Call::json(Method::POST, route, &json!({ "content": text }))).await?;
    app.show(&answer, &[("valid", "ok"), ("package", "package"), ("rules", "rules")])?;
    if answer.value.get("ok") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    let errors = answer.value.get("errors").cloned().unwrap_or_default();
    let mut errors: Vec<Place> = serde_json::from_value(errors).unwrap_or_default();
    // There is one text only, so every place is in it, whatever name the server gave it.
    errors.iter_mut().for_each(|place| place.path = None);
    let problem = Problem { status: 422, errors, ..Problem::default() };
    document::point(app, Failure::refused(problem), args.file.as_deref(), "standard input", &text);
    Err(Failure::negative())
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
}
