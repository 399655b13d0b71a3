// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms doctor`: a place for the command; it says that it is not built yet.

use clap::Args;

use super::app::App;
use super::failure::Failure;

/// Check an installation and say what to mend
#[derive(Args)]
#[command(after_help = "Example:\n  cms doctor")]
pub(crate) struct DoctorArgs {}

/// Refuses to run.
///
/// # Errors
/// Always.
pub(crate) async fn run(_args: DoctorArgs, _app: &App) -> Result<(), Failure> {
    Err(Failure::error("`cms doctor` is not built yet"))
}
