// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy repl`: asks queries and defines rules, one line at a time. Keeps no history.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use cms_core::policies::engine::{Entered, Options, Session, from_json};

use crate::cli::app::App;
use crate::cli::candidates;
use crate::cli::failure::Failure;
use crate::cli::offline;
use crate::cli::table::printable;

const HELP: &str = "\
  QUERY              answer a query: data.rag.authz.allow, x := 1 + 2, some user in data.users
  NAME := TERM       define a rule; also: NAME if BODY, NAME contains TERM if BODY, import data.a
  :input JSON        set the input; without JSON, remove it
  :input @FILE       read the input from a file
  :explain RULE      tell why a rule comes out as it does: :explain data.rag.authz.allow
  :show              show what was defined here
  :drop              forget what was defined here
  :help              show this
  :quit              leave, as the end of the input does";

/// Ask queries and define rules interactively, over local policies and data
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy repl policies/ data.json\n  \
    echo 'data.rag.authz.allow' | cms policy repl policies/")]
pub(crate) struct ReplArgs {
    /// Files and directories with policies and data
    paths: Vec<PathBuf>,
}

/// Reads lines until the end of the input.
///
/// # Errors
/// Files that cannot be read or do not compile; standard output that is closed.
pub(crate) fn run(args: &ReplArgs, app: &App) -> Result<(), Failure> {
    let files = candidates::collect(&args.paths)?;
    let rejected = |found: Vec<_>| offline::rejected(app, &found, &files);
    let data = offline::data(&files).map_err(rejected)?;
    let session = Session::new(offline::modules(&files), data, Options::default());
    let mut session = session.map_err(rejected)?;
    let prompts = io::stdin().is_terminal();
    if prompts {
        app.out.say(":help tells what can be done");
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if prompts {
            io::stderr().write_all(b"> ")?;
        }
        let Some(line) = lines.next() else { return Ok(()) };
        match line?.trim() {
            "" => {}
            ":quit" | ":exit" => return Ok(()),
            ":help" => app.out.text(HELP)?,
            ":show" => app.out.text(session.definitions())?,
            ":drop" => session.forget(),
            line => answer(&mut session, line, app)?,
        }
    }
}

fn answer(session: &mut Session, line: &str, app: &App) -> Result<(), Failure> {
    if let Some(given) = line.strip_prefix(":input") {
        return match set_input(session, given.trim()) {
            Ok(()) => Ok(()),
            Err(words) => {
                app.out.always(&printable(&words));
                Ok(())
            }
        };
    }
    if let Some(path) = line.strip_prefix(":explain ") {
        let lines = session.explain(path.trim());
        return app.out.text(&lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n"));
    }
    if line.starts_with(':') {
        app.out.always(&format!("`{}` is no command; :help lists them", printable(line)));
        return Ok(());
    }
    match session.enter(line) {
        Ok(Entered::Defined(name)) => app.out.say(&format!("defined {}", printable(&name))),
        Ok(Entered::Answers(answers)) if answers.is_empty() => app.out.text("undefined")?,
        Ok(Entered::Answers(answers)) => app.out.text(&answers.join("\n"))?,
        Err(words) => app.out.always(&printable(&words)),
    }
    Ok(())
}

fn set_input(session: &mut Session, given: &str) -> Result<(), String> {
    let text = match given.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).map_err(|error| format!("cannot read `{file}`: {error}"))?
        }
        None => given.to_owned(),
    };
    let value = if text.is_empty() { None } else { Some(from_json(text.as_bytes(), 64)) };
    session.set_input(value.transpose().map_err(|error| error.to_string())?);
    Ok(())
}
