// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms completion`: scripts that complete commands and options in a shell.

use clap::Args;
use clap_complete::Shell;

use super::app::App;
use super::failure::Failure;

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Example:\n  source <(cms completion bash)")]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script.
///
/// # Errors
/// A failure to write.
pub(crate) fn run(args: &CompletionArgs, app: &App) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "cms", &mut script);
    app.out.bytes(&script)
}
