// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms verify`: a place for the command; it says that it is not built yet.

use clap::Args;

use super::app::App;
use super::failure::Failure;

/// Check that everything stored decrypts, re-hashes and agrees
#[derive(Args)]
#[command(after_help = "Example:\n  cms verify")]
pub(crate) struct VerifyArgs {}

/// Refuses to run.
///
/// # Errors
/// Always.
pub(crate) async fn run(_args: VerifyArgs, _app: &App) -> Result<(), Failure> {
    Err(Failure::error("`cms verify` is not built yet"))
}
