// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tests that policies bring along.

use super::*;

fn run(modules: &[(&str, &str)], data: &[(&str, &str)]) -> TestReport {
    let modules: Vec<Module> = modules.iter().map(|(name, text)| Module::new(*name, *text)).collect();
    let data = Data::from_documents(data.iter().copied(), &Limits::default()).unwrap();
    run_tests(&modules, &data, &Options::default()).unwrap()
}

const POLICY: &str = "package a\nallow if data.roles[input.user] == \"admin\"\nother if {\n  input.other\n}\nbad := 1 if input.bad\nbad := 2 if input.bad";

#[test]
fn every_outcome_is_told_apart() {
    let tests = "package a_test\nimport data.a\n\
        test_passes if a.allow with input as {\"user\": \"ada\"}\n\
        test_mocks_data if a.allow with input.user as \"bob\" with data.roles as {\"bob\": \"admin\"}\n\
        test_is_undefined if a.allow\n\
        test_is_false := false\n\
        test_errs if a.bad with input.bad as true\n\
        todo_test_later if a.allow\n\
        helper := 1";
    let report = run(&[("a", POLICY), ("a_test", tests)], &[("roles", r#"{"ada": "admin"}"#)]);
    let told: Vec<_> =
        report.results.iter().map(|test| (test.name.as_str(), test.outcome, test.line)).collect();
    assert_eq!(
        told,
        [
            ("test_passes", Outcome::Passed, 3),
            ("test_mocks_data", Outcome::Passed, 4),
            ("test_is_undefined", Outcome::Failed, 5),
            ("test_is_false", Outcome::Failed, 6),
            ("test_errs", Outcome::Errored, 7),
            ("todo_test_later", Outcome::Skipped, 8),
        ]
    );
    assert_eq!((report.passed, report.failed, report.errored, report.skipped), (2, 2, 1, 1));
    assert!(!report.is_success());
    assert_eq!(report.results[0].package, "a_test");
    assert!(report.results[4].message.as_ref().unwrap().contains("a:7:1"), "{:?}", report.results[4]);
    assert!(report.results[0].duration > std::time::Duration::ZERO);
}

#[test]
fn coverage_counts_the_lines_of_policies_alone() {
    let tests = "package a_test\ntest_a if data.a.allow with input.user as \"ada\"";
    let report = run(&[("a", POLICY), ("a_test", tests)], &[("roles", r#"{"ada": "admin"}"#)]);
    assert_eq!(report.coverage.files.keys().collect::<Vec<_>>(), ["a"]);
    let file = &report.coverage.files["a"];
    assert!(file.covered.contains(&2) && file.not_covered.contains(&4), "{file:?}");
    assert!(report.coverage.percent > 0.0 && report.coverage.percent < 100.0);
}

#[test]
fn a_test_that_does_not_end_is_stopped() {
    let text = "package a\ntest_long if {\n  xs := numbers.range(1, 1000)\n  count([1 | some a in xs; some b in xs; some c in xs]) > 0\n}\ntest_short := true";
    let limits = Limits { test_time: std::time::Duration::from_millis(50), ..Limits::default() };
    let modules = [Module::new("a", text)];
    let report = run_tests(&modules, &Data::default(), &Options::project(limits)).unwrap();
    assert_eq!((report.errored, report.passed), (1, 1));
    assert!(report.results[0].message.as_ref().unwrap().contains("50 ms"), "{:?}", report.results[0]);
}

#[test]
fn tests_are_left_out_of_decisions() {
    let modules = [
        ("a", "package a\nx := 1"),
        ("a_test", "package a\ntest_x if x == 1 with input as 1"),
        ("ab_test", "package ab\ny := 2"),
    ];
    let program = compile(&modules).unwrap();
    assert_eq!(program.entrypoints().collect::<Vec<_>>(), ["a/x", "ab/y"]);
}

#[test]
fn tests_that_recurse_are_refused() {
    let recursive = "package a_test\nf(x) := y if y := f(x) with input as 1\ntest_a if f(1)";
    let found = compile(&[("a", POLICY), ("a_test", recursive)]).unwrap_err();
    assert_eq!((found[0].file.as_str(), found[0].code), ("a_test", code::RECURSION));
}
