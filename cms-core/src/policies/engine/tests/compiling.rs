// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is refused, and where the diagnostics point.

use super::*;

#[test]
fn a_syntax_error_has_its_place() {
    assert_eq!(fault("package p\nallow if { input.x == }"), "2:23 rego_parse_error expecting expression");
    assert_eq!(fault("package p\nallow if { \"abc }"), "2:12 rego_parse_error unmatched \"");
    assert_eq!(fault("allow := 1").split_once(' ').unwrap().0, "1:1");
}

#[test]
fn columns_count_characters() {
    let found = fault("package p\nallow if { \"é\" == nothing }");
    assert!(found.starts_with("2:19 rego_unsafe_var_error"), "{found}");
}

#[test]
fn an_unbound_variable_is_unsafe() {
    assert_eq!(
        fault("package p\nallow if { y == 1 }"),
        "2:12 rego_unsafe_var_error use of undefined variable `y` is unsafe"
    );
    let found = fault("package p\nallow if { some i; i > 1 }");
    assert!(found.starts_with("2:20 rego_unsafe_var_error"), "{found}");
}

#[test]
fn functions_that_reach_outside_are_refused_by_name_and_place() {
    for name in ["http.send", "net.lookup_ip_addr", "opa.runtime", "graphql.parse", "providers.aws.sign_req"]
    {
        let found = fault(&format!("package p\n\nx := y if {{\n  y := {name}({{}})\n}}"));
        assert!(found.starts_with(&format!("4:8 rego_unsafe_builtin `{name}` reaches outside")), "{found}");
    }
    let found = fault("package p\nx := rego.parse_module(\"a\", \"package a\")");
    assert!(
        found.starts_with("2:6 rego_unsafe_builtin the policy engine has no `rego.parse_module`"),
        "{found}"
    );
    let mocked = "package p\ntest_x if { y with http.send as 1 }\ny := 1";
    assert!(fault(mocked).starts_with("2:20 rego_unsafe_builtin"));
    assert!(compile(&[("p", "package p\n# http.send(1)\nx := \"http.send(1)\"")]).is_ok());
    assert!(compile(&[("p", "package p\nx := input.http.send")]).is_ok());
}

#[test]
fn what_is_undefined_cannot_be_assigned() {
    for body in ["v := input.x", "_ := input.x", "[v] := input.x", "w := 1; v := input.x; w == 1"] {
        let text = format!("package p\ndefault allow := false\nallow if {{ {body} }}");
        assert_eq!(answer(&text, "p/allow", "{}"), "false", "{body}");
        assert!(program(&text).interpreted().next().is_none(), "{body}");
    }
}

#[test]
fn a_minus_stands_before_a_number_or_between_terms() {
    assert_eq!(
        fault("package p\nx := -input.a"),
        "2:6 rego_parse_error a minus stands before a number or between two terms; write `0 - x`"
    );
    assert_eq!(answer("package p\nx := [- 1 + 3, 2 * - 1, 3 -1, (4\n- 3)]", "p/x", "{}"), "[2,-2,2,1]");
}

#[test]
fn unknown_functions_and_wrong_arguments_are_type_errors() {
    let found = fault("package p\nx := foo.bar(1)");
    assert_eq!(found, "2:6 rego_type_error unknown function: `foo.bar`");
    let found = fault("package p\nx := count(1, 2, 3)");
    assert_eq!(found, "2:6 rego_type_error `count` takes 1 arguments, but 3 are given");
    let found = fault("package p\nf(x) := x\ny := f(1, 2, 3)");
    assert_eq!(found, "3:6 rego_type_error `data.p.f` takes 1 arguments, but 3 are given");
}

