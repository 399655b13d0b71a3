// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two values where there may be one are an error, and never a silent choice.

use super::*;

const CONFLICT: &str = "eval_conflict_error";

#[test]
fn two_definitions_of_a_rule() {
    let text = "package p\na := 1 if input.x\na := 2 if input.y\nb if not a\ndefault c := 0\nc := 1 if input.x\nc := 2 if input.y";
    assert_eq!(answer(text, "p/a", r#"{"x": true}"#), "1");
    assert_eq!(answer(text, "p/a", r#"{"y": true}"#), "2");
    assert_eq!(answer(text, "p/a", "{}"), "undefined");
    for path in ["p/a", "p/b", "p/c", "p"] {
        assert_eq!(answer(text, path, r#"{"x": true, "y": true}"#), CONFLICT, "{path}");
    }
    assert_eq!(answer(text, "p/c", "{}"), "0");
    assert_eq!(answer(text, "p/c", r#"{"y": true}"#), "2");
}

#[test]
fn two_definitions_that_agree() {
    let text = "package p\na := input.x\na := input.y";
    assert_eq!(answer(text, "p/a", r#"{"x": 1, "y": 1}"#), "1");
    assert_eq!(answer(text, "p/a", r#"{"y": 1}"#), "1");
    assert_eq!(answer(text, "p/a", r#"{"x": 1, "y": 2}"#), CONFLICT);
    assert_eq!(
        answer("package p\na if input.x\na := false if input.y", "p/a", r#"{"x": 1, "y": 2}"#),
        CONFLICT
    );
}

#[test]
fn two_values_of_one_definition() {
    let text = "package p\na := x if some x in input";
    assert_eq!(answer(text, "p/a", "[1, 1]"), "1");
    assert_eq!(answer(text, "p/a", "[]"), "undefined");
    assert_eq!(answer(text, "p/a", "[1, 2]"), CONFLICT);
    assert_eq!(answer("package p\na if some x in input", "p/a", "[1, 2]"), "true");
}

#[test]
fn two_values_of_a_function() {
    let text = "package p\nf(x) := 1 if x == 1\nf(x) := 2 if x >= 1\ng(xs) := x if some x in xs\na := f(input)\nb := g(input)\nc := [y | some x in input; y := f(x)]";
    assert_eq!(answer(text, "p/a", "1"), CONFLICT);
    assert_eq!(answer(text, "p/a", "2"), "2");
    assert_eq!(answer(text, "p/b", "[3]"), "3");
    assert_eq!(answer(text, "p/b", "[3, 4]"), CONFLICT);
    assert_eq!(answer(text, "p/c", "[2, 3, 0]"), "[2,2]");
    let patterns = "package p\nlevel(\"low\") := 1\nlevel(\"high\") := 2\na := [level(x) | some x in input]";
    assert_eq!(answer(patterns, "p/a", r#"["high", "none", "low", "high"]"#), "[2,1,2]");
}

#[test]
fn two_values_for_a_key() {
    let partial = "package p\na[x] := y if { some [x, y] in input }";
    assert_eq!(answer(partial, "p/a", r#"[["k", 1], ["l", 2], ["k", 1]]"#), r#"{"k":1,"l":2}"#);
    assert_eq!(answer(partial, "p/a", r#"[["k", 1], ["k", 2]]"#), CONFLICT);
    let two = "package p\na[x] := 1 if some x in input.x\na[y] := 2 if some y in input.y";
    assert_eq!(answer(two, "p/a", r#"{"x": ["k"], "y": ["l"]}"#), r#"{"k":1,"l":2}"#);
    assert_eq!(answer(two, "p/a", r#"{"x": ["k"], "y": ["k"]}"#), CONFLICT);
    let comprehension = "package p\na := {x: y | some [x, y] in input}\nb if not a";
    assert_eq!(answer(comprehension, "p/a", r#"[["k", 1], ["k", 1]]"#), r#"{"k":1}"#);
    assert_eq!(answer(comprehension, "p/b", r#"[["k", 1], ["k", 2]]"#), CONFLICT);
}

#[test]
fn the_first_of_else_counts() {
    let text = "package p\na := 1 if input.x\nelse := 2 if input.y\nelse := 3\na := 1 if input.z";
    assert_eq!(answer(text, "p/a", r#"{"x": true, "y": true}"#), "1");
    assert_eq!(answer(text, "p/a", r#"{"y": true}"#), "2");
    assert_eq!(answer(text, "p/a", r#"{"y": true, "z": true}"#), CONFLICT);
    assert_eq!(answer(text, "p/a", r#"{"x": true, "z": true}"#), "1");
    assert_eq!(answer(text, "p/a", "{}"), "3");
    let loops = "package p\nf(x) := y if {\n  some y in x\n  y > 1\n} else := 0\na := f(input)";
    assert_eq!(answer(loops, "p/a", "[1, 2]"), "2");
    assert_eq!(answer(loops, "p/a", "[1]"), "0");
    assert_eq!(answer(loops, "p/a", "[2, 3]"), CONFLICT);
}

#[test]
fn the_error_names_the_rule() {
    let snapshot = snapshot("package p\na := 1\nb := 2\nb := a", &[]);
    let error = snapshot.evaluate(&QueryPath::parse("p/b").unwrap(), &Input::NONE).unwrap_err();
    assert_eq!(error.to_string(), "`data.p.b` has more than one value");
}

#[test]
fn a_definition_without_a_value_takes_none_away() {
    let snapshot =
        snapshot("package p\nx := {1} if input\nx := input.none if input\nx := 2 if input.two\n", &[]);
    assert_eq!(ask(&snapshot, "p/x", "{}"), "[1]");
    assert_eq!(ask(&snapshot, "p/x", r#"{"two": true}"#), "eval_conflict_error");
}
