// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The default documents hold what they promise.

use std::sync::Arc;

use super::*;
use crate::policies::engine::{
    Data, Input, Limits, Module, Options, Outcome, Program, QueryPath, Snapshot, run_tests,
};

fn modules() -> Vec<Module> {
    let policies = default_documents().iter().filter(|document| document.kind == DefaultKind::Policy);
    policies.map(|document| Module::new(document.name, document.text)).collect()
}

fn data() -> Data {
    let documents = default_documents().iter().filter(|document| document.kind == DefaultKind::Data);
    Data::from_documents(documents.map(|document| (document.name, document.text)), &Limits::default())
        .unwrap()
}

fn snapshot() -> Snapshot {
    Snapshot::new(Arc::new(Program::compile(&modules(), &Options::default()).unwrap()), &data()).unwrap()
}

fn ask(path: &str, input: &str) -> String {
    let snapshot = snapshot();
    let input = Input::from_json(input.as_bytes(), snapshot.program()).unwrap();
    let answer = snapshot.evaluate(&QueryPath::parse(path).unwrap(), &input).unwrap();
    answer.to_json(1 << 20).unwrap().map_or("undefined".to_owned(), |json| String::from_utf8(json).unwrap())
}

#[test]
fn their_own_tests_pass() {
    let report = run_tests(&modules(), &data(), &Options::default()).unwrap();
    let wrong: Vec<_> = report.results.iter().filter(|test| test.outcome != Outcome::Passed).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(report.passed >= 35, "{}", report.passed);
    assert!(report.coverage.percent > 95.0, "{:#?}", report.coverage);
}

#[test]
fn every_policy_has_tests() {
    for document in default_documents() {
        if document.kind == DefaultKind::Policy && !document.name.ends_with("_test") {
            let test = format!("{}_test", document.name);
            assert!(default_documents().iter().any(|document| document.name == test), "{test} is missing");
        }
    }
}

#[test]
fn the_register_machine_runs_all_of_them() {
    assert_eq!(snapshot().program().interpreted().collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_reader_gets_a_decision_with_a_filter() {
    let asked = r#"{"user": {"id": "ada", "tenant": "acme", "roles": ["reader"]}, "action": "query",
        "collection": "documents", "model": "small", "usage": {"requests_per_minute": 0, "tokens_per_day": 0}}"#;
    assert_eq!(
        ask("rag/request/decision", asked),
        r#"{"allow":true,"filter":{"all":[{"field":"tenant","in":["acme","shared"]},{"field":"classification","in":["internal","public"]}]},"reasons":["the role `reader` permits it"]}"#
    );
}

#[test]
fn nobody_is_denied_everything() {
    for path in [
        "rag/authz/allow",
        "rag/models/allow",
        "rag/budgets/allow",
        "rag/request/allow",
        "rag/filters/visible",
    ] {
        assert_eq!(ask(path, "{}"), "false", "{path}");
    }
    assert_eq!(
        ask("rag/filters/filter", "{}"),
        r#"{"all":[{"field":"tenant","in":[]},{"field":"classification","in":[]}]}"#
    );
}
