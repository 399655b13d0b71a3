// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the linter says, and where it keeps silent.

use super::*;
use crate::policies::engine::Limits;

fn linted_with(modules: &[(&str, &str)], data: Option<&Data>, entrypoints: &[&str]) -> Vec<String> {
    let modules: Vec<Module> = modules.iter().map(|(name, text)| Module::new(*name, *text)).collect();
    let entrypoints: Vec<String> = entrypoints.iter().map(|path| (*path).to_owned()).collect();
    let found = lint(&modules, Known { data, entrypoints: &entrypoints }, &Options::default()).unwrap();
    let told = found.iter().map(|found| {
        format!("{}:{}:{} {}: {}", found.file, found.line, found.column, found.rule, found.message)
    });
    told.collect()
}

fn linted(text: &str) -> Vec<String> {
    linted_with(&[("p", text)], None, &[])
}

/// The rules that strike, with their lines.
fn struck(text: &str) -> Vec<(u32, &'static str)> {
    let found = lint(&[Module::new("p", text)], Known::default(), &Options::default()).unwrap();
    found.iter().map(|found| (found.line, found.rule)).collect()
}

#[test]
fn sound_policies_have_no_findings() {
    let policy = "package p\n\nimport data.grants\n\ndefault allow := false\n\nallow if {\n\tsome grant in grants\n\tgrant.user == input.user\n\tmay(grant)\n}\n\nmay(grant) if \"read\" in grant.actions\n";
    assert_eq!(struck(policy), [(9, LINEAR_SCAN)]);
    assert_eq!(
        struck(
            "package p\n\nallow if input.user in data.admins\n\nnames contains name if some name, _ in data.users\n"
        ),
        []
    );
}

#[test]
fn names_that_nothing_uses_are_told() {
    assert_eq!(
        linted("package p\n\nimport data.a.b\nimport data.c as d\nimport rego.v1\n\nallow if d.x\n"),
        ["p:3:1 unused-import: `b` is imported and not used; remove the import"]
    );
    assert_eq!(
        linted(
            "package p\n\nallow if {\n\tuser := input.user\n\tsome i, x in input.list\n\tx > 1\n\tsome y\n\tinput.z[_]\n}\n"
        ),
        [
            "p:4:2 unused-variable: `user` gets a value and is never used; write `_`, or remove it",
            "p:5:7 unused-variable: `i` gets a value and is never used; write `_`, or remove it",
            "p:7:7 unused-variable: `y` gets a value and is never used; write `_`, or remove it",
        ]
    );
    assert_eq!(
        linted("package p\n\nallow if f(1)\n\nf(x) if x > 0\n\ng(x) if x > 0\n"),
        ["p:7:1 unused-function: nothing calls the function `g`; remove it"]
    );
}

#[test]
fn rules_that_no_entry_point_needs_are_told_where_those_are_known() {
    let text = "package p\n\nallow if helper\n\nhelper if input.a\n\nold if input.b\n";
    assert_eq!(linted_with(&[("p", text)], None, &[]), Vec::<String>::new());
    assert_eq!(
        linted_with(&[("p", text)], None, &["p/allow"]),
        ["p:7:1 unused-rule: no entry point needs `old`; remove it, or name it as an entry point"]
    );
    assert_eq!(linted_with(&[("p", text)], None, &["data.p"]), Vec::<String>::new());
}

#[test]
fn bodies_that_always_or_never_hold_are_told() {
    let body = |condition: &str| struck(&format!("package p\n\nallow if {{\n\tinput.b\n\t{condition}\n}}\n"));
    for condition in
        ["1 == 2", "\"a\" != \"a\"", "false", "not true", "2 < 1", "input.x != input.x", "input.b < input.b"]
    {
        assert_eq!(body(condition), [(5, ALWAYS_FALSE)], "{condition}");
    }
    for condition in ["true", "1 == 1", "not false", "\"text\""] {
        assert_eq!(body(condition), [(5, ALWAYS_TRUE)], "{condition}");
    }
    for condition in
        ["input.x == 1", "input.x[_] != input.x[_]", "time.now_ns() != time.now_ns()", "input.x == input.x"]
    {
        assert_eq!(body(condition), [], "{condition}");
    }
    let text = "package p\n\nallow if {\n\tinput.role == \"admin\"\n\t\"owner\" == input.role\n}\n";
    assert_eq!(
        linted(text),
        [
            "p:5:2 always-false: `input.role` cannot be \"admin\" and \"owner\" at once, so this body never holds"
        ]
    );
    assert_eq!(struck(&text.replace("input.role", "input.roles[_]")), []);
}

