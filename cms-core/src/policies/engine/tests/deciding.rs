// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What queries answer.

use super::*;

const RBAC: &str = "package rag.authz\n\ndefault allow := false\n\n\
    allow if {\n  some role in data.roles.bindings[input.user]\n  data.roles.grants[role][input.action][input.collection]\n}\n\n\
    reason := \"granted\" if allow\n";

fn rbac() -> Snapshot {
    snapshot(
        RBAC,
        &[
            ("roles/bindings", r#"{"ada": ["reader"]}"#),
            ("roles/grants", r#"{"reader": {"query": {"docs": true}}}"#),
        ],
    )
}

#[test]
fn a_rule_decides_over_data_and_input() {
    let ada = r#"{"user": "ada", "action": "query", "collection": "docs"}"#;
    assert_eq!(ask(&rbac(), "rag/authz/allow", ada), "true");
    assert_eq!(ask(&rbac(), "data.rag.authz.allow", r#"{"user": "bob"}"#), "false");
    assert_eq!(ask(&rbac(), "rag/authz/reason", ada), r#""granted""#);
    assert_eq!(ask(&rbac(), "rag/authz/reason", r#"{"user": "bob"}"#), "undefined");
}

#[test]
fn a_package_answers_with_its_defined_rules() {
    assert_eq!(ask(&rbac(), "rag/authz", r#"{"user": "bob"}"#), r#"{"allow":false}"#);
    assert_eq!(ask(&rbac(), "rag", r#"{"user": "bob"}"#), r#"{"authz":{"allow":false}}"#);
    assert_eq!(
        ask(&rbac(), "", r#"{"user": "bob"}"#),
        r#"{"rag":{"authz":{"allow":false}},"roles":{"bindings":{"ada":["reader"]},"grants":{"reader":{"query":{"docs":true}}}}}"#
    );
}

#[test]
fn a_path_leads_into_data_and_into_values() {
    assert_eq!(ask(&rbac(), "roles/bindings/ada/0", "{}"), r#""reader""#);
    assert_eq!(ask(&rbac(), "roles/bindings/ada/1", "{}"), "undefined");
    assert_eq!(ask(&rbac(), "roles/grants/reader/query", "{}"), r#"{"docs":true}"#);
    let text = "package p\nd := {\"reason\": \"why\", \"list\": [1, 2], \"set\": {\"s\"}}";
    assert_eq!(answer(text, "p/d/reason", "{}"), r#""why""#);
    assert_eq!(answer(text, "p/d/list/1", "{}"), "2");
    assert_eq!(answer(text, "p/d/set/s", "{}"), r#""s""#);
    assert_eq!(answer(text, "p/d/none", "{}"), "undefined");
    assert_eq!(answer(text, "q", "{}"), "undefined");
}

#[test]
fn undefined_differs_from_false_and_null() {
    let text = "package p\na := false\nb := null\nc := 1 if input.x";
    assert_eq!(answer(text, "p/a", "{}"), "false");
    assert_eq!(answer(text, "p/b", "{}"), "null");
    assert_eq!(answer(text, "p/c", "{}"), "undefined");
    assert_eq!(answer(text, "p/c", r#"{"x": false}"#), "undefined");
}

#[test]
fn rules_and_data_share_a_path_as_in_opa() {
    let text = "package a.b\nx := 1\nc.y := 2";
    let snapshot = snapshot(text, &[("a", r#"{"z": 0, "b": {"w": 3, "c": {"v": 4}}}"#)]);
    assert_eq!(ask(&snapshot, "a", "{}"), r#"{"b":{"c":{"v":4,"y":2},"w":3,"x":1},"z":0}"#);
    assert_eq!(ask(&snapshot, "a/b/w", "{}"), "3");
    assert_eq!(ask(&snapshot, "a/b/c", "{}"), r#"{"v":4,"y":2}"#);
    assert_eq!(ask(&snapshot, "a/b/c/y", "{}"), "2");
}

#[test]
fn functions_are_no_entry_points_and_their_package_is_empty() {
    let text = "package p\nf(x) := x";
    assert_eq!(answer(text, "p/f", "{}"), "undefined");
    assert_eq!(answer(text, "p", "{}"), "{}");
}

#[test]
fn a_rule_over_data_is_a_conflict() {
    let program = Arc::new(program("package a.b\nx := 1"));
    let conflict = |name: &str, text: &str| {
        let data = Data::from_documents([(name, text)], &Limits::default()).unwrap();
        Snapshot::new(Arc::clone(&program), &data).map(drop)
    };
    assert_eq!(conflict("a/b/x", "1").unwrap_err()[0].code, code::CONFLICT);
    assert_eq!(conflict("a/b", "1").unwrap_err()[0].file, "a/b");
    assert_eq!(conflict("a", r#"{"b": {"x": {}}}"#).unwrap_err()[0].file, "a");
    assert!(conflict("a", r#"{"b": {"y": {}}}"#).is_ok());
}

#[test]
fn what_the_machine_lacks_the_interpreter_does() {
    let text = "package p\n\
        a := y if { y := input.x with input as {\"x\": 1} }\n\
        b contains v if { walk(input, [_, v]); v == 2 }\n\
        c[\"k\"] := 1\nc[\"l\"] := 2\n\
        d := 4";
    let snapshot = snapshot(text, &[]);
    assert_eq!(ask(&snapshot, "p/a", "{}"), "1");
    assert_eq!(ask(&snapshot, "p/b", r#"{"x": [2]}"#), "[2]");
    assert_eq!(ask(&snapshot, "p/c", "{}"), r#"{"k":1,"l":2}"#);
    assert_eq!(ask(&snapshot, "p", r#"{"x": [2]}"#), r#"{"a":1,"b":[2],"c":{"k":1,"l":2},"d":4}"#);
    assert!(snapshot.program().interpreted().any(|rule| rule == "p/a"));
    assert!(snapshot.program().interpreted().all(|rule| rule != "p/d"));
}

#[test]
fn printing_has_no_effect() {
    let text = "package p\nallow if {\n  print(\"x\", input.y)\n  input.x == 1; print(input)\n}";
    assert_eq!(answer(text, "p/allow", r#"{"x": 1}"#), "true");
    assert_eq!(program(text).interpreted().count(), 0);
}

#[test]
fn limits_are_named() {
    let text = "package p\nlong := count([1 | some a in input.x; some b in input.x; some c in input.x])";
    let input = format!(r#"{{"x": [{}]}}"#, vec!["1"; 500].join(","));
    let within = |limits: Limits| {
        let program = Program::compile(&[Module::new("p", text)], &Options::project(limits)).unwrap();
        Snapshot::new(Arc::new(program), &Data::default()).unwrap()
    };
    let minute = std::time::Duration::from_secs(60);
    let few = within(Limits { instructions: 10_000, time: minute, ..Limits::default() });
    assert_eq!(ask(&few, "p/long", &input), "policy_instruction_limit");
    let short = within(Limits { time: std::time::Duration::from_millis(5), ..Limits::default() });
    assert_eq!(ask(&short, "p/long", &input), "policy_time_limit");
    // The machine that was stopped works on.
    assert_eq!(ask(&few, "p/long", r#"{"x": [1]}"#), "1");
    assert_eq!(ask(&short, "p/long", r#"{"x": [1]}"#), "1");
}

#[test]
fn a_long_chain_of_rules_runs() {
    let rules: String = (1..400).map(|n| format!("r{n} := r{} + 1\n", n - 1)).collect();
    assert_eq!(answer(&format!("package p\nr0 := 0\n{rules}"), "p/r399", "{}"), "399");
    let deep: String = (1..600).map(|n| format!("r{n} := r{} + 1\n", n - 1)).collect();
    let found = compile(&[("p", &format!("package p\nr0 := 0\n{deep}"))]).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("more than 512 deep"), "{found:?}");
}

#[test]
fn inputs_are_bounded() {
    let program = program("package p\nx := input");
    let refuse = |text: &[u8]| Input::from_json(text, &program).unwrap_err().message;
    assert!(refuse(&vec![b' '; (1 << 20) + 1]).contains("at most 1048576"));
    assert!(refuse(format!("{}{}", "[".repeat(65), "]".repeat(65)).as_bytes()).contains("deeper than 64"));
    assert!(Input::from_json(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes(), &program).is_ok());
    for text in [&b"{\"a\": \xff}"[..], b"\"\xff\"", b"NaN", b"1e999", b"{", b"", b"1 2", b"{\"a\":1,}"] {
        refuse(text);
    }
    assert_eq!(Input::from_json(b"\n {x}", &program).unwrap_err().line, 2);
}

#[test]
fn large_integers_are_exact() {
    let ask = |rule: &str, input: &str| answer(&format!("package p\n{rule}"), "p/x", input);
    assert_eq!(ask("x := input + 1", "123456789012345678901234567890"), "123456789012345678901234567891");
    assert_eq!(
        ask("x := input.a == input.b", r#"{"a": 36893488147419103233, "b": 36893488147419103234}"#),
        "false"
    );
    let twice = r#"{"a": 1, "a": 36893488147419103233}"#;
    assert_eq!(ask("x := input", twice), r#"{"a":36893488147419103233}"#, "the last one counts");
    let program = program("package p\nx := input");
    let deep = format!("{}36893488147419103233{}", "[".repeat(65), "]".repeat(65));
    assert!(Input::from_json(deep.as_bytes(), &program).unwrap_err().message.contains("deeper than 64"));
}

#[test]
fn values_survive_the_way_through() {
    let text = "package p\nx := input";
    for json in [
        r#"{"a":[1,-2,0.5,1e300,true,null,"é\n"],"b":{"c":{}}}"#,
        "18446744073709551615",
        "-9223372036854775808",
        "18446744073709551616",
        r#"{"a":0.1,"b":[-123456789012345678901234567890,{"c":1}]}"#,
        "[]",
        "\"\"",
    ] {
        assert_eq!(answer(text, "p/x", json).replace("1e+300", "1e300"), json);
    }
    assert_eq!(answer(text, "p/x", r#"{"a": 1, "a": 2}"#), r#"{"a":2}"#);
    assert_eq!(answer("package p\nx := {1: {3, 2}, [1]: null}", "p/x", "{}"), r#"{"1":[2,3],"[1]":null}"#);
}

#[test]
fn answers_are_bounded() {
    let snapshot = snapshot("package p\nx := input", &[]);
    let input = Input::from_json(format!("{:?}", "y".repeat(1000)).as_bytes(), snapshot.program()).unwrap();
    let answer = snapshot.evaluate(&QueryPath::parse("p/x").unwrap(), &input).unwrap();
    assert_eq!(answer.to_json(1001), Err(EvaluationError::Output { limit: 1001 }));
    assert!(answer.to_json(1002).is_ok());
}

#[test]
fn paths_are_read_in_both_forms() {
    let segments = |text: &str| QueryPath::parse(text).unwrap().segments().join("|");
    assert_eq!(segments("rag/authz/allow"), "rag|authz|allow");
    assert_eq!(segments("data.rag.authz.allow"), "rag|authz|allow");
    assert_eq!(segments("rag.authz.allow"), "rag|authz|allow");
    assert_eq!(segments("rag/v1.0/allow"), "rag|v1.0|allow");
    assert_eq!(segments("data.rag[\"v1.0\"].allow"), "rag|v1.0|allow");
    assert_eq!(segments("allow"), "allow");
    assert_eq!(segments(""), "");
    assert_eq!(segments("data"), "");
    for text in ["a//b", "a/", "data..x", "data.x.", "data[", "data[1]", "a/\u{0}", &"x/".repeat(100)] {
        assert!(QueryPath::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn two_threads_decide_at_once() {
    let snapshot = rbac();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let ada = r#"{"user": "ada", "action": "query", "collection": "docs"}"#;
                    assert_eq!(ask(&snapshot, "rag/authz/allow", ada), "true");
                }
            });
        }
    });
}

#[test]
fn one_document_changes_without_the_others() {
    let limits = Limits::default();
    let data = Data::from_documents([("a/b", "1"), ("a/c", "2"), ("ab", "3")], &limits).unwrap();
    let snapshot = Snapshot::new(Arc::new(program("package p\nx := data.a")), &data).unwrap();
    assert_eq!(ask(&snapshot, "p/x", "{}"), r#"{"b":1,"c":2}"#);
    let changed = data.with_document("a/b", "[5]", &limits).unwrap();
    let after = snapshot.with_data(&changed).unwrap();
    assert_eq!(ask(&after, "p/x", "{}"), r#"{"b":[5],"c":2}"#);
    assert_eq!(ask(&snapshot, "p/x", "{}"), r#"{"b":1,"c":2}"#);
    let removed = after.with_data(&changed.without_document("a/b")).unwrap();
    assert_eq!(ask(&removed, "p/x", "{}"), r#"{"c":2}"#);
    assert_eq!(data.with_document("a/b/c", "1", &limits).unwrap_err().code, code::CONFLICT);
    assert_eq!(data.with_document("a/d", "{", &limits).unwrap_err().code, code::DATA);
    assert!(data.with_document("a", r#"{"x": 1}"#, &limits).is_ok());
    assert!(data.with_document("a", r#"{"b": 1}"#, &limits).is_err());
}

#[test]
fn policies_see_packages_and_parts_of_names_as_objects() {
    let text = "package p\no.k := 1 if input.k\no.l.m := 2\no.l.n := 3 if input.n\n\
        whole := o\nsize := count(data.p.o)\nname := [key | some key, _ in o.l]\nsome_key[key] := v if some key, v in data.p.o\n\
        f(x) := o[x]\ncalled := f(\"k\")";
    assert_eq!(answer(text, "p/whole", r#"{"k": true, "n": true}"#), r#"{"k":1,"l":{"m":2,"n":3}}"#);
    assert_eq!(answer(text, "p/whole", "{}"), r#"{"l":{"m":2}}"#);
    assert_eq!(answer(text, "p/size", "{}"), "1");
    assert_eq!(answer(text, "p/name", "{}"), r#"["m"]"#);
    assert_eq!(answer(text, "p/some_key", r#"{"k": 1}"#), r#"{"k":1,"l":{"m":2}}"#);
    assert_eq!(answer(text, "p/called", r#"{"k": 1}"#), "1");
    let with_data = snapshot(
        "package q\nx := data.p\ny := data.p.o\nz := data.p.d\n",
        &[("p", r#"{"d": 4, "o": {"e": 5}}"#)],
    );
    assert_eq!(ask(&with_data, "q/x", "{}"), r#"{"d":4,"o":{"e":5}}"#);
    let modules = [
        Module::new("p", "package p\no.k := 1\nu := 1 if input.u"),
        Module::new("q", "package q\nx := data.p\ny := data.p.o\nz := data.p.d"),
    ];
    let data = Data::from_documents([("p", r#"{"d": 4, "o": {"e": 5}}"#)], &Limits::default()).unwrap();
    let both =
        Snapshot::new(Arc::new(Program::compile(&modules, &Options::default()).unwrap()), &data).unwrap();
    assert_eq!(both.program().interpreted().count(), 0);
    assert_eq!(ask(&both, "q/x", "{}"), r#"{"d":4,"o":{"e":5,"k":1}}"#);
    assert_eq!(ask(&both, "q/y", "{}"), r#"{"e":5,"k":1}"#);
    assert_eq!(ask(&both, "q/z", "{}"), "4");
    assert_eq!(
        ask(&both, "q", r#"{"u": 1}"#),
        r#"{"x":{"d":4,"o":{"e":5,"k":1},"u":1},"y":{"e":5,"k":1},"z":4}"#
    );
}
