// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules with many definitions answer the same with the index as without, after fewer instructions.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use super::agreeing::{condition, input, preamble, rule, value};
use super::*;

/// A rule per key, as tables of permissions are written.
fn table(keys: usize) -> String {
    (0..keys).fold(String::from("package p\n"), |mut text, key| {
        writeln!(text, "allow if {{ input.role == \"r{key}\"; input.action in {{\"read\", \"a{key}\"}} }}")
            .unwrap();
        text
    })
}

fn without_index(mut program: Program) -> Program {
    for shard in &mut program.shards {
        shard.indexes.clear();
        shard.reached.clear();
    }
    program
}

/// The numbers of definitions that are tried for an input, rule by rule.
fn tried(program: &Program, input: &str) -> Vec<Vec<usize>> {
    let input = from_json(input.as_bytes(), 64).unwrap();
    let indexes = program.shards.iter().flat_map(|shard| &shard.indexes);
    let select = |index: &index::Index| {
        let mut found = Vec::new();
        index.select(&input, &mut found);
        found
    };
    indexes.map(select).collect()
}

#[test]
fn only_definitions_that_the_input_can_satisfy_are_tried() {
    let program = program(&table(100));
    assert_eq!(tried(&program, r#"{"role": "r7", "action": "read"}"#), [[7]]);
    assert_eq!(tried(&program, r#"{"role": "none", "action": "read"}"#), [[0]]);
    assert_eq!(tried(&program, "{}"), [[0]]);
    assert_eq!(tried(&program, "[]"), [[0]]);
}

#[test]
fn what_demands_nothing_is_always_tried() {
    let mut text = table(20);
    text.push_str("allow if data.open\nallow if { some g in input.groups; g == \"root\" }\n");
    text.push_str("allow if not input.role == \"r1\"\n");
    assert_eq!(tried(&program(&text), r#"{"role": "r3"}"#), [[3, 20, 21, 22]]);
}

#[test]
fn definitions_are_arranged_by_several_values() {
    let mut text = String::from("package p\n");
    for role in 0..10 {
        for action in 0..10 {
            writeln!(text, "allow if {{ input.role == {role}; {action} == input.request.action }}").unwrap();
        }
    }
    assert_eq!(tried(&program(&text), r#"{"role": 4, "request": {"action": 2.0}}"#), [[42]]);
}

#[test]
fn a_set_of_nothing_is_empty() {
    let mut text = String::from("package p\n");
    for key in 0..20 {
        writeln!(text, "groups contains {key} if input.key == {key}").unwrap();
        writeln!(text, "names[{key}] := 1 if input.key == {key}").unwrap();
    }
    let snapshot = snapshot(&text, &[]);
    assert_eq!(ask(&snapshot, "p", r#"{"key": 3}"#), r#"{"groups":[3],"names":{"3":1}}"#);
    assert_eq!(ask(&snapshot, "p", r#"{"key": 30}"#), r#"{"groups":[],"names":{}}"#);
}

#[test]
fn a_value_among_several_counts_as_well() {
    let mut text = String::from("package p\n");
    for key in 0..20 {
        writeln!(text, "allow if input.action in {{\"a{key}\", \"b{key}\"}}").unwrap();
    }
    assert_eq!(tried(&program(&text), r#"{"action": "b7"}"#), [[7]]);
}

#[test]
fn rules_that_a_rule_refers_to_are_indexed_too() {
    let text = table(50) + "answer := \"yes\" if allow\ndefault answer := \"no\"\n";
    let bounded = |instructions| {
        let limits = Limits { instructions, ..Limits::default() };
        let module = Module::new("p", text.as_str());
        Program::compile(&[module], &Options { limits, ..Options::default() }).unwrap()
    };
    let few = Snapshot::new(Arc::new(bounded(40)), &Data::default()).unwrap();
    assert_eq!(ask(&few, "p/answer", r#"{"role": "r40", "action": "read"}"#), r#""yes""#);
    assert_eq!(ask(&few, "p/answer", r#"{"role": "r41", "action": "read"}"#), r#""yes""#);
    assert_eq!(ask(&few, "p/answer", r#"{"role": "r41", "action": "a40"}"#), r#""no""#);
    let unindexed = Snapshot::new(Arc::new(without_index(bounded(40))), &Data::default()).unwrap();
    assert_eq!(
        ask(&unindexed, "p/answer", r#"{"role": "r40", "action": "read"}"#),
        "policy_instruction_limit"
    );
}

#[test]
fn contradictions_among_many_definitions_are_found() {
    let mut text = String::from("package p\n");
    for key in 0..20 {
        writeln!(text, "limit := {key} if input.key == {}", key / 2).unwrap();
    }
    let snapshot = snapshot(&text, &[]);
    assert_eq!(ask(&snapshot, "p/limit", r#"{"key": 3}"#), "eval_conflict_error");
    assert_eq!(ask(&snapshot, "p/limit", r#"{"key": 30}"#), "undefined");
}

/// A definition that begins with what an index can use, mostly.
fn definition() -> impl Strategy<Value = String> {
    let field = select(vec!["a", "b", "c"]);
    let key = prop_oneof![
        (field.clone(), 0..4_u8).prop_map(|(f, n)| format!("input.{f} == {n}; ")),
        (field.clone(), 0..4_u8).prop_map(|(f, n)| format!("{n} == input.{f}; ")),
        (field.clone(), 0..4_u8).prop_map(|(f, n)| format!("input.{f} in {{{n}, 1}}; ")),
        (field.clone(), 0..4_u8).prop_map(|(f, n)| format!("input.{f} in [{n}, null, true]; ")),
        (field, 0..4_u8).prop_map(|(f, n)| format!("x := input.{f}; x == {n}; ")),
        Just(String::new()),
    ]
    .boxed();
    let body = (key.clone(), key, condition())
        .prop_map(|(a, b, condition)| format!("{{ {a}{b}{condition} }}"))
        .boxed();
    prop_oneof![
        4 => (value(), body.clone()).prop_map(|(value, body)| format!("r1 := {value} if {body}\n")),
        1 => rule("r1"),
        2 => body.clone().prop_map(|body| format!("r2 if {body}\n")),
        2 => (value(), body.clone()).prop_map(|(value, body)| format!("s1 contains {value} if {body}\n")),
        2 => (value(), body.clone()).prop_map(|(value, body)| format!("o1[{value}] := 1 if {body}\n")),
        2 => (0..3_u8, body).prop_map(|(n, body)| format!("g(y) := {n} if {body}\n")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn indexed_equals_unindexed(
        preamble in preamble(),
        definitions in prop::collection::vec(definition(), 20..60),
        inputs in prop::collection::vec(input(), 6),
    ) {
        let text = format!("{preamble}{}h := g(1)\n", definitions.concat());
        let data = Data::from_documents([("d/table", "[0, 1, 2]")], &Limits::default()).unwrap();
        let Ok(program) = compile(&[("p", &text)]) else { return Ok(()) };
        let indexed = Snapshot::new(Arc::new(program), &data).unwrap();
        let unindexed = compile(&[("p", &text)]).unwrap();
        let unindexed = Snapshot::new(Arc::new(without_index(unindexed)), &data).unwrap();
        for input in &inputs {
            for rule in ["r1", "r2", "s1", "o1", "h"] {
                let path = format!("p/{rule}");
                prop_assert_eq!(ask(&indexed, &path, input), ask(&unindexed, &path, input), "{} {}\n{}", rule, input, &text);
            }
            prop_assert_eq!(ask(&indexed, "p", input), ask(&unindexed, "p", input), "{}\n{}", input, &text);
        }
    }
}