#[test]
fn recursion_is_refused() {
    for text in [
        "package p\na if { b }\nb if { a }",
        "package p\nf(x) := f(x)\nb := f(1)",
        "package p\nf(x) := g(x)\ng(x) := f(x)\nb := f(1)",
        "package p.q\nx := data.p\ny := 1",
        "package p\nc := 1\na contains x if { x := data.p[y]; y != \"a\" }",
        "package p\na if { b with input as 1 }\nb if { a }",
        "package p\nf(x) := y if { y := f(x) with input as 1 }\na := f(1)",
        "package p\nf(x) := y if { some f; y := f(x) with input as 1 }\na := f(1)",
        "package p\ng(x) := x\nf(x) := y if { some f; y := g(x) with g as f }\na := f(1)",
        "package p\nimport data.p as q\nf(x) := y if { y := q.f(x) with input as 1 }\na := f(1)",
        "package p\nf(x) := y if { y := data[\"p\"].f(x) with input as 1 }\na := f(1)",
        "package p\nf(x) := y if { y := a with input as 1 }\na := f(1)",
    ] {
        assert!(fault(text).contains("rego_recursion_error"), "{text}: {}", fault(text));
    }
    let found = fault("package p\n\na if { b }\n\nb if { a }");
    assert_eq!(
        found,
        "3:8 rego_recursion_error rules depend on each other in a circle: data.p.a → data.p.b → data.p.a"
    );
}

#[test]
fn reserved_packages_belong_to_the_platform() {
    let module = Module::new("x", "package cms.authz\nallow := true");
    let found = check(&module, &Options::default()).unwrap_err();
    assert_eq!((found[0].line, found[0].column, found[0].code), (1, 9, code::RESERVED_PACKAGE));
    assert!(Program::compile(std::slice::from_ref(&module), &Options::default()).is_err());
    assert!(check(&module, &Options::platform(Limits::default())).is_ok());
    assert!(compile(&[("x", "package cmsx\nallow := true")]).is_ok());
    assert!(compile(&[("x", "package __cms\nallow := true")]).is_err());
}

#[test]
fn deep_and_long_expressions_are_refused_before_parsing() {
    let nested = format!("package p\nx := {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(
        fault(&nested),
        "2:38 rego_limit_error brackets nest deeper than 32; split the expression into rules"
    );
    for part in [" + 1", ".a", "[0]", " == 1", "(1)"] {
        let long = format!("package p\nx := y{}", part.repeat(100_000));
        assert!(fault(&long).contains("chains more than 512"), "{part}");
    }
    let unary = format!("package p\nx := {}1", "- ".repeat(100_000));
    assert!(fault(&unary).contains("rego_limit_error"));
    let wide = format!("package p\nx := [{}]", vec!["1"; 50_000].join(", "));
    assert!(compile(&[("p", &wide)]).is_ok() || fault(&wide).contains("rego_"));
    let bytes = format!("package p\n# {}", "x".repeat(1 << 20));
    assert!(fault(&bytes).contains("at most 1048576 are allowed"));
}

#[test]
fn a_long_line_is_no_fault() {
    let text = format!("package p\nx := \"{}\"", "y".repeat(100_000));
    assert!(compile(&[("p", &text)]).is_ok());
}

