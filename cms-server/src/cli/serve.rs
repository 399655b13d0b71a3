// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms serve`: a place for the command; it says that it is not built yet.

use clap::Args;

use super::app::App;
use super::failure::Failure;

/// Run the server
#[derive(Args)]
#[command(after_help = "Example:\n  cms serve")]
pub(crate) struct ServeArgs {}

/// Refuses to run.
///
/// # Errors
/// Always.
pub(crate) async fn run(_args: ServeArgs, _app: &App) -> Result<(), Failure> {
    Err(Failure::error("`cms serve` is not built yet"))
}
