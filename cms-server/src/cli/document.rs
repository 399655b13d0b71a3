// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `cms policy` and `cms data` have in common: versioned documents of one kind.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::app::App;
use super::caret;
use super::client::{Answer, Call, Client};
use super::failure::Failure;
use super::input;
use super::list::{self, PageArgs};
use super::route::Route;
use super::table::Column;

/// A kind of document, as the paths of the server and people name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The part of the path.
    pub(crate) path: &'static str,
    /// What one of them is called.
    pub(crate) noun: &'static str,
    /// The media type of its text.
    pub(crate) content_type: &'static str,
}

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("VERSION", "version"),
    ("HASH", "hash"),
    ("AUTHOR", "author"),
    ("CREATED", "created_at"),
];

const VERSIONS: &[Column] = &[
    ("VERSION", "version"),
    ("HASH", "hash"),
    ("AUTHOR", "author"),
    ("CREATED", "created_at"),
    ("DELETED", "deleted"),
    ("MESSAGE", "message"),
];

/// What is shown of a version.
pub(crate) const FIELDS: &[Column] = &[
    ("name", "name"),
    ("version", "version"),
    ("hash", "hash"),
    ("author", "author"),
    ("created", "created_at"),
    ("schema", "schema"),
    ("message", "message"),
    ("release", "release/id|release"),
];

#[derive(Subcommand)]
pub(crate) enum DocumentCommand {
    Delete(Delete),
    Diff(Diff),
    #[command(visible_alias = "show")]
    Get(Get),
    List(List),
    Put(Put),
    Rollback(Rollback),
    Versions(Versions),
}

/// Store a new version
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy put rag/authz authz.rego -p rag -m \"let editors read\"\n  \
    cms data put rag/roles roles.json -p rag")]
pub(crate) struct Put {
    /// Name of the document
    name: String,
    /// File with the text; `-` or nothing for standard input
    file: Option<PathBuf>,
    /// Why it changes
    #[arg(short, long)]
    message: Option<String>,
    /// Only if this is still the version
    #[arg(long, value_name = "VERSION", conflicts_with = "create_only")]
    if_match: Option<String>,
    /// Only if it does not exist yet
    #[arg(long)]
    create_only: bool,
}

/// Print the text of a document
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy get rag/authz --version 3 -p rag > authz.rego\n  \
    cms data get rag/roles -p rag -o json")]
pub(crate) struct Get {
    /// Name of the document
    name: String,
    /// An earlier version
    #[arg(long)]
    version: Option<u64>,
}

/// List documents
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy list --prefix rag/ -p rag\n  cms data list -p rag")]
pub(crate) struct List {
    /// Only names that start so
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Delete a document; its history stays
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy delete rag/old -p rag\n  cms data delete rag/old -p rag")]
pub(crate) struct Delete {
    /// Name of the document
    name: String,
    /// Only if this is still the version
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
    /// Why it goes
    #[arg(short, long)]
    message: Option<String>,
}

/// List the versions of a document
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms policy versions rag/authz -p rag\n  cms data versions rag/roles -p rag"
)]
pub(crate) struct Versions {
    /// Name of the document
    name: String,
    #[command(flatten)]
    page: PageArgs,
}

/// Show what changed between two versions, or between the stored text and a local file
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy diff rag/authz --from 2 --to 3 -p rag\n  \
    cms policy diff rag/authz authz.rego --exit-code -p rag")]
pub(crate) struct Diff {
    /// Name of the document
    name: String,
    /// Compare the stored text with this file
    #[arg(conflicts_with_all = ["from", "to"])]
    file: Option<PathBuf>,
    /// The older version; else the one before `--to`
    #[arg(long)]
    from: Option<u64>,
    /// The newer version; else the current one
    #[arg(long)]
    to: Option<u64>,
    /// Exit with 2 if there is a difference
    #[arg(long)]
    exit_code: bool,
}

/// Store the text of an earlier version as a new one
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy rollback rag/authz --to 2 -p rag\n  \
    cms data rollback rag/roles 2 -p rag")]
pub(crate) struct Rollback {
    /// Name of the document
    name: String,
    /// The version to go back to
    #[arg(required_unless_present = "to", conflicts_with = "to")]
    version: Option<u64>,
    /// The same as VERSION
    #[arg(long, visible_alias = "version", value_name = "VERSION")]
    to: Option<u64>,
    /// Why
    #[arg(short, long)]
    message: Option<String>,
}

