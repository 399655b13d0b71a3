// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms dev`: a place for the command; it says that it is not built yet.

use clap::Args;

use super::app::App;
use super::failure::Failure;

/// Start a server to try things out: embedded, on this machine only
#[derive(Args)]
#[command(after_help = "Example:\n  cms dev")]
pub(crate) struct DevArgs {}

/// Refuses to run.
///
/// # Errors
/// Always.
pub(crate) async fn run(_args: DevArgs, _app: &App) -> Result<(), Failure> {
    Err(Failure::error("`cms dev` is not built yet"))
}
