// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms decide`: asks a rule of a project's active release, for one input or many.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::app::{App, EnvironmentArg, ProjectArg};
use super::client::Call;
use super::failure::Failure;
use super::input;
use super::output::{Format, indented};
use super::route::Route;

/// Ask a policy: may this caller do this?
#[derive(Args)]
#[command(after_help = "Example:\n  cms decide rag/authz/allow --input '{\"user\": \"alice\"}' -p rag\n  \
    cms decide rag/authz/allow -i request.json --explain -p rag\n  \
    cms decide rag/authz/allow -i request.json --fail && deploy\n  \
    cms decide rag/authz/allow -i requests.json --batch -o json\n\n\
    The result goes to standard output, an explanation to standard error. With --fail the exit code is 2 unless the result is\n\
    true, or an object with `allow: true`.")]
pub(crate) struct DecideArgs {
    #[command(flatten)]
    project: ProjectArg,
    #[command(flatten)]
    environment: EnvironmentArg,
    #[command(flatten)]
    pub(crate) question: Question,
    /// The input is an array of inputs; all are answered from one release
    #[arg(long, conflicts_with = "explain")]
    batch: bool,
    /// Exit with 2 unless the answer is yes
    #[arg(long)]
    fail: bool,
}

/// A rule and the input for it.
#[derive(Args)]
pub(crate) struct Question {
    /// The rule, such as `rag/authz/allow` or `data.rag.authz.allow`
    pub(crate) path: String,
    /// File with the input; `-` for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "input")]
    input_file: Option<PathBuf>,
    /// The input itself
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Tell which rules were tried, and where and why they failed; takes the right to read policies and data
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Serialize)]
struct Ask<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    explain: bool,
}

#[derive(Deserialize)]
#[serde(default)]
struct Decision {
    result: Box<RawValue>,
    undefined: bool,
    hint: Option<String>,
    error: Option<String>,
    decision_id: Option<String>,
    release: Option<Value>,
    explanation: Option<Told>,
}

/// An explanation, as people read it.
#[derive(Deserialize)]
struct Told {
    text: Vec<String>,
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            result: RawValue::NULL.to_owned(),
            undefined: false,
            hint: None,
            error: None,
            decision_id: None,
            release: None,
            explanation: None,
        }
    }
}

#[derive(Deserialize)]
struct Batch {
    results: Vec<Box<RawValue>>,
}

/// Asks and shows the answer.
///
/// # Errors
/// The server's refusal; with `--fail`, also an answer that is not yes.
pub(crate) async fn run(args: DecideArgs, app: &App) -> Result<(), Failure> {
    let project = app.project(&args.project)?;
    let environment = app.environment(&args.environment)?;
    let text = ask(app, &project, args.question, args.batch, environment).await?;
    let yes = match args.batch {
        true => show_batch(app, &text)?,
        false => show_one(app, &text)?,
    };
    if args.fail && !yes { Err(Failure::negative()) } else { Ok(()) }
}

/// Asks the server and gives its answer as it came.
pub(crate) async fn ask(
    app: &App,
    project: &str,
    question: Question,
    batch: bool,
    environment: Option<String>,
) -> Result<String, Failure> {
    let given = question.input()?;
    let (input, inputs) = if batch { (None, given) } else { (given, None) };
    let asked = Ask { path: &question.path, input, inputs, environment, explain: question.explain };
    let body = serde_json::to_string(&asked).map_err(|error| Failure::error(error.to_string()))?;
    let route = Route::project(project)?.fixed("decisions");
    let route = if batch { route.fixed("-").fixed("batch") } else { route };
    let call = Call::new(Method::POST, route).body("application/json", body);
    Ok(app.client()?.call(call).await?.text)
}

impl Question {
    /// Reads the input without touching its numbers.
    ///
    /// # Errors
    /// A usage error when it cannot be read or is not JSON.
    pub(crate) fn input(&self) -> Result<Option<Box<RawValue>>, Failure> {
        let (text, origin) = match (&self.input_file, &self.input) {
            (Some(file), _) => {
                (input::text(file).map_err(|error| meant_inline(error, file))?, file.display().to_string())
            }
            (None, Some(text)) => (text.clone(), "--input".to_owned()),
            (None, None) => return Ok(None),
        };
        input::parse_raw(&text, &origin).map(Some)
    }
}

/// Tells who gave JSON in the place of a file what to write.
fn meant_inline(error: Failure, file: &std::path::Path) -> Failure {
    if file.to_string_lossy().starts_with(['{', '[', '"']) {
        return error.hint("`-i` names a file; `--input` takes the JSON itself");
    }
    error
}

