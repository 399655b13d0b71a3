// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms release`: immutable manifests of a project's documents.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, ProjectArg};
use super::client::{Call, Client};
use super::failure::Failure;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("DOCUMENTS", "document_count"),
    ("AUTHOR", "author"),
    ("CREATED", "created_at"),
    ("MESSAGE", "message"),
];

const FIELDS: &[Column] =
    &[("id", "id"), ("author", "author"), ("created", "created_at"), ("message", "message")];

const DOCUMENTS: &[Column] = &[("KIND", "kind"), ("NAME", "name"), ("VERSION", "version"), ("HASH", "hash")];

const CHANGES: &[Column] = &[
    ("CHANGE", "change"),
    ("KIND", "kind"),
    ("NAME", "name"),
    ("FROM", "from_version"),
    ("TO", "to_version"),
];

/// Make, show and compare releases
#[derive(Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Subcommand)]
enum ReleaseCommand {
    Create(Create),
    Diff(Diff),
    #[command(visible_alias = "show")]
    Get(Get),
    List(List),
}

/// Make a release of the current documents; `cms env activate` puts it in force
#[derive(Args)]
#[command(after_help = "Example:\n  cms release create -m \"editors may read\" -p rag")]
struct Create {
    /// What it is about
    #[arg(short, long)]
    message: Option<String>,
}

/// Show what changed between two releases
#[derive(Args)]
#[command(after_help = "Example:\n  cms release diff 3f9c0a1 8be2d44 --exit-code -p rag")]
struct Diff {
    /// The older release
    from: String,
    /// The newer release
    to: String,
    /// Exit with 2 if there is a difference
    #[arg(long)]
    exit_code: bool,
}

/// Show a release and its documents
#[derive(Args)]
#[command(after_help = "Example:\n  cms release get 3f9c0a1 -p rag")]
struct Get {
    /// Id of the release
    id: String,
}

/// List releases, newest first
#[derive(Args)]
#[command(after_help = "Example:\n  cms release list --limit 10 -p rag")]
struct List {
    #[command(flatten)]
    page: PageArgs,
}

/// Runs a command on releases.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: ReleaseArgs, app: &App) -> Result<(), Failure> {
    let route = Route::project(&app.project(&args.project)?)?.fixed("releases");
    let client = app.client()?;
    match args.command {
        ReleaseCommand::Create(args) => create(args, app, &client, route).await,
        ReleaseCommand::Diff(args) => diff(args, app, &client, route).await,
        ReleaseCommand::Get(args) => {
            let answer = client.call(Call::get(route.id(&args.id)?)).await?;
            app.out.data(&answer.text, manifest)
        }
        ReleaseCommand::List(args) => list::list(app, &client, Call::get(route), &args.page, COLUMNS).await,
    }
}

async fn create(args: Create, app: &App, client: &Client, route: Route) -> Result<(), Failure> {
    let body = args.message.map_or_else(|| json!({}), |message| json!({ "message": message }));
    let answer = client.call(Call::json(Method::POST, route, &body)).await?;
    app.out.data(&answer.text, manifest)
}

async fn diff(args: Diff, app: &App, client: &Client, route: Route) -> Result<(), Failure> {
    let call =
        Call::get(route.fixed("-").fixed("diff")).query("from", Some(args.from)).query("to", Some(args.to));
    let answer = client.call(call).await?;
    app.out.data(&answer.text, changes)?;
    if args.exit_code && differs(&answer.value) { Err(Failure::negative()) } else { Ok(()) }
}

fn manifest(value: &Value) -> String {
    let head = table::fields(value, FIELDS);
    match value.get("documents").and_then(Value::as_array) {
        Some(documents) => format!("{head}\n\n{}", table::rows(documents, DOCUMENTS)),
        None => head,
    }
}

fn items(value: &Value) -> &[Value] {
    value.get("changes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

/// Lists what changed, and then how.
fn changes(value: &Value) -> String {
    let items = items(value);
    let diffs =
        items.iter().filter_map(|item| item.get("diff").and_then(Value::as_str)).map(table::printable);
    let parts = std::iter::once(table::rows(items, CHANGES)).chain(diffs.filter(|diff| !diff.is_empty()));
    parts.collect::<Vec<_>>().join("\n\n")
}

fn differs(value: &Value) -> bool {
    !items(value).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_lists_its_documents() {
        let text =
            manifest(&json!({"id": "r1", "documents": [{"kind": "policy", "name": "a", "version": 1}]}));
        assert!(text.starts_with("id  r1\n\nKIND"), "{text}");
    }

    #[test]
    fn a_difference_is_listed_and_shown() {
        let change = json!({"kind": "policy", "name": "a", "change": "changed", "from_version": 1, "diff": "-old\n+new"});
        let value = json!({ "changes": [change] });
        assert!(differs(&value) && !differs(&json!({"changes": []})));
        let text = changes(&value);
        assert!(text.contains("changed") && text.ends_with("-old\n+new"), "{text}");
    }
}
