// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command reports when it does not succeed, and the exit codes that scripts can rely on.

use std::fmt;
use std::process::ExitCode;

use serde::Deserialize;

use super::table::printable;

/// The exit codes of `cms`, printed by `cms --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The reader of a pipe left; nothing is wrong.
    Done = 0,
    /// Anything that has no code of its own.
    Error = 1,
    /// The command line is wrong, or the answer to the question is no.
    Negative = 2,
    /// The thing does not exist, or the caller may not know of it.
    NotFound = 3,
    /// Not logged in, or not allowed.
    Denied = 4,
    /// A conflict, or a stale version.
    Conflict = 5,
    /// The server cannot be reached, is sealed, is busy, or lacks something that it needs.
    Unavailable = 6,
}

impl Exit {
    /// Maps the status of an HTTP answer to the exit code that it deserves.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            404 | 410 => Self::NotFound,
            401 | 403 => Self::Denied,
            409 | 412 => Self::Conflict,
            423 | 429 | 502..=504 => Self::Unavailable,
            _ => Self::Error,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not succeed: an exit code and the words for the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    hint: Option<String>,
    problem: Option<Box<Problem>>,
}

impl Failure {
    /// Makes a failure of the given kind.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, problem: None }
    }

    /// Makes a general error.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    /// Makes the error for a command line that cannot be obeyed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Negative, message)
    }

    /// Makes the outcome "no": the words were already said, only the exit code remains.
    pub(crate) fn negative() -> Self {
        Self::new(Exit::Negative, "")
    }

    /// Makes a failure from a refused request.
    pub(crate) fn refused(problem: Problem) -> Self {
        let mut failure = Self::new(Exit::of_status(problem.status), problem.summary());
        failure.problem = Some(Box::new(problem));
        failure
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds places in the input that could not be shown in another way.
    #[must_use]
    pub(crate) fn with_places(mut self, errors: Vec<Place>) -> Self {
        self.problem = Some(Box::new(Problem { errors, ..Problem::default() }));
        self
    }

    /// Hands out the server's problem document, for commands that can show more of it.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.problem.as_deref()
    }

    /// Drops the places of the problem, because the caller has shown them itself.
    #[must_use]
    pub(crate) fn without_places(mut self) -> Self {
        if let Some(problem) = &mut self.problem {
            problem.errors.clear();
            self.message = problem.summary();
        }
        self
    }

    /// Tells whether there is anything left to print.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for place in self.problem.iter().flat_map(|problem| &problem.errors) {
            write!(f, "\n  {place}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        match self.problem.as_deref().and_then(|problem| problem.request_id.as_deref()) {
            Some(id) => write!(f, "\nrequest: {}", printable(id)),
            None => Ok(()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::error(error.to_string())
    }
}

/// The part of an RFC 9457 problem document that the command line shows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    #[serde(skip)]
    pub(crate) status: u16,
    pub(crate) title: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) errors: Vec<Place>,
}

impl Problem {
    /// Reads the body of a refused request; a body that is no problem document is quoted shortly.
    pub(crate) fn read(status: u16, body: &str) -> Self {
        let parsed = serde_json::from_str::<Self>(body).ok();
        let known = parsed.filter(|problem| problem.title.is_some() || problem.detail.is_some());
        let mut problem =
            known.unwrap_or_else(|| Self { detail: Self::quoted(status, body), ..Self::default() });
        problem.status = status;
        problem
    }

    fn quoted(status: u16, body: &str) -> Option<String> {
        let start: String = body.trim().chars().take(200).collect();
        let is_text = !start.is_empty() && !start.starts_with('<');
        Some(if is_text {
            format!("the server answered HTTP {status}: {start}")
        } else {
            format!("the server answered HTTP {status}, and not in the way CMS does; check the address")
        })
    }

    fn summary(&self) -> String {
        let words = self.detail.as_deref().filter(|detail| !detail.is_empty()).or(self.title.as_deref());
        let words = printable(words.unwrap_or("the server refused the request"));
        match self.code.as_deref() {
            Some(code) => format!("{words} [{}, HTTP {}]", printable(code), self.status),
            None => words,
        }
    }
}

/// One place in the input that the server complains about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) path: Option<String>,
    pub(crate) line: Option<usize>,
    pub(crate) column: Option<usize>,
    pub(crate) message: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", printable(path))?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:{}: ", self.column.unwrap_or(1))?;
        }
        f.write_str(&printable(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_the_documented_exit_code() {
        let expected = [(400, 1), (401, 4), (403, 4), (404, 3), (409, 5), (412, 5), (413, 1), (422, 1)];
        let unavailable = [(423, 6), (429, 6), (500, 1), (503, 6)];
        for (status, code) in expected.into_iter().chain(unavailable) {
            assert_eq!(Exit::of_status(status) as u8, code, "status {status}");
        }
    }

    #[test]
    fn a_problem_is_told_with_its_code_places_and_request() {
        let body = r#"{"title":"Unprocessable","detail":"does not compile","code":"invalid-policy",
            "request_id":"r1","errors":[{"line":3,"column":7,"message":"unexpected `}`"}]}"#;
        let text = Failure::refused(Problem::read(422, body)).to_string();
        let expected =
            "error: does not compile [invalid-policy, HTTP 422]\n  3:7: unexpected `}`\nrequest: r1";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_foreign_error_page_is_not_dumped_on_the_user() {
        let text = Failure::refused(Problem::read(502, "<html>bad gateway</html>")).to_string();
        assert!(text.contains("HTTP 502") && !text.contains("<html>"), "{text}");
    }

    #[test]
    fn control_sequences_of_a_server_do_not_reach_the_terminal() {
        let text = Failure::refused(Problem::read(400, r#"{"detail":"a\u001b[31mb"}"#)).to_string();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(failure.is_silent());
        assert_eq!(failure.exit, Exit::Done);
    }
}
