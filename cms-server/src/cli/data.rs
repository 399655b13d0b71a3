// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms data`: the JSON documents that policies read.

use clap::Args;

use super::app::{App, ProjectArg};
use super::document::{self, DocumentCommand, Kind};
use super::failure::Failure;

const DATA: Kind = Kind { path: "data", noun: "data document", content_type: "application/json" };

/// Store, show and compare the JSON that policies read
#[derive(Args)]
pub(crate) struct DataArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(subcommand)]
    command: DocumentCommand,
}

/// Runs a command on data documents.
///
/// # Errors
/// The server's refusal, or a failure to reach it.
pub(crate) async fn run(args: DataArgs, app: &App) -> Result<(), Failure> {
    document::run(args.command, DATA, &app.project(&args.project)?, app).await
}
