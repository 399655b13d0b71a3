// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what the user gives: files, standard input, prompts. Never asks when nobody can answer.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;

use super::failure::Failure;

/// Where answers to questions come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    interactive: bool,
}

impl Input {
    /// Makes an input that asks only if `--no-input` is absent and a person sits at the terminal.
    pub(crate) fn new(no_input: bool) -> Self {
        Self { interactive: !no_input && io::stdin().is_terminal() && io::stderr().is_terminal() }
    }

    /// Asks for a line of text.
    pub(crate) fn line(self, question: &str, instead: &str) -> Result<String, Failure> {
        self.may_ask(question, instead)?;
        write!(io::stderr(), "{question}: ")?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Asks for a secret without showing it.
    pub(crate) fn secret(self, question: &str, instead: &str) -> Result<String, Failure> {
        self.may_ask(question, instead)?;
        Ok(rpassword::prompt_password(format!("{question}: "))?)
    }

    /// Asks for a new password twice.
    pub(crate) fn new_password(self) -> Result<String, Failure> {
        let first = self.secret("New password", "--password-stdin")?;
        if self.secret("Again", "--password-stdin")? == first {
            return Ok(first);
        }
        Err(Failure::usage("the two passwords differ; nothing was changed"))
    }

    /// Has the user type `name` before something irreversible; `--yes` skips the question.
    pub(crate) fn confirm(self, yes: bool, warning: &str, name: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        let typed = self.line(&format!("{warning}\nType `{name}` to go on"), "--yes")?;
        if typed == name { Ok(()) } else { Err(Failure::usage("not confirmed; nothing was changed")) }
    }

    fn may_ask(self, question: &str, instead: &str) -> Result<(), Failure> {
        if self.interactive {
            return Ok(());
        }
        let first = question.lines().next_back().unwrap_or(question);
        Err(Failure::usage(format!("cannot ask for “{first}” without a terminal; use `{instead}`")))
    }
}

/// Reads a password or token from standard input: everything but one line break at the end.
pub(crate) fn secret_from_stdin() -> Result<String, Failure> {
    let text = stdin_text()?;
    let text = without_line_break(&text);
    if text.is_empty() {
        return Err(Failure::usage("standard input was empty; pipe the value in"));
    }
    Ok(text.to_owned())
}

/// Removes one line break from the end, as `echo` and editors add it.
pub(crate) fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    // A carriage return alone belongs to a line break of another system.
    text.strip_suffix('\r').unwrap_or(text)
}

/// Reads a text file; `-` is standard input.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return stdin_text();
    }
    std::fs::read_to_string(path)
        .map_err(|error| Failure::error(format!("cannot read `{}`: {error}", path.display())))
}

/// Reads a text file, or standard input if none is named and something is piped in.
pub(crate) fn text_or_piped(path: Option<&Path>) -> Result<String, Failure> {
    match path {
        Some(path) => text(path),
        None if io::stdin().is_terminal() => Err(Failure::usage("name a FILE, or `-` and pipe the text in")),
        None => stdin_text(),
    }
}

/// Checks that a text is JSON and keeps it as it is, numbers included.
pub(crate) fn parse_raw(text: &str, origin: &str) -> Result<Box<RawValue>, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::usage(format!("`{origin}` is not JSON: {error}")))
}

/// Parses a span of time such as `90d`, `24h`, `30m`, `45s` or plain seconds.
///
/// # Errors
/// A sentence for clap when the text is no such span.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits) {
        Some("" | "s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 86_400,
        Some("w") => 604_800,
        _ => 0,
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds =
        seconds.filter(|_| unit > 0).ok_or("expected a span of time such as `90d`, `24h`, `30m` or `45s`")?;
    Ok(Duration::from_secs(seconds))
}

fn stdin_text() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Failure::error(format!("cannot read standard input: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_units() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(duration("15"), Ok(Duration::from_secs(15)));
        for wrong in ["", "d", "1y", "-1h", "1.5h", "99999999999999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_one_line_break_is_removed() {
        assert_eq!(without_line_break("a\n\n"), "a\n");
        assert_eq!(without_line_break("a\r\n"), "a");
        assert_eq!(without_line_break(" a "), " a ");
    }

    #[test]
    fn nobody_is_asked_without_a_terminal() {
        let refused = Input::new(true).secret("Password", "--password-stdin").unwrap_err().to_string();
        assert!(refused.contains("--password-stdin"), "{refused}");
        assert!(Input::new(true).confirm(true, "gone for good", "rag").is_ok());
        assert!(Input::new(true).confirm(false, "gone for good", "rag").is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let refused = text(Path::new("/nonexistent/x.rego")).unwrap_err().to_string();
        assert!(refused.contains("/nonexistent/x.rego"), "{refused}");
    }
}