#[test]
fn a_fault_is_reported_in_its_own_file() {
    let found = compile(&[
        ("a", "package a\nx := data.b.y"),
        ("b", "package b\ny := 1"),
        ("c", "package c\n\nz := nope(1)"),
        ("d", "package d\nz := count(1, 2, 3)"),
        ("e", "package e\nz := x"),
    ])
    .unwrap_err();
    assert_eq!(found.iter().map(|fault| fault.file.as_str()).collect::<Vec<_>>(), ["c", "d", "e"]);
    let found = compile(&[
        ("a", "package a\nx := data.b.y"),
        ("b", "package b\ny := 1"),
        ("c", "package c\n\nz := nope(1)"),
        ("d", "package d\nz := count(1, 2, 3)"),
    ])
    .unwrap_err();
    let places: Vec<_> = found.iter().map(|fault| (fault.file.as_str(), fault.line)).collect();
    assert_eq!(places, [("c", 3), ("d", 2)]);
    let found = compile(&[("a", "package a\nx := "), ("b", "package b\ny = := 1")]).unwrap_err();
    assert_eq!(found.iter().map(|fault| fault.file.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn contradicting_rules_are_refused() {
    let found = fault("package p\n\nallow := true\nallow contains 1");
    assert!(found.starts_with("3:1 rego_type_error"), "{found}");
    let found = fault("package p\n\ndefault allow := input.x");
    assert_eq!(found, "3:9 rego_parse_error the default of `p.allow` must be a constant");
}

#[test]
fn check_lists_what_a_module_declares() {
    let text = "package rag.authz\n\nimport data.x\n\ndefault allow := false\n\nallow if {\n  f(input)\n}\nelse := false if x\n\n\
                f(y) if y.z\n\nreasons contains \"r\" if\n  not allow\n\nusers.admin := 1\n\ntest_a if allow\ntodo_test_b if allow";
    let info = check(&Module::new("rag/authz", text), &Options::default()).unwrap();
    assert_eq!(info.package, "rag.authz");
    assert_eq!(info.rules, ["allow", "f", "reasons", "users.admin"]);
    assert_eq!(info.tests, ["test_a", "todo_test_b"]);
}

#[test]
fn entry_points_are_rules_but_not_functions() {
    let program = program(
        "package p\ndefault a := 1\nb contains 1\nc[x] := 1 if some x in [1]\nd.e := 2\nd.f := 3\ng(x) := x\nh if g(true)",
    );
    let mut entrypoints: Vec<_> = program.entrypoints().collect();
    entrypoints.sort_unstable();
    assert_eq!(entrypoints, ["p/a", "p/b", "p/c", "p/d/e", "p/d/f", "p/h"]);
    assert_eq!(program.interpreted().count(), 0);
}

#[test]
fn the_nearest_rule_is_proposed() {
    let program = compile(&[("a", "package rag.authz\nallow := true\ndeny := false")]).unwrap();
    let nearest = |path: &str| program.nearest(&QueryPath::parse(path).unwrap());
    assert_eq!(nearest("rag/authz/alow").as_deref(), Some("rag/authz/allow"));
    assert_eq!(nearest("rag/auth/allow").as_deref(), Some("rag/authz/allow"));
    assert_eq!(nearest("rag/auths").as_deref(), Some("rag/authz"));
    assert_eq!(nearest("something/else/entirely"), None);
    assert_eq!(nearest("rag/authz/allow").as_deref(), Some("rag/authz/allow"), "it exists, though undefined");
    assert_eq!(nearest("rag/authz/allow/reason").as_deref(), Some("rag/authz/allow"));
}

#[test]
fn many_rules_in_one_package_compile() {
    let rules: String = (0..1_500).map(|n| format!("r{n} := {n} if input.x == {n}\n")).collect();
    let snapshot = snapshot(&format!("package p\n{rules}"), &[]);
    assert_eq!(ask(&snapshot, "p/r1400", r#"{"x": 1400}"#), "1400");
    assert_eq!(ask(&snapshot, "p", r#"{"x": 7}"#), r#"{"r7":7}"#);
}

#[test]
fn interpreted_rules_are_checked_for_unknown_functions() {
    let found = fault("package p\n\na := y if { y := nope.f(1) with input as 1 }");
    assert_eq!(found, "3:18 rego_type_error unknown function: `nope.f`");
    let tests = "package p_test\ntest_a if { frobnicate(1) with input as 1 }";
    let found = compile(&[("p", "package p\nx := 1"), ("p_test", tests)]).unwrap_err();
    assert_eq!((found[0].file.as_str(), found[0].line, found[0].column), ("p_test", 2, 13));
    let sound = "package p\nf(x) := x\ntest_a if { count([1]) == f(1) with input as (1); not(false); x := (1); print(x); set() == set() }";
    assert!(compile(&[("p", sound)]).is_ok());
}

#[test]
fn definitions_that_share_a_line_are_refused() {
    let text = "package p\nx := 1 f(y) := z if { z := f(y) with input as 1 }\n";
    let found = compile(&[("p", text)]).unwrap_err();
    assert_eq!(found[0].code, code::PARSE, "{found:?}");
}

#[test]
fn what_has_no_value_yet_is_told_in_words() {
    let faults = |text: &str| Program::compile(&[Module::new("p", text)], &Options::default()).unwrap_err();
    let unknown = faults("package p\na := 1\nb := foo.bar(a)");
    assert_eq!((unknown[0].line, unknown[0].code), (3, "rego_type_error"));
    assert_eq!(unknown[0].message, "unknown function: `foo.bar`");
    let late = faults("package p\nallow if {\n  not f(a)\n  a = input.list[_]\n}\nf(1) := true");
    assert_eq!((late[0].line, late[0].code), (3, "rego_unsafe_var_error"));
    assert!(late[0].message.contains("no value"), "{late:?}");
}