/// Runs a command on the documents of one kind.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(
    command: DocumentCommand,
    kind: Kind,
    project: &str,
    app: &App,
) -> Result<(), Failure> {
    let documents =
        Documents { app, client: app.client()?, kind, route: Route::project(project)?.fixed(kind.path) };
    match command {
        DocumentCommand::Delete(args) => documents.delete(args).await,
        DocumentCommand::Diff(args) => documents.diff(args).await,
        DocumentCommand::Get(args) => documents.show(args).await,
        DocumentCommand::List(args) => {
            let call = Call::get(documents.route).query("prefix", args.prefix);
            list::list(app, &documents.client, call, &args.page, COLUMNS).await
        }
        DocumentCommand::Put(args) => documents.put(args).await,
        DocumentCommand::Rollback(args) => documents.rollback(args).await,
        DocumentCommand::Versions(args) => {
            let call = Call::get(documents.view("versions", &args.name)?);
            list::list(app, &documents.client, call, &args.page, VERSIONS).await
        }
    }
}

struct Documents<'a> {
    app: &'a App,
    client: Client,
    kind: Kind,
    route: Route,
}

impl Documents<'_> {
    fn named(&self, name: &str) -> Result<Route, Failure> {
        self.route.clone().name(name)
    }

    fn view(&self, view: &str, name: &str) -> Result<Route, Failure> {
        self.route.clone().fixed("-").fixed(view).name(name)
    }

    async fn put(&self, args: Put) -> Result<(), Failure> {
        let route = self.named(&args.name)?;
        let text = input::text_or_piped(args.file.as_deref())?;
        let call = Call::new(Method::PUT, route)
            .body(self.kind.content_type, text.clone())
            .query("message", args.message)
            .header("If-None-Match", args.create_only.then_some("*"))
            .if_match(args.if_match.as_ref());
        let answer = self
            .client
            .call(call)
            .await
            .map_err(|failure| point(self.app, failure, args.file.as_deref(), &args.name, &text))?;
        self.app.show(&answer, FIELDS)
    }

    async fn show(&self, args: Get) -> Result<(), Failure> {
        let answer = self.read(&args.name, args.version).await?;
        self.app.out.data(&answer.text, content)
    }

    async fn read(&self, name: &str, version: Option<u64>) -> Result<Answer, Failure> {
        self.client.call(Call::get(self.named(name)?).query("version", version)).await
    }

    async fn delete(&self, args: Delete) -> Result<(), Failure> {
        let call = Call::new(Method::DELETE, self.named(&args.name)?).query("message", args.message);
        let answer = self.client.call(call.if_match(args.if_match.as_ref())).await?;
        self.app.show(&answer, FIELDS)?;
        self.app
            .out
            .say(&format!("{} `{}` is deleted; `rollback` brings it back", self.kind.noun, args.name));
        Ok(())
    }

    async fn diff(&self, args: Diff) -> Result<(), Failure> {
        let (answer, differs) = match &args.file {
            Some(file) => self.local_diff(&args.name, file).await?,
            None => self.stored_diff(&args).await?,
        };
        self.app.out.data(&answer, |value| text_of(value, "diff"))?;
        if differs && args.exit_code { Err(Failure::negative()) } else { Ok(()) }
    }

    async fn local_diff(&self, name: &str, file: &Path) -> Result<(String, bool), Failure> {
        let stored = content(&self.read(name, None).await?.value);
        let local = input::text(file)?;
        let diff = cms_core::documents::unified(&stored, &local, name, &file.display().to_string());
        Ok((json!({ "diff": diff }).to_string(), !diff.is_empty()))
    }

    async fn stored_diff(&self, args: &Diff) -> Result<(String, bool), Failure> {
        let call = Call::get(self.view("diff", &args.name)?).query("from", args.from).query("to", args.to);
        let answer = self.client.call(call).await?;
        // The diff may come as text or inside an object; both are shown alike.
        if answer.value.is_object() {
            let differs = !text_of(&answer.value, "diff").is_empty();
            return Ok((answer.text, differs));
        }
        Ok((json!({ "diff": answer.text }).to_string(), !answer.text.trim().is_empty()))
    }

    async fn rollback(&self, args: Rollback) -> Result<(), Failure> {
        let route = self.view("rollback", &args.name)?;
        let mut body = json!({ "version": args.version.or(args.to) });
        if let (Some(fields), Some(message)) = (body.as_object_mut(), args.message) {
            fields.insert("message".into(), json!(message));
        }
        let answer = self.client.call(Call::json(Method::POST, route, &body)).await?;
        self.app.show(&answer, FIELDS)
    }
}

/// Shows the places that a refusal names in the text that was sent, and returns what is left to say.
pub(crate) fn point(app: &App, failure: Failure, file: Option<&Path>, name: &str, text: &str) -> Failure {
    let places = failure.problem().map(|problem| problem.errors.clone()).unwrap_or_default();
    let own = |path: &Option<String>| path.as_deref().is_none_or(|path| path == name);
    if places.is_empty() || !places.iter().any(|place| place.line.is_some() && own(&place.path)) {
        return failure;
    }
    let origin = file.map_or_else(|| name.to_owned(), |file| file.display().to_string());
    app.out.always(&caret::render(&origin, text, &places, app.out.is_styled()));
    failure.without_places()
}

fn content(value: &Value) -> String {
    text_of(value, "content")
}

fn text_of(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}
