// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only module that writes to the terminal: data to standard output, words to standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::failure::Failure;

/// The form in which data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables and plain texts for people.
    Table,
    /// The server's JSON, unchanged but for white space.
    Json,
    /// The same as YAML.
    Yaml,
}

/// What `--output` names: a format, or for commands that write a file, the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output in this format.
    Format(Format),
    /// A file.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "table" | "" => Self::Format(Format::Table),
            "json" => Self::Format(Format::Json),
            "yaml" | "yml" => Self::Format(Format::Yaml),
            other => Self::File(PathBuf::from(other)),
        })
    }
}

impl Target {
    /// Gives the format, for a command that writes no file.
    ///
    /// # Errors
    /// A usage error when the user named something that is no format.
    pub(crate) fn format(&self) -> Result<Format, Failure> {
        match self {
            Self::Format(format) => Ok(*format),
            Self::File(other) => Err(Failure::usage(format!(
                "`{}` is no output format; use `table`, `json` or `yaml`",
                other.display()
            ))),
        }
    }

    /// Gives the file, for a command that writes one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Format(_) => None,
            Self::File(path) => Some(path).filter(|path| path.as_os_str() != "-").map(PathBuf::as_path),
        }
    }
}

/// Writes data and words in the way the user asked for.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    quiet: bool,
    styled: bool,
}

impl Output {
    /// Makes an output; colours and progress need a terminal and no `NO_COLOR`.
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { format, quiet, styled: io::stderr().is_terminal() && !plain }
    }

    /// Writes a JSON text as it came (`json`), as YAML, or as whatever `table` makes of it.
    pub(crate) fn data(&self, json: &str, table: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.text(&indented(json)),
            Format::Yaml => self.text(&yaml(&parsed(json)?)?),
            Format::Table => self.text(&table(&parsed(json)?)),
        }
    }

    /// Writes a value that this program made itself, in the same three ways.
    pub(crate) fn value(&self, value: &Value, table: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        self.data(&value.to_string(), table)
    }

    /// Writes a text to standard output and ends it with a line break if it has none; nothing for nothing.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let ending = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.bytes(text.as_bytes())?;
        self.bytes(ending.as_bytes())
    }

    /// Writes a value exactly; a terminal gets a line break after it, a pipe or a file does not.
    pub(crate) fn exact(&self, text: &str) -> Result<(), Failure> {
        if io::stdout().is_terminal() { self.text(text) } else { self.bytes(text.as_bytes()) }
    }

    /// Writes bytes to standard output.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Says something to the user on standard error, unless `--quiet`.
    pub(crate) fn say(&self, words: &str) {
        if !self.quiet && !words.is_empty() {
            write_error(words);
        }
    }

    /// Says something that belongs to an error, `--quiet` or not.
    pub(crate) fn always(&self, words: &str) {
        write_error(words);
    }

    /// Reports a failure on standard error, `--quiet` or not.
    pub(crate) fn fail(&self, failure: &Failure) {
        if !failure.is_silent() {
            write_error(&failure.to_string());
        }
    }

    /// Tells whether standard error may carry colours.
    pub(crate) fn is_styled(&self) -> bool {
        self.styled
    }

    /// Starts a progress bar of known length; it stays hidden as [`Output::progress`] does.
    pub(crate) fn bar(&self, doing: &str, length: u64) -> ProgressBar {
        if self.quiet || !self.styled {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length).with_message(doing.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar
    }

    /// Starts a progress indicator; it stays hidden without a terminal or with `--quiet`.
    pub(crate) fn progress(&self, doing: &str) -> ProgressBar {
        if self.quiet || !self.styled {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(doing.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bytes} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// Tells whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

// Nobody is left to be told when standard error itself is closed.
fn write_error(words: &str) {
    let _closed = writeln!(io::stderr().lock(), "{words}");
}

fn parsed(json: &str) -> Result<Value, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::error(format!("the server sent malformed JSON: {error}")))
}

/// Writes a value as YAML.
pub(crate) fn yaml(value: &Value) -> Result<String, Failure> {
    yaml_serde::to_string(value).map_err(|error| Failure::error(format!("cannot write YAML: {error}")))
}

/// Indents a JSON text without touching its numbers, strings or order of keys.
pub(crate) fn indented(json: &str) -> String {
    let mut indenter = Indenter { out: String::with_capacity(json.len() * 2), ..Indenter::default() };
    json.chars().for_each(|c| indenter.push(c));
    indenter.out
}

#[derive(Default)]
struct Indenter {
    out: String,
    depth: usize,
    in_string: bool,
    escaped: bool,
    opened: bool,
}

impl Indenter {
    fn push(&mut self, c: char) {
        if self.in_string {
            self.in_string = self.escaped || c != '"';
            self.escaped = !self.escaped && c == '\\';
            self.out.push(c);
        } else if !c.is_ascii_whitespace() {
            self.token(c);
        }
    }

    fn token(&mut self, c: char) {
        match c {
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if !std::mem::take(&mut self.opened) {
                    self.line();
                }
                self.out.push(c);
            }
            ',' => {
                self.out.push(c);
                self.line();
            }
            ':' => self.out.push_str(": "),
            _ => self.start(c),
        }
    }

    fn start(&mut self, c: char) {
        if std::mem::take(&mut self.opened) {
            self.line();
        }
        self.out.push(c);
        self.in_string = c == '"';
        if c == '{' || c == '[' {
            self.depth += 1;
            self.opened = true;
        }
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_numbers_and_strings() {
        let json =
            r#"{"z":1.50,"a":[],"big":12345678901234567890123,"s":"a\"{,:}\\","o":{},"l":[1,{"x":null}]}"#;
        let expected = concat!(
            "{\n  \"z\": 1.50,\n  \"a\": [],\n  \"big\": 12345678901234567890123,\n  \"s\": \"a\\\"{,:}\\\\\",\n",
            "  \"o\": {},\n  \"l\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}"
        );
        assert_eq!(indented(json), expected);
        assert_eq!(indented(expected), expected, "indenting is idempotent");
    }

    #[test]
    fn output_names_a_format_or_a_file() {
        let parse = |text: &str| text.parse::<Target>().unwrap();
        assert_eq!(parse("json").format().unwrap(), Format::Json);
        assert_eq!(parse("").format().unwrap(), Format::Table);
        assert_eq!(parse("out.jsonl").file(), Some(Path::new("out.jsonl")));
        assert_eq!(parse("-").file(), None);
        let refused = parse("jsno").format().unwrap_err().to_string();
        assert!(refused.contains("`jsno`") && refused.contains("yaml"), "{refused}");
    }

    #[test]
    fn yaml_is_the_same_value() {
        let text = yaml(&serde_json::json!({"a": [1, "true"]})).unwrap();
        assert_eq!(yaml_serde::from_str::<Value>(&text).unwrap(), serde_json::json!({"a": [1, "true"]}));
    }
}
