// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms variable`: what templates can name, in an environment (`prod`) or in all of them (`base`).

use clap::Args;

use super::app::{App, ProjectArg};
use super::document::{self, DocumentCommand, Kind};
use super::failure::Failure;

const VARIABLE: Kind = Kind { path: "variables", noun: "set of variables", content_type: "text/plain" };

/// Store, show and compare the variables of an environment, or of all (`base`)
#[derive(Args)]
pub(crate) struct VariableArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: DocumentCommand,
}

/// Runs a command on variables.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: VariableArgs, app: &App) -> Result<(), Failure> {
    document::run(args.command, VARIABLE, &app.project(&args.project)?, app).await
}
