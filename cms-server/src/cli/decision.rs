// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms decision`: the log of decisions, and what another release would have decided.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::app::{App, ProjectArg};
use super::client::{Call, Client};
use super::download;
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("TIME", "timestamp"),
    ("OUTCOME", "outcome"),
    ("PATH", "path"),
    ("USER", "user"),
    ("CALLER", "caller"),
    ("ID", "decision_id"),
];

const FIELDS: &[Column] = &[
    ("id", "decision_id"),
    ("time", "timestamp"),
    ("path", "path"),
    ("outcome", "outcome"),
    ("input", "input"),
    ("result", "result"),
    ("error", "error/message"),
    ("user", "user"),
    ("caller", "caller"),
    ("address", "requested_by"),
    ("request", "request_id"),
];

const CHANGED: &[Column] =
    &[("ID", "decision_id"), ("PATH", "path"), ("INPUT", "input"), ("BEFORE", "before"), ("AFTER", "after")];

const COUNTED: &[Column] = &[("replayed", "replayed"), ("incomplete", "incomplete")];

/// Find logged decisions, and replay them on another release
#[derive(Args)]
pub(crate) struct DecisionArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: DecisionCommand,
}

impl DecisionArgs {
    /// Tells whether `--output` may name a file.
    pub(crate) fn writes_file(&self) -> bool {
        matches!(self.command, DecisionCommand::Export(_))
    }
}

#[derive(Subcommand)]
enum DecisionCommand {
    Export(Export),
    List(List),
    Replay(Replay),
    #[command(visible_alias = "get")]
    Show(Show),
}

/// Which decisions.
#[derive(Args, Clone)]
struct Filter {
    /// The environment, where the project has several
    #[arg(short, long, env = "CMS_ENV")]
    env: Option<String>,
    /// On whose behalf, or who asked (`key:…`)
    #[arg(long)]
    user: Option<String>,
    /// The rule, or a package above it
    #[arg(long)]
    path: Option<String>,
    /// What it came to: `allow`, `deny`, `value`, `undefined` or `error`
    #[arg(long)]
    outcome: Option<String>,
    /// The release that decided
    #[arg(long)]
    release: Option<String>,
    /// From this time on, as RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time, as RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Filter {
    fn given(self) -> impl Iterator<Item = (&'static str, String)> {
        let all = [
            ("environment", self.env),
            ("user", self.user),
            ("path", self.path),
            ("outcome", self.outcome),
            ("release", self.release),
            ("from", self.from),
            ("to", self.to),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    fn ask(self, call: Call) -> Call {
        self.given().fold(call, |call, (name, value)| call.query(name, Some(value)))
    }
}

/// List logged decisions, newest first
#[derive(Args)]
#[command(after_help = "Example:\n  cms decision list --outcome deny --user alice -p rag")]
struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    page: PageArgs,
}

/// Write logged decisions as JSON lines in the format of OPA's decision log
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms decision export --from 2026-01-01T00:00:00Z -o decisions.jsonl -p rag"
)]
struct Export {
    #[command(flatten)]
    filter: Filter,
}

/// Show one decision
#[derive(Args)]
#[command(after_help = "Example:\n  cms decision show 019a… -p rag")]
struct Show {
    /// Id of the decision
    id: String,
    /// The environment, where the project has several
    #[arg(short, long, env = "CMS_ENV")]
    env: Option<String>,
}

/// Decide anew by another release, and list what comes to something else
#[derive(Args)]
#[command(after_help = "Example:\n  cms decision replay 8be2d44 --last 200 -p rag")]
struct Replay {
    /// The release that decides now
    on: String,
    /// How many decisions, 1 to 200
    #[arg(long, value_name = "N", default_value_t = 200)]
    last: u16,
    /// Exit with 2 if a decision comes to something else
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Runs a command on logged decisions.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: DecisionArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("decisions");
    let client = app.client()?;
    match args.command {
        DecisionCommand::Export(args) => {
            let call = args.filter.ask(Call::get(route.fixed("-").fixed("export")));
            download::download(app, &client, call, app.file(), "decisions").await
        }
        DecisionCommand::List(args) => {
            list::list(app, &client, args.filter.ask(Call::get(route)), &args.page, COLUMNS).await
        }
        DecisionCommand::Replay(args) => replay(args, app, &client, route).await,
        DecisionCommand::Show(args) => {
            let call = Call::get(route.id(&args.id)?).query("environment", args.env);
            app.show(&client.call(call).await?, FIELDS)
        }
    }
}

async fn replay(args: Replay, app: &App, client: &Client, route: Route) -> Result<(), Failure> {
    let mut decisions: Map<_, _> =
        args.filter.given().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    decisions.insert("limit".to_owned(), json!(args.last));
    let body = json!({ "release": args.on, "decisions": decisions });
    let answer = client.call(Call::json(Method::POST, route.fixed("-").fixed("replay"), &body)).await?;
    app.out.data(&answer.text, replayed)?;
    if args.exit_code && !changed(&answer.value).is_empty() { Err(Failure::negative()) } else { Ok(()) }
}

fn changed(value: &Value) -> &[Value] {
    value.get("changed").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn replayed(value: &Value) -> String {
    let head = table::fields(value, COUNTED);
    match changed(value) {
        [] => format!("{head}\n\nnothing comes to anything else"),
        changed => format!("{head}\n\n{}", table::rows(changed, CHANGED)),
    }
}
