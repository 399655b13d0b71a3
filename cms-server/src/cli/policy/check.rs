// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy check`: whether local policies and data make a release, without a server.

use std::path::PathBuf;

use clap::Args;

use crate::cli::app::App;
use crate::cli::candidates;
use crate::cli::failure::Failure;
use crate::cli::offline;

/// Compile local policies and data together; the exit code is 2 when they do not
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy check policies/ data.json")]
pub(crate) struct CheckArgs {
    /// Files and directories with policies and data
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Compiles and shows what is wrong, each with its place in its file.
///
/// # Errors
/// Files that cannot be read, and without further words policies that do not compile.
pub(crate) fn run(args: &CheckArgs, app: &App) -> Result<(), Failure> {
    let found = candidates::collect(&args.paths)?;
    let faults = offline::snapshot(&found).err().unwrap_or_default();
    app.out.value(&offline::verdict(&faults), |_| String::new())?;
    if faults.is_empty() {
        app.out.say(&format!(
            "{} policies and {} data files compile",
            found.policies.len(),
            found.data.len()
        ));
        return Ok(());
    }
    candidates::show(app, &offline::places(&faults), &found);
    Err(Failure::negative())
}
