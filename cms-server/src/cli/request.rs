// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms request`: changes that go live once others have approved them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::app::{App, EnvironmentArg, ProjectArg};
use super::client::{Call, Client};
use super::failure::{Exit, Failure};
use super::input;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("STATE", "state"),
    ("TITLE", "title"),
    ("AUTHOR", "author"),
    ("ENVIRONMENT", "environment"),
    ("CREATED", "created_at"),
];

const FIELDS: &[Column] = &[
    ("id", "id"),
    ("title", "title"),
    ("reason", "reason"),
    ("state", "state"),
    ("why", "state_reason"),
    ("hash", "hash"),
    ("author", "author"),
    ("environment", "environment"),
    ("promotes", "release"),
    ("expires", "expires_at"),
    ("applied at", "apply_at"),
    ("ended by", "outcome/by"),
    ("release", "outcome/release"),
];

/// The kinds of documents: the word for one, and the path of many.
pub(crate) const KINDS: [(&str, &str); 6] = [
    ("config", "configs"),
    ("data", "data"),
    ("policy", "policies"),
    ("schema", "schemas"),
    ("template", "templates"),
    ("variable", "variables"),
];

/// Open, look at, approve and apply change requests
#[derive(Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: RequestCommand,
}

#[derive(Subcommand)]
enum RequestCommand {
    Apply(Apply),
    Approve(Approve),
    Create(Create),
    /// Show what a request changes, and the hash that approves it
    #[command(after_help = "Example:\n  cms request diff REQUEST -p rag")]
    Diff(One),
    List(List),
    Reject(Reject),
    /// Show a request, and which approvals it has and needs
    #[command(after_help = "Example:\n  cms request show REQUEST -p rag")]
    Show(One),
    /// Take a request of yours back
    #[command(after_help = "Example:\n  cms request withdraw REQUEST -p rag")]
    Withdraw(One),
}

/// Put an approved request in force
#[derive(Args)]
#[command(after_help = "Example:\n  cms request apply REQUEST -p rag\n  \
    cms request apply REQUEST --emergency --reason \"outage 12\" -p rag")]
struct Apply {
    /// Id of the request
    id: String,
    /// Without its approvals; takes a right of its own, and a reason
    #[arg(long, requires = "reason")]
    emergency: bool,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

/// Approve what you have looked at
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms request diff REQUEST -p rag\n  cms request approve REQUEST --hash HASH -p rag"
)]
struct Approve {
    /// Id of the request
    id: String,
    /// The hash of what you looked at, as `request show` and `request diff` tell it
    #[arg(long)]
    hash: String,
    /// What is to be said
    #[arg(short = 'm', long, visible_alias = "message")]
    comment: Option<String>,
}

/// Open a request
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms request create \"Admins may search\" --put policy:search=search.rego -p rag\n  \
    cms request create \"Clean up\" --delete data:old --env prod --expires-in 2d -p rag"
)]
struct Create {
    /// What it is about, in a line
    title: String,
    /// A new text for a document, from a file (may be repeated)
    #[arg(long = "put", value_name = "KIND:NAME=FILE")]
    puts: Vec<String>,
    /// The schema that a config is to keep to: the name of one; nothing for none (may be repeated)
    #[arg(long = "schema", value_name = "CONFIG=SCHEMA")]
    schemas: Vec<String>,
    /// A document to remove (may be repeated)
    #[arg(long = "delete", value_name = "KIND:NAME")]
    deletes: Vec<String>,
    /// Why
    #[arg(short, long)]
    reason: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// When it is applied by itself, once approved, as RFC 3339
    #[arg(long, value_name = "TIME")]
    apply_at: Option<String>,
    /// For how long it stays open
    #[arg(long, value_name = "SPAN", value_parser = input::duration)]
    expires_in: Option<Duration>,
}

/// List requests, newest first
#[derive(Args)]
#[command(after_help = "Example:\n  cms request list --state open -p rag")]
struct List {
    /// Only those that stand there: `open`, `approved`, `applied`, …
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Refuse a request for good
#[derive(Args)]
#[command(after_help = "Example:\n  cms request reject REQUEST --reason \"too wide\" -p rag")]
struct Reject {
    /// Id of the request
    id: String,
    /// Why
    #[arg(long)]
    reason: String,
}

/// One request.
#[derive(Args)]
struct One {
    /// Id of the request
    id: String,
}

/// Runs a command on change requests.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: RequestArgs, app: &App) -> Result<(), Failure> {
    let project = Route::project(&app.project(&args.project)?)?;
    let (route, client) = (project.clone().fixed("requests"), app.client()?);
    let act = async |id: &str, verb: &str, body: Value| -> Result<(), Failure> {
        let call = Call::json(Method::POST, route.clone().id(id)?.fixed(verb), &body);
        app.show(&client.call(call).await?, FIELDS)
    };
    match args.command {
        RequestCommand::Apply(args) => {
            act(&args.id, "apply", json!({"emergency": args.emergency, "reason": args.reason})).await
        }
        RequestCommand::Approve(args) => {
            act(&args.id, "approve", json!({"hash": args.hash, "comment": args.comment})).await
        }
        RequestCommand::Create(args) => {
            let body = draft(&args, app, &client, &project).await?;
            app.show(&client.call(Call::json(Method::POST, route, &body)).await?, FIELDS)
        }
        RequestCommand::Diff(args) => {
            let answer = client.call(Call::get(route.id(&args.id)?)).await?;
            app.out.data(&answer.text, difference)
        }
        RequestCommand::List(args) => {
            let call = Call::get(route).query("state", args.state);
            list::list(app, &client, call, &args.page, COLUMNS).await
        }
        RequestCommand::Reject(args) => act(&args.id, "reject", json!({"reason": args.reason})).await,
        RequestCommand::Show(args) => {
            let answer = client.call(Call::get(route.id(&args.id)?)).await?;
            app.out.data(&answer.text, |value| format!("{}\n{}", table::fields(value, FIELDS), needs(value)))
        }
        RequestCommand::Withdraw(args) => act(&args.id, "withdraw", json!({})).await,
    }
}

