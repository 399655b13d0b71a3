// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms env`: which release each environment of a project serves.

use std::path::Path;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::app::{App, ProjectArg};
use super::client::{Call, Client};
use super::download;
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::output;
use super::route::Route;
use super::table::Column;

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("RELEASE", "release"),
    ("AUTO RELEASE", "auto_release"),
    ("APPROVALS", "approvals"),
    ("ACTIVATED", "activated_at"),
];

// An environment and an activation of it have most fields in common.
const FIELDS: &[Column] = &[
    ("name", "name"),
    ("kind", "kind"),
    ("version", "version"),
    ("release", "release"),
    ("previous", "previous"),
    ("auto release", "auto_release"),
    ("approvals", "approvals"),
    ("logs one of", "decision_log/every"),
    ("logs for days", "decision_log/keep_days"),
    ("by", "author"),
    ("at", "activated_at|time"),
    ("message", "message"),
];

const HISTORY: &[Column] = &[
    ("NUMBER", "version"),
    ("KIND", "kind"),
    ("RELEASE", "release"),
    ("PREVIOUS", "previous"),
    ("BY", "author"),
    ("AT", "time"),
    ("MESSAGE", "message"),
];

/// Show and move the active release of environments
#[derive(Args)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: EnvCommand,
}

impl EnvArgs {
    /// Tells whether `--output` may name a file.
    pub(crate) fn writes_file(&self) -> bool {
        matches!(self.command, EnvCommand::Bundle(_))
    }
}

#[derive(Subcommand)]
enum EnvCommand {
    Activate(Activate),
    Bundle(Bundle),
    History(History),
    List(List),
    Rollback(Rollback),
    Set(Set),
}

/// Put a release in force
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms env activate prod 8be2d44 --expected 3f9c0a1 -m \"ticket 42\" -p rag"
)]
struct Activate {
    /// Environment
    env: String,
    /// Release
    release: String,
    /// Only if this release is still the active one
    #[arg(long, value_name = "RELEASE")]
    expected: Option<String>,
    /// Why
    #[arg(short, long)]
    message: Option<String>,
}

/// Put the release that was active before in force again, or a named one
#[derive(Args)]
#[command(after_help = "Example:\n  cms env rollback prod -m \"errors\" -p rag")]
struct Rollback {
    /// Environment
    env: String,
    /// The release to go back to
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Why
    #[arg(short, long)]
    message: Option<String>,
}

/// Make an environment, or change its settings
#[derive(Args)]
#[command(after_help = "Example:\n  cms env set prod --auto-release false -p rag")]
struct Set {
    /// Environment
    env: String,
    /// Whether accepted changes go live here by themselves
    #[arg(long, value_name = "BOOL")]
    auto_release: Option<bool>,
    /// How many approvals a change needs
    #[arg(long, value_name = "N")]
    approvals: Option<u32>,
    /// Who approves: a user, or a role such as `project-admin` (may be repeated)
    #[arg(long = "approver", value_name = "USER|ROLE", requires = "approvals")]
    approvers: Vec<String>,
    /// Log one of so many decisions; 1: every one, 0: none
    #[arg(long, value_name = "N")]
    log_every: Option<u32>,
    /// For how many days logged decisions are kept
    #[arg(long, value_name = "DAYS", requires = "log_every")]
    log_days: Option<u32>,
}

/// List what was active and when
#[derive(Args)]
#[command(after_help = "Example:\n  cms env history prod -p rag")]
struct History {
    /// Environment
    env: String,
    #[command(flatten)]
    page: PageArgs,
}

/// List environments
#[derive(Args)]
#[command(after_help = "Example:\n  cms env list -p rag")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Download the active release as an OPA bundle
#[derive(Args)]
#[command(after_help = "Example:\n  cms env bundle prod -o bundle.tar.gz -p rag")]
struct Bundle {
    /// Environment
    env: String,
}

/// Runs a command on environments.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: EnvArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("environments");
    let client = app.client()?;
    match args.command {
        EnvCommand::Activate(args) => {
            let route = route.id(&args.env)?.fixed("activate");
            let given =
                [("release", Some(args.release)), ("expected", args.expected), ("message", args.message)];
            change(app, &client, Method::POST, route, given_texts(given)).await
        }
        EnvCommand::Bundle(args) => bundle(app, &client, route.id(&args.env)?.fixed("bundle.tar.gz")).await,
        EnvCommand::History(args) => {
            let call = Call::get(route.id(&args.env)?.fixed("history"));
            list::list(app, &client, call, &args.page, HISTORY).await
        }
        EnvCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
        EnvCommand::Rollback(args) => {
            let route = route.id(&args.env)?.fixed("rollback");
            let given = [("to", args.to), ("message", args.message)];
            change(app, &client, Method::POST, route, given_texts(given)).await
        }
        EnvCommand::Set(args) => {
            change(app, &client, Method::PUT, route.id(&args.env)?, settings(&args)).await
        }
    }
}

async fn change(
    app: &App,
    client: &Client,
    method: Method,
    route: Route,
    body: Value,
) -> Result<(), Failure> {
    let answer = client.call(Call::json(method, route, &body)).await?;
    app.show(&answer, FIELDS)
}

async fn bundle(app: &App, client: &Client, route: Route) -> Result<(), Failure> {
    let file: Option<&Path> = app.file();
    if file.is_none() && output::stdout_is_terminal() {
        return Err(Failure::usage("a bundle is no text; name a file with `-o FILE`, or pipe it"));
    }
    download::download(app, client, Call::get(route), file, "bundle").await
}

fn given_texts<const N: usize>(given: [(&str, Option<String>); N]) -> Value {
    let present = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
    Value::Object(present.collect::<Map<_, _>>())
}

fn settings(args: &Set) -> Value {
    let mut body = Map::new();
    body.extend(args.auto_release.map(|on| ("auto_release".to_owned(), json!(on))));
    body.extend(args.approvals.map(|quorum| {
        let approvals = match args.approvers.as_slice() {
            [] => json!(quorum),
            approvers => json!({"quorum": quorum, "approvers": approvers}),
        };
        ("approvals".to_owned(), approvals)
    }));
    if let Some(every) = args.log_every {
        let mut log = Map::from_iter([("every".to_owned(), json!(every))]);
        log.extend(args.log_days.map(|days| ("keep_days".to_owned(), json!(days))));
        body.insert("decision_log".to_owned(), Value::Object(log));
    }
    Value::Object(body)
}
