// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Evaluates and tests local policies in this process, with the engine that the server uses.
//! Answers in the server's own shapes, so that both are shown by the same code.

use std::path::PathBuf;
use std::sync::Arc;

use cms_core::api::explanations::Explanation;
use cms_core::policies::engine::{
    Data, Diagnostic, Evaluation, Explainer, FileCoverage, Input, Limits, Module, Options, Program, Queries,
    QueryError, QueryPath, Snapshot, TestReport, TestResult, run_chosen_tests,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::app::App;
use super::candidates::{self, Candidate, Candidates};
use super::caret;
use super::decide::Question;
use super::failure::{Failure, Place};

/// Evaluates a rule of local files and gives the decision as JSON.
///
/// # Errors
/// Files that cannot be read or do not compile, or an evaluation that fails.
pub(crate) fn evaluate(app: &App, paths: &[PathBuf], question: &Question) -> Result<String, Failure> {
    let (snapshot, path, input) = ready(app, paths, question)?;
    let answer = snapshot.evaluate(&path, &input).map_err(|error| Failure::error(error.to_string()))?;
    let explanation = match question.explain {
        true => Some(explain(app, paths, &path, &input)?),
        false => None,
    };
    decision(&answer, &path, &snapshot, explanation)
}

/// Reads what a question is about: local files that compile, a path, and an input.
///
/// # Errors
/// Files that cannot be read or do not compile, or a question that cannot be read.
pub(crate) fn ready(
    app: &App,
    paths: &[PathBuf],
    question: &Question,
) -> Result<(Snapshot, QueryPath, Input), Failure> {
    let candidates = candidates::collect(paths)?;
    let path = QueryPath::parse(&question.path).map_err(|error| Failure::usage(error.to_string()))?;
    let snapshot = snapshot(&candidates).map_err(|found| rejected(app, &found, &candidates))?;
    let input = input(question, snapshot.program().limits())?;
    Ok((snapshot, path, input))
}

/// Answers a query over local files, as a JSON array of its answers.
///
/// # Errors
/// Files or a query that do not compile, or an evaluation that fails.
pub(crate) fn query(app: &App, paths: &[PathBuf], question: &Question) -> Result<String, Failure> {
    let candidates = candidates::collect(paths)?;
    let queries = data(&candidates)
        .and_then(|data| Queries::new(&modules(&candidates), &data, &Options::default()))
        .map_err(|found| rejected(app, &found, &candidates))?;
    let input = input(question, queries.limits())?;
    let answers = queries.ask(&question.path, &input).map_err(|error| match error {
        QueryError::Refused(found) => {
            let rendered = caret::render("query", &question.path, &places(&found), app.out.is_styled());
            app.out.always(&rendered);
            Failure::error("the query is not accepted")
        }
        error => Failure::error(error.to_string()),
    })?;
    let text = queries.to_json(answers).map_err(|error| Failure::error(error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn explain(app: &App, paths: &[PathBuf], path: &QueryPath, input: &Input) -> Result<Explanation, Failure> {
    let candidates = candidates::collect(paths)?;
    let options = Options::default();
    let deciding: Vec<Module> =
        modules(&candidates).into_iter().filter(|module| !module.holds_tests(&options)).collect();
    let explainer = data(&candidates)
        .and_then(|data| Explainer::new(&deciding, &data, &options))
        .map_err(|found| rejected(app, &found, &candidates))?;
    Ok(explainer.explain(path, input).into())
}

/// Runs the Rego tests of local files and gives the report as JSON.
///
/// # Errors
/// Files that cannot be read or do not compile.
pub(crate) fn test(
    app: &App,
    paths: &[PathBuf],
    chosen: &(dyn Fn(&str) -> bool + Sync),
) -> Result<String, Failure> {
    let candidates = candidates::collect(paths)?;
    let progress = app.out.progress(&format!("testing {} policies", candidates.policies.len()));
    let outcome = data(&candidates)
        .and_then(|data| run_chosen_tests(&modules(&candidates), &data, &Options::default(), chosen));
    progress.finish_and_clear();
    let outcome = outcome.map_err(|found| rejected(app, &found, &candidates))?;
    Ok(report(&outcome).to_string())
}

/// Compiles local files.
pub(crate) fn snapshot(candidates: &Candidates) -> Result<Snapshot, Vec<Diagnostic>> {
    let program = Program::compile(&modules(candidates), &Options::default())?;
    Snapshot::new(Arc::new(program), &data(candidates)?)
}

/// The policies among local files.
pub(crate) fn modules(candidates: &Candidates) -> Vec<Module> {
    candidates.policies.iter().map(|found| Module::new(found.name.as_str(), found.text.as_str())).collect()
}

/// The data among local files.
pub(crate) fn data(candidates: &Candidates) -> Result<Data, Vec<Diagnostic>> {
    let documents = candidates.data.iter().map(documents).collect::<Result<Vec<_>, _>>()?;
    let texts = documents.iter().flatten().map(|(name, text)| (name.as_str(), text.as_str()));
    Data::from_documents(texts, &Limits::default())
}

/// Reads a data file as JSON texts by name; the whole of the data is one document for each key.
fn documents(file: &Candidate) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let is_json = file.path.extension().is_some_and(|extension| extension == "json");
    if is_json && !file.name.is_empty() {
        return Ok(vec![(file.name.clone(), file.text.clone())]);
    }
    let value: Result<Value, (usize, usize, String)> = match is_json {
        true => serde_json::from_str(&file.text)
            .map_err(|error| (error.line(), error.column(), error.to_string())),
        false => yaml_serde::from_str(&file.text).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
            (line, column, error.to_string())
        }),
    };
    let value = value.map_err(|(line, column, message)| vec![unreadable(file, line, column, message)])?;
    match value {
        _ if !file.name.is_empty() => Ok(vec![(file.name.clone(), value.to_string())]),
        Value::Object(whole) => {
            Ok(whole.into_iter().map(|(name, value)| (name, value.to_string())).collect())
        }
        _ => Err(vec![unreadable(file, 1, 1, "the whole of the data must be an object".to_owned())]),
    }
}

fn unreadable(file: &Candidate, line: usize, column: usize, message: String) -> Diagnostic {
    let place = |number: usize| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
    Diagnostic::new(&file.name, (place(line), place(column)), "json_parse_error", message)
}

fn input(question: &Question, limits: &Limits) -> Result<Input, Failure> {
    let Some(given) = question.input()? else { return Ok(Input::NONE) };
    Input::read(given.get().as_bytes(), limits).map_err(|error| Failure::usage(error.to_string()))
}

fn decision(
    answer: &Evaluation,
    path: &QueryPath,
    snapshot: &Snapshot,
    explanation: Option<Explanation>,
) -> Result<String, Failure> {
    let limit = snapshot.program().limits().output_bytes;
    let bytes = answer.to_json(limit).map_err(|error| Failure::error(error.to_string()))?;
    let text = bytes.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    let undefined = matches!(answer, Evaluation::Undefined);
    let misses = undefined && !snapshot.program().defines(path);
    let nearest = misses.then(|| snapshot.program().nearest(path)).flatten();
    let hint = nearest.map(|nearest| format!("there is no rule at `{path}`; did you mean `{nearest}`?"));
    let result = RawValue::from_string(text).map_err(|error| Failure::error(error.to_string()))?;
    let shown = Shown { result, undefined, hint, explanation };
    serde_json::to_string(&shown).map_err(|error| Failure::error(error.to_string()))
}

#[derive(serde::Serialize)]
struct Shown {
    result: Box<RawValue>,
    undefined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

fn report(report: &TestReport) -> Value {
    json!({
        "passed": report.passed,
        "failed": report.failed,
        "errored": report.errored,
        "skipped": report.skipped,
        "results": report.results.iter().map(result).collect::<Vec<_>>(),
        "coverage": { "percent": report.coverage.percent, "files": files(report) },
    })
}

fn files(report: &TestReport) -> Value {
    let lines = |file: &FileCoverage| json!({ "covered": file.covered, "not_covered": file.not_covered });
    let files = report.coverage.files.iter().map(|(name, file)| (name.clone(), lines(file)));
    Value::Object(files.collect())
}

fn result(result: &TestResult) -> Value {
    json!({
        "package": result.package,
        "name": result.name,
        "outcome": format!("{:?}", result.outcome).to_lowercase(),
        "message": result.message,
        "duration_ns": u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX),
        "path": result.file,
        "line": result.line,
    })
}

/// What a check found, as JSON.
pub(crate) fn verdict(found: &[Diagnostic]) -> Value {
    let told = found.iter().map(|found| {
        json!({
            "path": found.file, "line": found.line, "column": found.column,
            "code": found.code, "message": found.message,
        })
    });
    json!({ "ok": found.is_empty(), "errors": told.collect::<Vec<_>>() })
}

/// The places of what was found.
pub(crate) fn places(found: &[Diagnostic]) -> Vec<Place> {
    found.iter().map(place).collect()
}

/// Shows what is wrong with the files.
pub(crate) fn rejected(app: &App, found: &[Diagnostic], candidates: &Candidates) -> Failure {
    let places = places(found);
    let shown = candidates::show(app, &places, candidates);
    let failure = Failure::error("the policies do not compile");
    if shown == places.len() { failure } else { failure.with_places(places) }
}

fn place(found: &Diagnostic) -> Place {
    let number = |number: u32| usize::try_from(number).ok();
    Place {
        path: Some(found.file.clone()),
        line: number(found.line),
        column: number(found.column),
        message: found.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(path: &str, name: &str, text: &str) -> Candidate {
        Candidate { name: name.into(), path: path.into(), text: text.into() }
    }

    fn files() -> Candidates {
        let policy = "package rag.authz\nallow if data.roles[input.user] == \"admin\"\ntest_a if 1 == 1\n";
        Candidates {
            policies: vec![candidate("rag/authz.rego", "rag/authz", policy)],
            data: vec![
                candidate("data.json", "", r#"{"roles": {"ada": "admin"}}"#),
                candidate("rag/data.yaml", "rag", "limits:\n  tokens: 5\n"),
            ],
        }
    }

    fn decide(path: &str, input: &str) -> Value {
        let snapshot = snapshot(&files()).unwrap();
        let path = QueryPath::parse(path).unwrap();
        let input = Input::from_json(input.as_bytes(), snapshot.program()).unwrap();
        let answer = snapshot.evaluate(&path, &input).unwrap();
        serde_json::from_str(&decision(&answer, &path, &snapshot, None).unwrap()).unwrap()
    }

    #[test]
    fn local_files_decide_as_a_release_would() {
        assert_eq!(decide("rag/authz/allow", r#"{"user": "ada"}"#)["result"], json!(true));
        assert_eq!(decide("rag/authz/allow", r#"{"user": "bob"}"#)["undefined"], json!(true));
        assert_eq!(decide("rag/limits", "{}")["result"], json!({"tokens": 5}));
    }

    #[test]
    fn a_mistyped_rule_gets_a_hint() {
        let hint = decide("rag/authz/alow", "{}")["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("rag/authz/allow"), "{hint}");
    }

    #[test]
    fn local_tests_are_counted() {
        let files = files();
        let modules = modules(&files);
        let outcome =
            run_chosen_tests(&modules, &data(&files).unwrap(), &Options::default(), &|_| true).unwrap();
        let value = report(&outcome);
        assert_eq!((&value["passed"], &value["failed"]), (&json!(1), &json!(0)));
        assert_eq!(value["results"][0]["outcome"], "passed");
    }

    #[test]
    fn broken_data_is_named_with_its_place() {
        let files =
            Candidates { data: vec![candidate("data.json", "", "{\n oops")], ..Candidates::default() };
        let found = data(&files).unwrap_err();
        assert_eq!(found.first().map(|found| found.line), Some(2));
    }
}
