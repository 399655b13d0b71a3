// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy fmt`: writes policies in their one form.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use cms_core::documents::unified;
use cms_core::policies::engine::{Module, Options, format};

use crate::cli::app::App;
use crate::cli::candidates::{self, Candidate, Candidates};
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::offline;

/// Format policies in place; with `-`, from standard input to standard output
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy fmt policies/\n  cms policy fmt --check policies/\n  \
    cms policy fmt - < authz.rego\n\n\
    A file that does not parse is left as it is. With --check or --diff nothing is written, and the\n\
    exit code is 2 when a file is not in its form.")]
pub(crate) struct FmtArgs {
    /// Files and directories with policies
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// List the files that are not in their form
    #[arg(long)]
    check: bool,
    /// Show what would change
    #[arg(long)]
    diff: bool,
}

/// Formats policies.
///
/// # Errors
/// Files that cannot be read, parsed or written; without further words, with `--check` or `--diff`, files
/// that are not in their form.
pub(crate) fn run(args: &FmtArgs, app: &App) -> Result<(), Failure> {
    let piped = args.paths.iter().any(|path| path.as_os_str() == "-");
    let files = if piped { standard_input()? } else { candidates::collect(&args.paths)? };
    let mut changed = Vec::new();
    for file in &files.policies {
        let module = Module::new(file.name.as_str(), file.text.as_str());
        // The platform's own policies have the same form.
        let written = format(&module, &Options::platform(Default::default()))
            .map_err(|found| offline::rejected(app, &found, &files))?;
        if written != file.text {
            changed.push((file, written));
        } else if piped {
            app.out.exact(&written)?;
        }
    }
    for (file, written) in &changed {
        show(args, app, file, written, piped)?;
    }
    if (args.check || args.diff) && !changed.is_empty() { Err(Failure::negative()) } else { Ok(()) }
}

fn show(args: &FmtArgs, app: &App, file: &Candidate, written: &str, piped: bool) -> Result<(), Failure> {
    let name = file.path.display().to_string();
    if args.diff {
        return app.out.text(&unified(&file.text, written, &name, &name));
    }
    if args.check {
        return app.out.text(&name);
    }
    if piped {
        return app.out.exact(written);
    }
    fs::write(&file.path, written)
        .map_err(|error| Failure::error(format!("cannot write `{name}`: {error}")))?;
    app.out.text(&name)
}

fn standard_input() -> Result<Candidates, Failure> {
    let text = input::text_or_piped(None)?;
    let file = Candidate { name: "input".to_owned(), path: PathBuf::from("standard input"), text };
    Ok(Candidates { policies: vec![file], data: Vec::new() })
}
