// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fields of a secret, read from everywhere but the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::failure::Failure;
use super::input::{self, Input};

/// The fields of a secret, with values exactly as they were given.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// Where the value of one field comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Stdin,
    File(PathBuf),
    Prompt,
}

/// Reads the values of the named fields; without any, asks for names and values.
///
/// # Errors
/// A usage error when a value stands on the command line, or nobody can be asked.
pub(crate) fn gather(specs: &[String], asking: Input) -> Result<Fields, Failure> {
    if specs.is_empty() {
        return ask_all(asking);
    }
    let sources = specs.iter().map(|spec| parse(spec)).collect::<Result<Vec<_>, _>>()?;
    if sources.iter().filter(|(_, source)| *source == Source::Stdin).count() > 1 {
        return Err(Failure::usage("only one field can be read from standard input"));
    }
    let mut data = Fields::new();
    for (name, source) in sources {
        let value = quoted(&read(name, &source, asking)?)?;
        if data.insert(name.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("the field `{name}` is given twice")));
        }
    }
    Ok(data)
}

/// Checks how fields are given, before anything is asked or sent.
///
/// # Errors
/// A usage error when a value stands on the command line.
pub(crate) fn check(specs: &[String]) -> Result<(), Failure> {
    specs.iter().try_for_each(|spec| parse(spec).map(|_| ()))
}

/// Reads all fields from a JSON object.
///
/// # Errors
/// A usage error when the file is not a JSON object; its content is not quoted.
pub(crate) fn from_json(path: &Path) -> Result<Fields, Failure> {
    let wrong = || Failure::usage(format!("`{}` is not a JSON object of fields", path.display()));
    serde_json::from_str(&input::text(path)?).map_err(|_quoting| wrong())
}

/// Parses `KEY=TEXT` pairs of metadata, which is not secret.
///
/// # Errors
/// A usage error when a pair has no `=`.
pub(crate) fn metadata(pairs: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let parsed = pairs.iter().map(|pair| {
        let (key, text) =
            pair.split_once('=').ok_or_else(|| Failure::usage("metadata is written KEY=TEXT"))?;
        Ok((key.to_owned(), text.to_owned()))
    });
    parsed.collect()
}

/// Shows a value in a table: as it is, or as JSON when it would not fit on one line.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.chars().any(char::is_control) => text.clone(),
        other => other.to_string(),
    }
}

fn parse(spec: &str) -> Result<(&str, Source), Failure> {
    let (name, source) = match spec.split_once('=') {
        None => (spec, Source::Prompt),
        Some((name, "-")) => (name, Source::Stdin),
        Some((name, source)) => match source.strip_prefix('@') {
            Some(file) if !file.is_empty() => (name, Source::File(PathBuf::from(file))),
            _ => return Err(on_the_command_line(name)),
        },
    };
    if name.is_empty() { Err(Failure::usage("a field needs a name")) } else { Ok((name, source)) }
}

// The value itself is not repeated: it would land in terminals and CI logs.
fn on_the_command_line(name: &str) -> Failure {
    Failure::usage(format!(
        "the value of `{name}` stands on the command line, where other users, shell history and logs can see it"
    ))
    .hint(format!("use `{name}` to be asked, `{name}=-` for standard input, or `{name}=@FILE`"))
}

fn read(name: &str, source: &Source, asking: Input) -> Result<String, Failure> {
    match source {
        Source::Stdin => input::secret_from_stdin(),
        Source::File(path) => input::text(path),
        Source::Prompt => asking.secret(&format!("Value of `{name}`"), &format!("{name}=-")),
    }
}

fn quoted(text: &str) -> Result<Box<RawValue>, Failure> {
    to_raw_value(text).map_err(|error| Failure::error(error.to_string()))
}

fn ask_all(asking: Input) -> Result<Fields, Failure> {
    let mut data = Fields::new();
    loop {
        let name = asking.line("Field (empty to finish)", "FIELD=-")?;
        if name.is_empty() && data.is_empty() {
            return Err(Failure::usage("a secret needs at least one field"));
        }
        if name.is_empty() {
            return Ok(data);
        }
        let value = asking.secret(&format!("Value of `{name}`"), "FIELD=-")?;
        data.insert(name, quoted(&value)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        for spec in ["password=hunter2", "password=hunter2=", "password=@", "password="] {
            let words = gather(&[spec.to_owned()], Input::new(true)).unwrap_err().to_string();
            assert!(words.contains("`password`") && !words.contains("hunter2"), "{words}");
        }
    }

    #[test]
    fn files_are_read_as_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "line\n").unwrap();
        let data = gather(&[format!("pem=@{}", file.path().display())], Input::new(true)).unwrap();
        assert_eq!(serde_json::to_string(&data).unwrap(), r#"{"pem":"line\n"}"#);
    }

    #[test]
    fn fields_are_given_once_and_standard_input_is_read_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let spec = format!("a=@{}", file.path().display());
        assert!(gather(&[spec.clone(), spec], Input::new(true)).is_err());
        assert!(gather(&["a=-".into(), "b=-".into()], Input::new(true)).is_err());
    }

    #[test]
    fn a_prompt_without_a_terminal_says_what_to_use() {
        let words = gather(&["token".to_owned()], Input::new(true)).unwrap_err().to_string();
        assert!(words.contains("token=-"), "{words}");
    }

    #[test]
    fn numbers_in_a_file_of_fields_stay_as_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"n": 12345678901234567890123, "f": 1.50}"#).unwrap();
        let data = serde_json::to_string(&from_json(file.path()).unwrap()).unwrap();
        assert_eq!(data, r#"{"f":1.50,"n":12345678901234567890123}"#);
    }

    #[test]
    fn a_broken_file_of_fields_is_not_quoted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        assert!(!from_json(file.path()).unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn values_of_several_lines_are_shown_as_json() {
        assert_eq!(shown(&Value::from("a\nb")), "\"a\\nb\"");
        assert_eq!(shown(&Value::from("plain")), "plain");
        assert_eq!(shown(&Value::from(1)), "1");
    }
}
