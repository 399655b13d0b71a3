// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands for who writes policies, as they are typed: without a server, on files.

use std::fs;
use std::path::Path;

use cms_tests::cms_in;
use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = "package rag.authz\n\ndefault allow := false\n\nallow if {\n\tsome user in data.users\n\tuser.name == input.user\n\tuser.admin\n}\n";
const TESTS: &str = "package rag.authz_test\n\ntest_admin if data.rag.authz.allow with input.user as \"ada\"\n\ntest_bob if data.rag.authz.allow with input.user as \"bob\"\n";
const DATA: &str = r#"{"users": [{"name": "ada", "admin": true}, {"name": "bob"}]}"#;

fn files() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("rag")).unwrap();
    fs::write(home.path().join("rag/authz.rego"), POLICY).unwrap();
    fs::write(home.path().join("rag/authz_test.rego"), TESTS).unwrap();
    fs::write(home.path().join("data.json"), DATA).unwrap();
    home
}

/// The exit code, standard output and standard error.
fn cms(home: &Path, line: &[&str], input: &str) -> (i32, String, String) {
    let output = cms_in(home, line, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_policy_is_checked_asked_and_explained() {
    let home = files();
    assert_eq!(cms(home.path(), &["policy", "check", "."], "").0, 0);
    let ask =
        ["policy", "eval", "rag/authz/allow", "--input", r#"{"user": "bob"}"#, "--explain", "--local", "."];
    let (code, out, told) = cms(home.path(), &ask, "");
    assert_eq!((code, out.trim()), (0, "false"), "{told}");
    assert!(told.contains("(rag/authz:5)") && told.contains("at 8: user.admin"), "{told}");
    let query = ["policy", "eval", "some u in data.users; u.admin", "--data", ".", "-o", "json"];
    let (code, out, _) = cms(home.path(), &query, "");
    let answers: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, answers[0]["u"]["name"].as_str()), (0, Some("ada")), "{out}");
    fs::write(home.path().join("bad.rego"), "package bad\n\nallow if {").unwrap();
    let (code, out, told) = cms(home.path(), &["policy", "check", ".", "-o", "json"], "");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &verdict["ok"], &verdict["errors"][0]["line"]),
        (2, &Value::Bool(false), &Value::from(3))
    );
    assert!(told.contains("bad.rego:3:") && told.contains('^'), "{told}");
}

#[test]
fn tests_tell_with_which_expression_they_failed() {
    let home = files();
    let (code, out, told) = cms(home.path(), &["policy", "test", "."], "");
    assert_eq!(code, 2);
    assert!(told.contains("1 passed, 1 failed"), "{told}");
    assert!(out.contains("test_bob") && out.contains("rag/authz:8: `user.admin` does not hold"), "{out}");
    let chosen = ["policy", "test", ".", "--run", "admin$", "--coverage", "--threshold", "100"];
    let (code, _, told) = cms(home.path(), &chosen, "");
    assert_eq!(code, 0, "{told}");
    fs::write(
        home.path().join("rag/authz.rego"),
        format!("{POLICY}\nallow if {{\n\tinput.never\n\tinput.ever\n}}\n"),
    )
    .unwrap();
    let (code, out, told) = cms(home.path(), &chosen, "");
    assert_eq!(code, 2, "{told}");
    assert!(out.contains("not covered: rag/authz: "), "{out}");
}

#[test]
fn the_linter_names_places_and_the_formatter_writes_or_refuses() {
    let home = files();
    let (code, out, _) = cms(home.path(), &["policy", "lint", "."], "");
    assert_eq!(code, 2);
    assert!(
        out.contains("rag/authz.rego:7:2: linear-scan:") && out.contains("`data.users[input.user]`"),
        "{out}"
    );
    let policy = home.path().join("rag/authz.rego");
    let crooked = POLICY.replace("\tuser.admin", "   user.admin  # why");
    fs::write(&policy, &crooked).unwrap();
    let (code, out, _) = cms(home.path(), &["policy", "fmt", "--check", "rag"], "");
    assert_eq!((code, out.trim()), (2, "rag/authz.rego"));
    assert_eq!(fs::read_to_string(&policy).unwrap(), crooked);
    let (_, out, _) = cms(home.path(), &["policy", "fmt", "--diff", "rag"], "");
    assert!(out.contains("+\tuser.admin # why"), "{out}");
    assert_eq!(cms(home.path(), &["policy", "fmt", "rag"], "").0, 0);
    assert_eq!(fs::read_to_string(&policy).unwrap(), POLICY.replace("user.admin", "user.admin # why"));
    assert_eq!(cms(home.path(), &["policy", "fmt", "--check", "rag"], "").0, 0);
    let (code, out, _) = cms(home.path(), &["policy", "fmt", "-"], "package p\nx:=1");
    assert_eq!((code, out.as_str()), (0, "package p\nx := 1\n"));
    fs::write(&policy, "package p\nallow if {").unwrap();
    assert_eq!(cms(home.path(), &["policy", "fmt", "rag"], "").0, 1);
    assert_eq!(fs::read_to_string(&policy).unwrap(), "package p\nallow if {");
}

#[test]
fn policies_are_measured_and_tried_line_by_line() {
    let home = files();
    let bench = ["policy", "bench", "rag/authz/allow", "--local", ".", "--count", "10", "-o", "json"];
    let (code, out, _) = cms(home.path(), &bench, "");
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, figures["decisions"].as_u64()), (0, Some(10)), "{out}");
    let lines = "x := 2\nx + 1\ndata.rag.authz.allow\n:input {\"user\": \"ada\"}\ndata.rag.authz.allow\n:nonsense\ny +\n";
    let (code, out, told) = cms(home.path(), &["policy", "repl", "."], lines);
    assert_eq!((code, out.as_str()), (0, "3\nfalse\ntrue\n"), "{told}");
    assert!(told.contains("defined x") && told.contains(":nonsense"), "{told}");
}
