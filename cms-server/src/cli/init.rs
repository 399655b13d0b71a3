// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms init`: a place for the command; it says that it is not built yet.

use clap::Args;

use super::app::App;
use super::failure::Failure;

/// Make a new installation
#[derive(Args)]
#[command(after_help = "Example:\n  cms init")]
pub(crate) struct InitArgs {}

/// Refuses to run.
///
/// # Errors
/// Always.
pub(crate) async fn run(_args: InitArgs, _app: &App) -> Result<(), Failure> {
    Err(Failure::error("`cms init` is not built yet"))
}
