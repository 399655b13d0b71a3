// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms template`: texts that configs include, and what they come to in an environment.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::app::{App, EnvironmentArg, ProjectArg};
use super::client::Call;
use super::document::{self, DocumentCommand, Kind};
use super::failure::Failure;
use super::route::Route;

const TEMPLATE: Kind = Kind { path: "templates", noun: "template", content_type: "text/plain" };

/// Store, show, compare and render the templates of configs
#[derive(Args)]
pub(crate) struct TemplateArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Subcommand)]
enum TemplateCommand {
    #[command(flatten)]
    Document(DocumentCommand),
    Render(Render),
}

/// Print what a template comes to in an environment
#[derive(Args)]
#[command(after_help = "Example:\n  cms template render rag/url -e prod -p rag")]
pub(crate) struct Render {
    /// Name of the template
    name: String,
    #[command(flatten)]
    environment: EnvironmentArg,
}

/// Runs a command on templates.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: TemplateArgs, app: &App) -> Result<(), Failure> {
    let project = app.project(&args.project)?;
    match args.command {
        TemplateCommand::Document(command) => document::run(command, TEMPLATE, &project, app).await,
        TemplateCommand::Render(args) => {
            let route = Route::project(&project)?.fixed("templates").fixed("-").fixed("render");
            let call = Call::get(route.name(&args.name)?);
            let answer =
                app.client()?.call(call.query("environment", app.environment(&args.environment)?)).await?;
            let output =
                |value: &Value| value.get("output").and_then(Value::as_str).unwrap_or_default().to_owned();
            app.out.data(&answer.text, output)
        }
    }
}
