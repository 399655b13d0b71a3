// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms config`: the configs of services, as they are written and as they are read.

mod edit;
pub(crate) mod resolved;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::app::{App, ProjectArg};
use super::client::Call;
use super::document::{self, DocumentCommand, Kind, point};
use super::failure::Failure;
use super::input;
use super::route::Route;
use resolved::Reader;

const CONFIG: Kind = Kind { path: "configs", noun: "config", content_type: "text/plain" };

/// Store, layer, render, compare and watch the configs of services
#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    Delete(document::Delete),
    Diff(document::Diff),
    Edit(edit::Edit),
    #[command(visible_alias = "show")]
    Get(document::Get),
    List(document::List),
    Render(Render),
    Resolve(Resolve),
    Rollback(document::Rollback),
    #[command(visible_alias = "put")]
    Set(Set),
    Versions(document::Versions),
    Watch(watch::Watch),
}

/// Store a new version, from JSON, YAML or TOML
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms config set rag/retriever retriever.yaml --schema rag/retriever -p rag\n  \
    cms config set _environments/prod/rag/retriever prod.json -m \"more results\" -p rag"
)]
pub(crate) struct Set {
    /// Name of the config, or of one of its layers
    name: String,
    /// File with the text; `-` or nothing for standard input
    file: Option<PathBuf>,
    /// Schema to keep to from now on, by name; `""` for none
    #[arg(long)]
    schema: Option<String>,
    /// Why it changes
    #[arg(short, long)]
    message: Option<String>,
    /// Only if this is still the version
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
}

/// Print a config as it is read in an environment, secrets left as references
#[derive(Args)]
#[command(after_help = "Example:\n  cms config render rag/retriever -e prod --label region=eu -p rag")]
pub(crate) struct Render {
    /// Name of the config
    name: String,
    #[command(flatten)]
    reader: Reader,
}

/// Resolve a config with its secrets, layers and, on request, the origin of each value
#[derive(Args)]
#[command(after_help = "Example:\n  cms config resolve rag/retriever -e prod --provenance -o json -p rag")]
pub(crate) struct Resolve {
    /// Name of the config
    name: String,
    #[command(flatten)]
    reader: Reader,
    /// Tell which layer each value comes from
    #[arg(long)]
    provenance: bool,
}

/// Runs a command on configs.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: ConfigArgs, app: &App) -> Result<(), Failure> {
    let project = app.project(&args.project)?;
    let command = match args.command {
        ConfigCommand::Delete(args) => DocumentCommand::Delete(args),
        ConfigCommand::Diff(args) => DocumentCommand::Diff(args),
        ConfigCommand::Edit(args) => return edit::run(args, &project, app).await,
        ConfigCommand::Get(args) => DocumentCommand::Get(args),
        ConfigCommand::List(args) => DocumentCommand::List(args),
        ConfigCommand::Render(args) => return render(args, &project, app).await,
        ConfigCommand::Resolve(args) => return resolve(args, &project, app).await,
        ConfigCommand::Rollback(args) => DocumentCommand::Rollback(args),
        ConfigCommand::Set(args) => return set(args, &project, app).await,
        ConfigCommand::Versions(args) => DocumentCommand::Versions(args),
        ConfigCommand::Watch(args) => return watch::run(args, &project, app).await,
    };
    document::run(command, CONFIG, &project, app).await
}

async fn set(args: Set, project: &str, app: &App) -> Result<(), Failure> {
    let text = input::text_or_piped(args.file.as_deref())?;
    let call = Call::new(Method::PUT, route(project, &args.name)?)
        .body(CONFIG.content_type, text.clone())
        .query("schema", args.schema)
        .query("message", args.message)
        .if_match(args.if_match.as_ref());
    let answer = app.client()?.call(call).await;
    let answer = answer.map_err(|failure| point(app, failure, args.file.as_deref(), &args.name, &text))?;
    app.show(&answer, document::FIELDS)
}

async fn render(args: Render, project: &str, app: &App) -> Result<(), Failure> {
    let found = args.reader.resolve(app, project, &args.name, false, "keep").await?;
    let content = found.value.get("content").cloned().unwrap_or_default();
    app.out.value(&content, |content| serde_json::to_string_pretty(content).unwrap_or_default())
}

async fn resolve(args: Resolve, project: &str, app: &App) -> Result<(), Failure> {
    let found = args.reader.resolve(app, project, &args.name, args.provenance, "resolve").await?;
    app.out.data(&found.text, resolved::table)?;
    for left in found.value.get("unresolved").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let part =
            |key: &str| left.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        app.out.say(&format!(
            "{}: `{}` is not resolved: {}",
            part("pointer"),
            part("reference"),
            part("reason")
        ));
    }
    Ok(())
}

/// The way to a config's document.
pub(crate) fn route(project: &str, name: &str) -> Result<Route, Failure> {
    Route::project(project)?.fixed("configs").name(name)
}
