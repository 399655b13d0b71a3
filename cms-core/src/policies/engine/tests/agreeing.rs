// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The register machine and the interpreter agree on random policies and inputs.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::policies::engine::{compile as compiler, interpreter};

/// A condition over `input`, earlier rules, and what is bound.
pub(super) fn condition() -> impl Strategy<Value = String> {
    let field = select(vec!["a", "b", "c"]);
    let number = 0..4_u8;
    prop_oneof![
        (field.clone(), number.clone()).prop_map(|(f, n)| format!("input.{f} == {n}")),
        (field.clone(), number.clone()).prop_map(|(f, n)| format!("input.{f} > {n}")),
        field.clone().prop_map(|f| format!("not input.{f}")),
        (field.clone(), number.clone()).prop_map(|(f, n)| format!("not input.{f} == {n}")),
        field.clone().prop_map(|f| format!("input.{f}")),
        (field.clone(), number.clone()).prop_map(|(f, n)| format!("input.{f} in {{{n}, 1}}")),
        number.clone().prop_map(|n| format!("some x in input.list; x == {n}")),
        number.clone().prop_map(|n| format!("every x in input.list {{ x > {n} }}")),
        number.clone().prop_map(|n| format!("input.list[{n}]")),
        number.clone().prop_map(|n| format!("data.d.table[input.a] == {n}")),
        number.prop_map(|n| format!("count([y | some y in input.list; y > {n}]) > 1")),
        select(vec!["r0", "not r0", "s0[1]", "f(input.a)", "not f(input.b)", "count(s0) > 1", "o0.k == 1"])
            .prop_map(ToOwned::to_owned),
    ]
}

fn body() -> impl Strategy<Value = String> {
    prop::collection::vec(condition(), 1..3)
        .prop_map(|conditions| format!("if {{ {} }}", conditions.join("; ")))
}

pub(super) fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..3_u8).prop_map(|n| n.to_string()),
        select(vec![
            "true",
            "false",
            "null",
            "input.a",
            "input.b",
            "[input.a, 1]",
            "{\"k\": input.c}",
            "{x | some x in input.list}",
            "{x: i | some i, x in input.list}",
            "count(input.list)",
            "s0",
            "o0",
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

/// A definition of the rule with this name.
pub(super) fn rule(name: &'static str) -> impl Strategy<Value = String> {
    let end = prop_oneof![
        3 => Just(String::new()),
        1 => (value(), body()).prop_map(|(value, body)| format!(" else := {value} {body}")),
    ];
    (value(), body(), end).prop_map(move |(value, body, end)| format!("{name} := {value} {body}{end}\n"))
}

/// A policy: `r0`, `s0`, `o0` and `f` refer to nothing but input and data, all others to them.
fn policy() -> impl Strategy<Value = String> {
    let rules = |name| prop::collection::vec(rule(name), 1..4).prop_map(|rules| rules.concat());
    let default = prop_oneof![Just(""), Just("default r1 := 7\n")];
    (preamble(), default, rules("r1"), rules("r2"))
        .prop_map(|(preamble, default, r1, r2)| format!("{preamble}{default}{r1}{r2}"))
}

/// The package, and the rules that conditions and values refer to.
pub(super) fn preamble() -> impl Strategy<Value = String> {
    (0..3_u8, 0..3_u8).prop_map(|(m, n)| {
        format!(
            "package p\n\
             r0 if input.a == {m}\n\
             s0 contains x if {{ some x in input.list; x >= {n} }}\n\
             s0 contains {m} if input.b\n\
             o0.k := {n} if input.c\n\
             o0.l := [{n}]\n\
             f(x) := true if x > {n}\n\
             f(x) := false if x == {m}\n"
        )
    })
}

pub(super) fn input() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        select(vec!["null", "true", "false"]).prop_map(ToOwned::to_owned),
        (0..4_u8).prop_map(|n| n.to_string()),
    ];
    let list = prop::collection::vec(0..4_u8, 0..4).prop_map(|list| format!("{list:?}"));
    let fields = prop::collection::btree_map(select(vec!["a", "b", "c"]), field, 0..4);
    (fields, prop::option::of(list)).prop_map(|(mut fields, list)| {
        fields.extend(list.map(|list| ("list", list)));
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}: {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    })
}

/// What the interpreter answers to the same question, in the same form as [`ask`].
fn interpret(text: &str, data: &Data, rule: &str, input: &str) -> String {
    let modules = [Module::new("p", text)];
    let limits = Limits::default();
    let outline = module::read(&modules[0], &Options::default()).unwrap();
    let engine = compiler::engine(
        &modules,
        &compiler::places(modules.iter().zip([&outline]), super::super::frontend::Reader::Interpreter),
        &limits,
    )
    .unwrap();
    let mut engine = interpreter::with_data(engine, &data.to_value()).unwrap();
    engine.set_input(from_json(input.as_bytes(), 64).unwrap());
    match interpreter::value(&mut engine, &format!("data.p.{rule}")) {
        Ok(Value::Undefined) => "undefined".to_owned(),
        Ok(value) => String::from_utf8(to_json(&value, 1 << 20).unwrap()).unwrap(),
        Err(error) => error.code().to_owned(),
    }
}

