// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What explanations say, and that they say what the decision says.

use super::*;
use crate::policies::engine::{Program, Snapshot};

const POLICY: &str = r#"package rag.authz

import data.grants

default allow := false

allow if {
	input.user.role == "admin"
}

allow if {
	some grant in grants
	grant.user == input.user.name
	may(grant, input.action)
}

may(grant, action) if grant.actions[_] == action

may(grant, _) if {
	wide := "*"
	grant.actions == wide
}

reasons contains reason if {
	not allow
	reason := sprintf("%s may not", [input.user.name])
}
"#;

fn explained(policy: &str, path: &str, input: &str) -> Explanation {
    let modules = [Module::new("rag/authz", policy)];
    let limits = Limits::default();
    let grants = r#"[{"user": "ada", "actions": ["read"]}, {"user": "eve", "actions": "*"}]"#;
    let data = Data::from_documents([("grants", grants)], &limits).unwrap();
    // A slow machine must not cut what is told.
    let limits = Limits { time: std::time::Duration::from_secs(60), ..limits };
    let options = Options::project(limits);
    let explainer = Explainer::new(&modules, &data, &options).unwrap();
    let program = Arc::new(Program::compile(&modules, &options).unwrap());
    let snapshot = Snapshot::new(program, &data).unwrap();
    let path = QueryPath::parse(path).unwrap();
    let input = Input::from_json(input.as_bytes(), snapshot.program()).unwrap();
    let explanation = explainer.explain(&path, &input);
    let decided = snapshot.evaluate(&path, &input).unwrap();
    if let [only] = explanation.results.as_slice() {
        let value = decided.value().unwrap_or(&Value::Undefined);
        assert_eq!(only.value, Shown::of("", value).value, "the explanation tells another story");
    }
    explanation
}

#[test]
fn a_refusal_names_the_expression_that_failed_and_its_values() {
    let text = explained(
        POLICY,
        "rag/authz/allow",
        r#"{"user": {"name": "ada", "role": "reader"}, "action": "write"}"#,
    )
    .to_string();
    assert_eq!(
        text,
        r#"rag.authz.allow is false
  failed  rag.authz.allow (rag/authz:7)
    at 8: input.user.role == "admin"
      input.user.role is "reader"
  failed  rag.authz.allow (rag/authz:11)
    at 14: may(grant, input.action)
      may(grant, input.action) is undefined
      input.action is "write"
      grant is {"actions":["read"],"user":"ada"}
    failed  rag.authz.may (rag/authz:17) for {"actions":["read"],"user":"ada"}, "write"
      at 17: grant.actions[_] == action
        grant.actions is ["read"]
    failed  rag.authz.may (rag/authz:19) for {"actions":["read"],"user":"ada"}
      at 21: grant.actions == wide
        grant.actions is ["read"]
        wide is "*"
  default rag.authz.allow (rag/authz:5)
"#
    );
}

#[test]
fn what_held_is_told_with_its_values() {
    let text =
        explained(POLICY, "rag/authz/allow", r#"{"user": {"name": "eve"}, "action": "write"}"#).to_string();
    assert_eq!(
        text,
        r#"rag.authz.allow is true
  failed  rag.authz.allow (rag/authz:7)
    at 8: input.user.role == "admin"
      input.user.role is undefined
  held    rag.authz.allow (rag/authz:11)
      grant is {"actions":"*","user":"eve"}
    failed  rag.authz.may (rag/authz:17) for {"actions":"*","user":"eve"}, "write"
      at 17: grant.actions[_] == action
        grant.actions is "*"
    held    rag.authz.may (rag/authz:19) for {"actions":"*","user":"eve"}
        wide is "*"
"#
    );
}

#[test]
fn rules_that_others_need_are_told_below_them() {
    let text =
        explained(POLICY, "rag/authz/reasons", r#"{"user": {"name": "bob"}, "action": "read"}"#).to_string();
    assert_eq!(
        text,
        r#"rag.authz.reasons is ["bob may not"]
  held    rag.authz.reasons (rag/authz:24) = "bob may not"
      reason is "bob may not"
    failed  rag.authz.allow (rag/authz:7)
      at 8: input.user.role == "admin"
        input.user.role is undefined
    failed  rag.authz.allow (rag/authz:11)
      at 13: grant.user == input.user.name
        grant.user is "ada"
        input.user.name is "bob"
        grant is {"actions":["read"],"user":"ada"}
    default rag.authz.allow (rag/authz:5)
"#
    );
}

#[test]
fn an_explanation_is_bounded_and_says_so() {
    let policy =
        "package p\nn contains x if { some x in numbers.range(1, 600); f(x) > 0 }\nf(x) := y if y := x + 1\n";
    let explanation = explained(policy, "p/n", "{}");
    assert!(explanation.incomplete.is_some());
    assert!(explanation.lines().len() < 2_000, "{}", explanation.lines().len());
    assert_eq!(explanation.results[0].value, Seen::Described("a set of 600 items".to_owned()));
}

#[test]
fn what_is_not_written_in_the_order_of_its_needs_is_explained_all_the_same() {
    let policy = "package p\nallow if {\n\tname != \"ada\"\n\tinput.ages[name] > 17\n}\n";
    let text = explained(policy, "p/allow", r#"{"ages": {"ada": 36, "bob": 7}}"#).to_string();
    assert!(text.contains("at 3: name != \"ada\"") && text.contains("name is \"ada\""), "{text}");
}

#[test]
fn an_else_a_value_and_a_constant_are_told() {
    let policy = "package p\nrisk := 1 if input.a\nelse := 2 if input.b\nelse := 3\nfixed := risk + 1\n";
    let text = explained(policy, "p/fixed", r#"{"b": true}"#).to_string();
    assert_eq!(
        text,
        r#"p.fixed is 3
  held    p.fixed (rag/authz:5) = 3
    failed  p.risk (rag/authz:2)
      at 2: input.a
        input.a is undefined
    held    p.risk (rag/authz:3) = 2
"#
    );
}
