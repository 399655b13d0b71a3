// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms schema`: the JSON Schemas that configs keep to, and a check of files without a server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use cms_core::configs::check_file;
use serde_json::json;

use super::app::{App, ProjectArg};
use super::document::{self, DocumentCommand, Kind};
use super::failure::Failure;
use super::input;

const SCHEMA: Kind = Kind { path: "schemas", noun: "schema", content_type: "text/plain" };

/// Store, show and compare the schemas of configs, and check files with them
#[derive(Args)]
pub(crate) struct SchemaArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Subcommand)]
enum SchemaCommand {
    Check(Check),
    #[command(flatten)]
    Document(DocumentCommand),
}

/// Check a schema, and configs with it, without a server
///
/// Templates and references stand as they are written.
#[derive(Args)]
#[command(after_help = "Example:\n  cms schema check retriever.schema.json retriever.yaml prod.json")]
pub(crate) struct Check {
    /// File with the schema
    schema: PathBuf,
    /// Files with configs
    configs: Vec<PathBuf>,
}

/// Runs a command on schemas.
///
/// # Errors
/// The server's refusal, or a failure to reach it; the negative answer of a check.
pub(crate) async fn run(args: SchemaArgs, app: &App) -> Result<(), Failure> {
    match args.command {
        SchemaCommand::Check(args) => check(&args, app),
        SchemaCommand::Document(command) => {
            document::run(command, SCHEMA, &app.project(&args.project)?, app).await
        }
    }
}

fn check(args: &Check, app: &App) -> Result<(), Failure> {
    let schema = input::text(&args.schema)?;
    let mut found = BTreeMap::new();
    let mut look = |file: &PathBuf, config: Option<&str>| {
        let places = check_file(&schema, config);
        let told = places.into_iter().map(|place| match place.path.filter(|path| !path.is_empty()) {
            Some(path) => format!("{path}: {}", place.message),
            None => place.message,
        });
        found.insert(file.display().to_string(), told.collect::<Vec<String>>());
    };
    look(&args.schema, None);
    for file in &args.configs {
        look(file, Some(&input::text(file)?));
    }
    let is_clean = found.values().all(Vec::is_empty);
    let lines =
        found.iter().flat_map(|(file, places)| places.iter().map(move |place| format!("{file}: {place}")));
    let text = lines.collect::<Vec<_>>().join("\n");
    app.out.value(&json!({"ok": is_clean, "errors": found}), |_| text)?;
    if is_clean { Ok(()) } else { Err(Failure::negative()) }
}