async fn draft(args: &Create, app: &App, client: &Client, project: &Route) -> Result<Value, Failure> {
    let mut changes = Vec::new();
    for put in &args.puts {
        let (document, file) = put.split_once('=').ok_or_else(|| wrong(put, "KIND:NAME=FILE"))?;
        changes.push(change(client, project, document, Some(input::text(&PathBuf::from(file))?)).await?);
    }
    for binding in &args.schemas {
        let (config, schema) = binding.split_once('=').ok_or_else(|| wrong(binding, "CONFIG=SCHEMA"))?;
        let is_own = |change: &&mut Value| {
            let part = |key: &str| change.get(key).and_then(Value::as_str);
            (part("kind"), part("name")) == (Some("config"), Some(config))
        };
        let Some(Value::Object(change)) = changes.iter_mut().find(is_own) else {
            return Err(Failure::usage(format!("`--schema {binding}` takes a `--put config:{config}=FILE`")));
        };
        change.insert("schema".to_owned(), json!(schema));
    }
    for document in &args.deletes {
        changes.push(change(client, project, document, None).await?);
    }
    let mut body =
        Map::from_iter([("title".to_owned(), json!(args.title)), ("changes".to_owned(), json!(changes))]);
    body.extend(args.reason.as_ref().map(|reason| ("reason".to_owned(), json!(reason))));
    body.extend(app.named_environment(&args.environment).map(|name| ("environment".to_owned(), json!(name))));
    body.extend(args.apply_at.as_ref().map(|at| ("apply_at".to_owned(), json!(at))));
    body.extend(args.expires_in.map(|span| ("expires_in".to_owned(), json!(span.as_secs()))));
    Ok(Value::Object(body))
}

/// A change for the version of a document that there is now.
async fn change(
    client: &Client,
    project: &Route,
    document: &str,
    content: Option<String>,
) -> Result<Value, Failure> {
    let (kind, name) = document.split_once(':').ok_or_else(|| wrong(document, "KIND:NAME"))?;
    let known = KINDS.iter().find(|(known, _)| *known == kind).ok_or_else(|| wrong(document, "KIND:NAME"))?;
    let read = client.call(Call::get(project.clone().fixed(known.1).name(name)?)).await;
    let base = match read {
        Ok(answer) => answer.value.get("version").cloned().unwrap_or(Value::Null),
        Err(failure) if failure.exit == Exit::NotFound => json!(0),
        Err(failure) => return Err(failure),
    };
    Ok(planned(kind, name, content, &base))
}

/// A change as a request holds it.
fn planned(kind: &str, name: &str, content: Option<String>, base: &Value) -> Value {
    match content {
        Some(content) => {
            json!({"kind": kind, "name": name, "op": "put", "content": content, "base_version": base})
        }
        None => json!({"kind": kind, "name": name, "op": "delete", "base_version": base}),
    }
}

fn wrong(given: &str, form: &str) -> Failure {
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let kinds = match form.contains("KIND") {
        true => format!(", where KIND is one of {}", kinds.join(", ")),
        false => String::new(),
    };
    Failure::usage(format!("`{given}` is not `{form}`{kinds}"))
}

/// The difference of a request, with the hash that approves it.
fn difference(value: &Value) -> String {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    format!("{}hash {}\n", text("diff"), text("hash"))
}

/// Who is asked, and who has answered.
fn needs(value: &Value) -> String {
    let items = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |item: &Value, key: &str| {
        item.get(key)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default()
    };
    let mut lines = Vec::new();
    for need in items("needs") {
        let place = need
            .get("environment")
            .and_then(Value::as_str)
            .map(|name| format!(" for {name}"))
            .unwrap_or_default();
        lines.push(format!("approvals{place}: {} of {}", text(&need, "given"), text(&need, "quorum")));
    }
    lines.extend(
        items("approvals").iter().map(|given| format!("  {} at {}", text(given, "by"), text(given, "at"))),
    );
    lines.join("\n")
}