/// A rule over nested lists. Each loop but the first is over what the item of an earlier one leads to.
fn loops() -> impl Strategy<Value = String> {
    let over =
        select(vec!["data.d.lists[x]", "input.list", "data.d.grants[x].of", "data.d.none[x]", "input.none"]);
    let inner = prop::collection::vec((over, any::<bool>()), 0..3);
    let checks = prop::collection::vec(check(), 0..4);
    let head =
        select(vec!["r if", "r := 7 if", "r := x if", "r contains x if", "r[x] := 1 if", "r := input.a if"]);
    (head, any::<bool>(), inner, checks, any::<bool>()).prop_map(|(head, keyed, inner, checks, default)| {
        let mut body =
            vec![if keyed { "some k, x in input.list" } else { "some x in input.list" }.to_owned()];
        for (index, (over, keyed)) in inner.iter().enumerate() {
            body.push(format!(
                "some {}y{index} in {over}",
                if *keyed { format!("i{index}, ") } else { String::new() }
            ));
        }
        let last = if inner.is_empty() { "x".to_owned() } else { format!("y{}", inner.len() - 1) };
        body.extend(checks.iter().map(|check| check.replace('@', &last)));
        let default = if default && head.starts_with("r ") && !head.contains("contains") {
            "default r := 9\n"
        } else {
            ""
        };
        format!("package p\n{default}{head} {{\n  {}\n}}\n", body.join("\n  "))
    })
}

/// A condition on the item `@` of the innermost loop, the one of the outermost, and the input.
fn check() -> impl Strategy<Value = &'static str> {
    select(vec![
        "@ == input.a",
        "input.b == @",
        "@ > input.c",
        "@ != x",
        "input.a",
        "not @ == 1",
        "@.action == input.a",
        "x == 2",
        "every z in input.list { z >= x }",
        "count([z | some z in input.list; z == @]) > 0",
        "data.d.table[@] == x",
        "z := @; z == x",
        "@ in input.list",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn loops_answer_as_the_interpreter_says(text in loops(), inputs in prop::collection::vec(input(), 4)) {
        let documents = [
            ("d/table", "[0, 1, 2]"),
            ("d/lists", r#"[[], [1, 2, 3], [2, {"action": 1}], {"a": 3, "b": 1}]"#),
            ("d/grants", r#"[{"of": [1]}, {"of": [{"action": 2}, 3]}, {}, {"of": {"x": 2}}]"#),
        ];
        let data = Data::from_documents(documents, &Limits::default()).unwrap();
        let Ok(program) = compile(&[("p", &text)]) else { return Ok(()) };
        let snapshot = Snapshot::new(Arc::new(program), &data).unwrap();
        for input in &inputs {
            let machine = ask(&snapshot, "p/r", input);
            prop_assert_eq!(machine, interpret(&text, &data, "r", input), "{}\n{}", input, &text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn machine_and_interpreter_agree(text in policy(), inputs in prop::collection::vec(input(), 4)) {
        let data = Data::from_documents([("d/table", "[0, 1, 2]")], &Limits::default()).unwrap();
        let Ok(program) = compile(&[("p", &text)]) else { return Ok(()) };
        let snapshot = Snapshot::new(Arc::new(program), &data).unwrap();
        for input in &inputs {
            for rule in ["r1", "r2", "s0"] {
                let machine = ask(&snapshot, &format!("p/{rule}"), input);
                prop_assert_eq!(machine, interpret(&text, &data, rule, input), "{} {}\n{}", rule, input, &text);
            }
        }
    }

    #[test]
    fn explanations_and_decisions_agree(text in policy(), inputs in prop::collection::vec(input(), 2)) {
        let data = Data::from_documents([("d/table", "[0, 1, 2]")], &Limits::default()).unwrap();
        let Ok(program) = compile(&[("p", &text)]) else { return Ok(()) };
        let snapshot = Snapshot::new(Arc::new(program), &data).unwrap();
        for input in &inputs {
            for rule in ["p/r1", "p/r2", "p/s0"].map(|rule| QueryPath::parse(rule).unwrap()) {
                let input = Input::from_json(input.as_bytes(), snapshot.program()).unwrap();
                let Ok(decided) = snapshot.evaluate(&rule, &input) else { continue };
                let found = explain::contradiction(&[Module::new("p", text.as_str())], &data, &rule, &input, &decided);
                prop_assert_eq!(found, None, "{}", &text);
            }
        }
    }
}
