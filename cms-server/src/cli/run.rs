// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms run`: a program with configs and secrets in its environment. The program takes this process over,
//! so that signals and its exit code are its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::app::{App, ProjectArg};
use super::client::Call;
use super::config::resolved::{Reader, values};
use super::failure::Failure;
use super::route::Route;

/// Run a program with configs and secrets as environment variables
///
/// `database.port` becomes DATABASE_PORT; the fields of the secret `llm/openai` become LLM_OPENAI_…
#[derive(Args)]
#[command(
    after_help = "Example:\n  cms run --config rag/retriever --secret llm/openai -e prod -p rag -- uvicorn main:app"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(flatten)]
    reader: Reader,
    /// Config whose values become variables
    #[arg(long = "config", value_name = "NAME")]
    configs: Vec<String>,
    /// Secret whose fields become variables
    #[arg(long = "secret", value_name = "PATH")]
    secrets: Vec<String>,
    /// What the names of variables begin with
    #[arg(long, default_value = "")]
    prefix: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Reads what is named and becomes the program.
///
/// # Errors
/// The server's refusal; a usage error when two values want the same name; a program that cannot start.
pub(crate) async fn run(args: RunArgs, app: &App) -> Result<(), Failure> {
    if args.configs.is_empty() && args.secrets.is_empty() {
        return Err(Failure::usage("name what the program needs: `--config NAME`, `--secret PATH`"));
    }
    let project = app.project(&args.project)?;
    let mut variables = Variables { prefix: &args.prefix, found: BTreeMap::new() };
    for name in &args.configs {
        let found = args.reader.resolve(app, &project, name, false, "resolve").await?;
        refuse_unresolved(name, &found.value)?;
        for (key, value) in values(found.value.get("content").unwrap_or(&Value::Null)) {
            variables.add(&key, &value, name)?;
        }
    }
    for path in &args.secrets {
        let route = Route::project(&project)?.fixed("secrets").fixed("-").fixed("reveal").name(path)?;
        let body = json!({"reason": "cms run"});
        let found = app.client()?.call(Call::json(Method::POST, route, &body)).await?;
        for (field, value) in values(found.value.get("data").unwrap_or(&Value::Null)) {
            variables.add(&format!("{path}.{field}"), &value, path)?;
        }
    }
    let mut words = args.command.into_iter();
    let program = words.next().unwrap_or_default();
    let variables = variables.found.into_iter().map(|(name, (value, _))| (name, value));
    let error = Command::new(&program).args(words).envs(variables).exec();
    Err(Failure::error(format!("cannot run `{}`: {error}", program.display())))
}

/// A program must not start with references in the place of secrets.
fn refuse_unresolved(name: &str, resolved: &Value) -> Result<(), Failure> {
    let left = resolved.get("unresolved").and_then(Value::as_array).and_then(|left| left.first());
    let Some(left) = left else { return Ok(()) };
    let part = |key: &str| left.get(key).and_then(Value::as_str).unwrap_or_default();
    let text = format!("the config `{name}` refers to `{}`: {}", part("reference"), part("reason"));
    Err(Failure::error(text).hint("use a key that may read the secret"))
}

/// What the program is given, and where each value comes from.
struct Variables<'a> {
    prefix: &'a str,
    found: BTreeMap<String, (String, String)>,
}

impl Variables<'_> {
    fn add(&mut self, key: &str, value: &Value, from: &str) -> Result<(), Failure> {
        let name = variable(self.prefix, key);
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if text.contains('\0') {
            return Err(Failure::error(format!(
                "`{key}` of `{from}` holds a zero byte, which no variable can"
            )));
        }
        match self.found.insert(name.clone(), (text, from.to_owned())) {
            None => Ok(()),
            Some((_, other)) => Err(Failure::usage(format!(
                "`{from}` and `{other}` both have a value for {name}; run them apart"
            ))),
        }
    }
}

/// The name of the variable for a key.
fn variable(prefix: &str, key: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' };
    let name: String = prefix.chars().chain(key.chars()).map(sign).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_names_of_variables() {
        assert_eq!(variable("", "database.max-connections"), "DATABASE_MAX_CONNECTIONS");
        assert_eq!(variable("app_", "llm/openai.key"), "APP_LLM_OPENAI_KEY");
        assert_eq!(variable("", "2fa"), "_2FA");
    }

    #[test]
    fn two_values_of_one_name_are_refused() {
        let mut variables = Variables { prefix: "", found: BTreeMap::new() };
        variables.add("a.b", &json!(1), "x").unwrap();
        assert!(variables.add("a-b", &json!(2), "y").unwrap_err().to_string().contains("A_B"));
    }
}