#[test]
fn searches_that_could_be_look_ups_are_told() {
    let scan = |body: &str| {
        let found = linted(&format!("package p\n\nallow if {{\n\t{body}\n}}\n"));
        found
            .iter()
            .map(|line| line.split_once("write ").map_or("", |(_, write)| write).to_owned())
            .collect::<Vec<_>>()
    };
    for body in [
        "some user in data.users; user.name == input.name",
        "data.users[_].name == input.name",
        "some i; data.users[i].name == input.name",
        "user := data.users[_]; input.name == user.name",
    ] {
        assert_eq!(scan(body), ["`data.users[input.name]`"], "{body}");
    }
    assert_eq!(
        scan("some key, user in data.users; key == input.name; user.active"),
        ["`data.users[input.name]`"]
    );
    assert_eq!(scan("some name in data.admins; name == input.name"), ["`input.name in data.admins`"]);
    for body in [
        "some user in input.users; user.name == input.name",
        "some user in data.users; user.age > input.age",
        "data.users[input.name].active == true",
        "some i; input.list[i] == 1; data.users[i]",
        "key := input.key; data.users[key].name == input.name",
    ] {
        assert_eq!(scan(body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn variables_that_hide_something_are_told() {
    let text = "package p\n\nimport data.grants\n\nallow if {\n\tcount := input.n\n\tcount > 1\n\tsome grants in input.g\n\tgrants.x\n\tsome owner in input.o\n\towner.y\n}\n\nowner if input.z\n\nuser(allow) if allow > 1\n\nlen if user(1)\n";
    let found = linted(text);
    let shadowing: Vec<&str> = found
        .iter()
        .filter(|line| line.contains(SHADOWED_NAME))
        .map(|line| line.split(';').next().unwrap())
        .collect();
    assert_eq!(
        shadowing,
        [
            "p:6:2 shadowed-name: the variable `count` hides the built-in function of that name",
            "p:8:7 shadowed-name: the variable `grants` hides the import of that name",
            "p:10:7 shadowed-name: the variable `owner` hides the rule of that name",
            "p:16:6 shadowed-name: the variable `allow` hides the rule of that name",
        ]
    );
}

#[test]
fn references_that_lead_nowhere_are_told_with_what_was_perhaps_meant() {
    let modules = [
        ("a", "package rag.authz\n\nallow if data.rag.limits.tokens > 5\n\nlevel := 3\n"),
        (
            "b",
            "package other\n\nimport data.rag.authz\n\nok if data.rag.authz.alow\n\nfine if authz.levl == 3\n\nfree if input.whatever.else\n\nmore if data.rag.limits.tokns\n\ntop if data.nowhere.x\n\nkeyed if data.users.bob\n",
        ),
    ];
    let data = Data::from_documents(
        [("rag/limits", r#"{"tokens": 5}"#), ("users", r#"{"ada": {}}"#)],
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(
        linted_with(&modules, Some(&data), &[]),
        [
            "b:5:7 undefined-reference: nothing provides `data.rag.authz.alow`; did you mean `data.rag.authz.allow`?",
            "b:7:9 undefined-reference: nothing provides `data.rag.authz.levl`; did you mean `data.rag.authz.level`?",
            "b:11:9 undefined-reference: nothing provides `data.rag.limits.tokns`; did you mean `data.rag.limits.tokens`?",
            "b:13:8 undefined-reference: nothing provides `data.nowhere.x`",
        ]
    );
    let without_data = linted_with(&modules, None, &[]);
    assert_eq!(without_data.len(), 2, "{without_data:?}");
}

#[test]
fn a_comment_silences_a_rule_where_it_stands() {
    let text = "package p\n\n# cms:ignore always-true\nallow if true\n\ndeny if true # cms:ignore always-true\n\nother if true # cms:ignore linear-scan\n";
    assert_eq!(struck(text), [(8, ALWAYS_TRUE)]);
}
