// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms policy eval`: asks a rule, or any query, of local files or of a release on the server.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::app::{App, EnvironmentArg, ProjectArg};
use crate::cli::client::Call;
use crate::cli::decide::{self, Question};
use crate::cli::failure::Failure;
use crate::cli::offline;
use crate::cli::route::Route;

/// Evaluate a rule or a query: on the server, or with --local in this process
#[derive(Args)]
#[command(after_help = "Example:\n  cms policy eval rag/authz/allow -i input.json -p rag\n  \
    cms policy eval rag/authz/allow --input '{}' --local policies/ data.json --explain\n  \
    cms policy eval 'some user in data.users; user.admin' --local data.json")]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    environment: EnvironmentArg,
    #[command(flatten)]
    question: Question,
    /// Evaluate over these files and directories, policies and data, without a server
    #[arg(short, long, visible_alias = "data", value_name = "PATH", num_args = 1..)]
    local: Vec<PathBuf>,
    /// Exit with 2 unless the answer is yes; of a query, unless it can be satisfied
    #[arg(long)]
    fail: bool,
}

/// Asks and shows the answer.
///
/// # Errors
/// What keeps the answer from being found; with `--fail`, also an answer that is not yes.
pub(crate) async fn run(args: EvalArgs, project: &ProjectArg, app: &App) -> Result<(), Failure> {
    let fail = args.fail;
    let yes = match (is_rule(&args.question.path), args.local.is_empty()) {
        (true, false) => decide::show_one(app, &offline::evaluate(app, &args.local, &args.question)?)?,
        (false, false) => answers(app, &offline::query(app, &args.local, &args.question)?)?,
        (is_rule, true) => {
            let project = app.project(project)?;
            let environment = app.environment(&args.environment)?;
            match is_rule {
                true => {
                    let text = decide::ask(app, &project, args.question, false, environment).await?;
                    decide::show_one(app, &text)?
                }
                false => answers(app, &remote_query(args.question, &project, environment, app).await?)?,
            }
        }
    };
    if fail && !yes { Err(Failure::negative()) } else { Ok(()) }
}

/// Tells a path from a query: a path has no spaces, operators, calls or variables.
fn is_rule(text: &str) -> bool {
    let plain = !text.contains(|c: char| c.is_whitespace() || "()=<>{}:;|&+*!".contains(c));
    plain && !text.starts_with("input") && !text.replace("[\"", "").contains('[')
}

async fn remote_query(
    question: Question,
    project: &str,
    environment: Option<String>,
    app: &App,
) -> Result<String, Failure> {
    let environment = environment.unwrap_or_else(|| "default".to_owned());
    let route = Route::opa(project, &environment)?.fixed("v1").fixed("query");
    let mut body = json!({ "query": question.path });
    if let (Some(input), Value::Object(fields)) = (question.input()?, &mut body) {
        let input = serde_json::from_str(input.get()).map_err(|error| Failure::usage(error.to_string()))?;
        fields.insert("input".to_owned(), input);
    }
    let answer = app.client()?.call(Call::json(Method::POST, route, &body)).await?;
    Ok(answer.value.get("result").unwrap_or(&json!([])).to_string())
}

/// Shows the answers of a query, and tells whether there is one.
fn answers(app: &App, text: &str) -> Result<bool, Failure> {
    let found: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    app.out.data(text, |_| found.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))?;
    match found.len() {
        0 => app.out.say("undefined: nothing satisfies the query"),
        1 => app.out.say("1 answer"),
        count => app.out.say(&format!("{count} answers")),
    }
    Ok(!found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_queries() {
        for path in ["rag/authz/allow", "data.rag.authz.allow", "data.rag[\"v1.0\"].allow", "a/b-c"] {
            assert!(is_rule(path), "{path}");
        }
        for query in ["x := 1", "data.users[_]", "count(data.users)", "input.user", "data.a == 1"] {
            assert!(!is_rule(query), "{query}");
        }
    }
}
