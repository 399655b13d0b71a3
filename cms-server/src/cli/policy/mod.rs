// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy`: the Rego of a project; beyond what all documents have, the loop of who writes it.

mod bench;
mod check;
mod eval;
mod fmt;
mod lint;
mod repl;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::app::{App, ProjectArg};
use crate::cli::client::Call;
use crate::cli::document::{self, DocumentCommand, Kind};
use crate::cli::failure::{Failure, Place, Problem};
use crate::cli::input;
use crate::cli::route::Route;

const POLICY: Kind = Kind { path: "policies", noun: "policy", content_type: "text/plain" };

/// Store, check, test, lint, format and compare policies
#[derive(Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand)]
enum PolicyCommand {
    Bench(bench::BenchArgs),
    Check(check::CheckArgs),
    Eval(eval::EvalArgs),
    Fmt(fmt::FmtArgs),
    Lint(lint::LintArgs),
    Repl(repl::ReplArgs),
    Test(test::TestArgs),
    Validate(Validate),
    #[command(flatten)]
    Document(DocumentCommand),
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
        PolicyCommand::Bench(args) => bench::run(&args, app),
        PolicyCommand::Check(args) => check::run(&args, app),
        PolicyCommand::Eval(eval) => eval::run(eval, &args.project, app).await,
        PolicyCommand::Fmt(args) => fmt::run(&args, app),
        PolicyCommand::Lint(args) => lint::run(&args, app),
        PolicyCommand::Repl(args) => repl::run(&args, app),
        PolicyCommand::Test(test) => test::run(test, &args.project, app).await,
        PolicyCommand::Validate(validate) => {
            self::validate(validate, &app.project(&args.project)?, app).await
        }
    }
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