/// Writes one decision and tells whether it is a yes.
pub(crate) fn show_one(app: &App, text: &str) -> Result<bool, Failure> {
    let decision: Decision = parse(text)?;
    if app.out.format != Format::Table {
        app.out.data(text, |_| String::new())?;
        return Ok(decision.is_yes());
    }
    app.out.text(&indented(decision.result.get()))?;
    app.out.say(&decision.words());
    for line in decision.explanation.iter().flat_map(|told| &told.text) {
        app.out.always(&super::table::printable(line));
    }
    Ok(decision.is_yes())
}

fn show_batch(app: &App, text: &str) -> Result<bool, Failure> {
    let batch: Batch = parse(text)?;
    let decisions =
        batch.results.iter().map(|item| Decision::in_batch(item)).collect::<Result<Vec<_>, _>>()?;
    app.out.data(text, |_| {
        decisions.iter().map(|decision| decision.result.get()).collect::<Vec<_>>().join("\n")
    })?;
    for (number, error) in
        decisions.iter().enumerate().filter_map(|(number, item)| Some((number, item.error.as_ref()?)))
    {
        app.out.say(&format!("input {number}: {}", super::table::printable(error)));
    }
    Ok(decisions.iter().all(Decision::is_yes))
}

impl Decision {
    // An item of a batch is a decision of its own, or the bare result.
    fn in_batch(item: &RawValue) -> Result<Self, Failure> {
        let value: Value = parse(item.get())?;
        let is_decision = value.get("result").is_some() || value.get("undefined").is_some();
        if is_decision { parse(item.get()) } else { Ok(Self { result: item.to_owned(), ..Self::default() }) }
    }

    fn is_yes(&self) -> bool {
        let result: Value = serde_json::from_str(self.result.get()).unwrap_or(Value::Null);
        !self.undefined && (result == Value::Bool(true) || result.get("allow") == Some(&Value::Bool(true)))
    }

    fn words(&self) -> String {
        let undefined = if self.undefined { "undefined: no rule gave a result" } else { "" };
        let release = self.release.as_ref().and_then(|release| release.get("id").unwrap_or(release).as_str());
        let origin = match (&self.decision_id, release) {
            (Some(id), Some(release)) => format!("decision {id}, release {release}"),
            (Some(id), None) => format!("decision {id}"),
            (None, _) => String::new(),
        };
        let hint = self.hint.as_ref().map(|rule| format!("the nearest rule that exists: {rule}"));
        let parts = [
            undefined,
            self.error.as_deref().unwrap_or_default(),
            hint.as_deref().unwrap_or_default(),
            &origin,
        ];
        let shown = parts.into_iter().filter(|part| !part.is_empty()).map(super::table::printable);
        shown.collect::<Vec<_>>().join("\n")
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::error(format!("the server sent no decision: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_yes(text: &str) -> bool {
        parse::<Decision>(text).unwrap().is_yes()
    }

    #[test]
    fn only_true_and_allow_true_are_a_yes() {
        assert!(is_yes(r#"{"result": true}"#));
        assert!(is_yes(r#"{"result": {"allow": true, "why": "admin"}}"#));
        for no in ["false", "null", "1", "\"true\"", "[true]", r#"{"allow": "true"}"#, r#"{"deny": false}"#] {
            assert!(!is_yes(&format!(r#"{{"result": {no}}}"#)), "{no}");
        }
        assert!(!is_yes(r#"{"result": true, "undefined": true}"#));
        assert!(!is_yes("{}"));
    }

    #[test]
    fn an_undefined_result_is_said_with_its_hint() {
        let text = r#"{"result": null, "undefined": true, "hint": "rag/authz/allow", "decision_id": "d"}"#;
        let words = parse::<Decision>(text).unwrap().words();
        assert!(
            words.contains("undefined") && words.contains("rag/authz/allow") && words.contains('d'),
            "{words}"
        );
    }

    #[test]
    fn numbers_of_the_input_stay_as_they_are() {
        let question = Question {
            path: "a/b".into(),
            input_file: None,
            explain: false,
            input: Some("{\"n\": 123456789012345678901234567890.10}".into()),
        };
        let input = question.input().unwrap();
        let asked = Ask { path: &question.path, input, inputs: None, environment: None, explain: false };
        let body = serde_json::to_string(&asked).unwrap();
        assert_eq!(body, r#"{"path":"a/b","input":{"n": 123456789012345678901234567890.10}}"#);
    }

    #[test]
    fn items_of_a_batch_come_bare_or_wrapped() {
        let item = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(Decision::in_batch(&item("true")).unwrap().is_yes());
        assert!(Decision::in_batch(&item(r#"{"result": true, "decision_id": "x"}"#)).unwrap().is_yes());
        assert!(!Decision::in_batch(&item(r#"{"undefined": true}"#)).unwrap().is_yes());
        assert!(Decision::in_batch(&item(r#"{"allow": true}"#)).unwrap().is_yes());
    }
}
