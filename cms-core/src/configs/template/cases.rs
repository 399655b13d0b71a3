// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of templates: what they say, and what hostile ones come to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Fault, Names, Renderer};

fn renderer(templates: &[(&str, &str)]) -> Renderer {
    let sources = templates.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Renderer::new(sources.collect::<BTreeMap<_, _>>())
}

fn names() -> Names {
    let variables = json!({"timeout": 30, "hosts": ["a", "b"], "db": {"port": 5432}, "ratio": 1.5});
    Names::new("prod", "rag", variables.as_object().unwrap())
}

fn render(text: &str) -> Result<Value, Fault> {
    renderer(&[]).render_string(text, &names())
}

#[test]
fn strings_render_and_lone_expressions_keep_their_type() {
    for (text, expected) in [
        ("https://{{ env }}.api.example.com", json!("https://prod.api.example.com")),
        ("{{ '30' if env == 'prod' else '5' }}", json!("30")),
        ("{{ timeout }}", json!(30)),
        ("{{- timeout -}}", json!(30)),
        ("{{ timeout * 2 }}", json!(60)),
        ("{{ 2 * timeout * -1 }}", json!(-60)),
        ("{{ 2 * (timeout + 1) }}", json!(62)),
        ("{{ ratio * 2 }}", json!(3.0)),
        ("{{ hosts }}", json!(["a", "b"])),
        ("{{ db.port }}", json!(5432)),
        ("{{ timeout > 20 }}", json!(true)),
        ("{{ none }}", json!(null)),
        ("{{ project }}-{{ db['port'] }}", json!("rag-5432")),
        ("{{ hosts|join(',') }}", json!("a,b")),
        ("{% for host in hosts %}{{ host }};{% endfor %}", json!("a;b;")),
        ("{% for host in hosts if host != 'a' %}{{ host }}{% endfor %}", json!("b")),
        ("{% set url = 'http://' ~ env %}{{ url }}", json!("http://prod")),
        ("{{ missing|default('x') }}", json!("x")),
        ("{% raw %}{{ env }}{% endraw %}", json!("{{ env }}")),
        ("{{ 'a'|upper ~ '-' ~ 1 }}", json!("A-1")),
        ("{{ {'a': 1}|tojson }}", json!("{\"a\":1}")),
        ("{{ 'x\ny'|indent(2) }}", json!("x\n  y")),
        ("{# nothing #}{{ env }}", json!("prod")),
    ] {
        assert_eq!(render(text).unwrap_or_else(|fault| panic!("{text}: {fault}")), expected, "{text}");
    }
}

#[test]
fn templates_include_each_other() {
    let renderer = renderer(&[("a/top", "top of {% include 'b' %}!\n"), ("b", "{{ env }}")]);
    assert_eq!(renderer.render("a/top", &names()).unwrap(), "top of prod!");
    assert_eq!(renderer.render_string("<{% include 'b' %}>", &names()).unwrap(), json!("<prod>"));
}

#[test]
fn faults_name_the_place_and_the_variable() {
    let fault = render("a\nb {{ nothing }}").unwrap_err();
    assert_eq!(
        (fault.line, fault.column, fault.message.as_str()),
        (Some(2), Some(6), "`nothing` is not defined")
    );
    assert!(render("{{ nothing }}").unwrap_err().message.contains("`nothing` is not defined"));
    let fault = render("{% set a = 1 * 2 %}{{ a }} {{ db.host }}").unwrap_err();
    assert_eq!((fault.column, fault.message.as_str()), (Some(31), "`db.host` is not defined"));
    assert!(render("{{ env").unwrap_err().line.is_some());
    let renderer = renderer(&[("top", "{% include 'low' %}"), ("low", "x\n{{ gone }}")]);
    let fault = renderer.render("top", &names()).unwrap_err();
    assert_eq!((fault.template.as_deref(), fault.line), (Some("low"), Some(2)), "{fault}");
    assert!(fault.message.contains("gone"), "{fault}");
    assert!(renderer.render_string("{% include 'no' %}", &names()).unwrap_err().message.contains("no"));
}

/// Each is refused with these words, soon and without taking much.
#[test]
fn hostile_templates_end_in_errors() {
    let long = "x".repeat(60_000);
    let chain = format!("{{{{ env{} }}}}", "|upper".repeat(5_000));
    let nots = format!("{{{{ {}true }}}}", "not ".repeat(10_000));
    let brackets = format!("{{{{ {}1{} }}}}", "(".repeat(150), ")".repeat(40));
    let doubling = format!("{{% set x = 'xxxxxxxx' %}}{}{{{{ x }}}}", "{% set x = x ~ x %}".repeat(60));
    let lists = format!("{{% set x = ['x'] %}}{}{{{{ x }}}}", "{% set x = [x, x] %}".repeat(60));
    let loops = format!("{}{}", "{% for x in [1] %}".repeat(100), "{% endfor %}".repeat(100));
    let nested: String = (0..10).map(|at| format!("{{% for b{} in [b{at} ~ b{at}, 1] %}}", at + 1)).collect();
    let nested =
        format!("{{% set b0 = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' %}}{nested}{}", "{% endfor %}".repeat(10));
    for (text, says) in [
        ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "parts"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}", "too many steps"),
        (&format!("{{% for i in range(100) %}}{long}{{% endfor %}}"), "1048576 bytes"),
        (&doubling, "16384 bytes"),
        (&lists, "parts"),
        (&nested, "16384 bytes"),
        ("{{ 'x' * 100000000 }}", "only numbers can be multiplied"),
        ("{{ 100000000 * 'x' }}", ""),
        ("{{ [1] * 100000000 }}", "only numbers can be multiplied"),
        ("{{ 100000000 * [1] }}", ""),
        ("{{ '%4000000000d' % 1 }}", ""),
        ("{{ '%4000000000d'|format(1) }}", "not available"),
        ("{{ 'x'|indent(4000000000) }}", ""),
        ("{{ 'x\ny'|indent(4000000000) }}", "16384 bytes"),
        (
            "{% set a = 'a' %}{% set b = 'aaaaaaaaaaaaaaaaaaaaaaaa'|replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') %}{% set c = b|replace('a', b) %}",
            "16384 bytes",
        ),
        ("{{ range(90000)|join('xxxxxxxxxxxxxxx') }}", "16384 bytes"),
        ("{{ 'x'|center(4000000000) }}", "not available"),
        ("{{ namespace() }}", "not available"),
        ("{{ ''.__class__ }}", ""),
        ("{% macro m() %}{{ m() }}{% endmacro %}", "`macro` is not available"),
        ("{% call x() %}{% endcall %}", "`call` is not available"),
        ("{% block x %}{% endblock %}", "`block` is not available"),
        ("{% extends 'x' %}", "`extends` is not available"),
        ("{% import 'x' as y %}", "`import` is not available"),
        ("{% filter upper %}{% endfilter %}", "`filter` is not available"),
        ("{% with a = 1 %}{% endwith %}", "`with` is not available"),
        ("{% set x %}a{% endset %}", "must give a value"),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive loops"),
        (&chain, "200 words"),
        (&nots, "200 words"),
        (&brackets, ""),
        (&loops, "16 deep"),
        ("{{ debug() }}", "not available"),
        (&"x".repeat(70_000), "65536 bytes"),
    ] {
        let shown: String = text.chars().take(80).collect();
        let fault = render(text).map_or_else(|fault| fault, |value| panic!("{shown}: {value}"));
        assert!(fault.message.contains(says), "{shown}: {fault}");
    }
}

#[test]
fn hostile_includes_end_in_errors() {
    let renderer = renderer(&[
        ("self", "{% include 'self' %}"),
        ("a", "{% include 'b' %}"),
        ("b", "{% include 'a' %}"),
        ("double", "{% set x = x ~ x %}{% include 'double' %}"),
        ("many", "{% for i in range(9999) %}{% include 'self' %}{% endfor %}"),
        ("macro", "{% macro m() %}{% endmacro %}"),
    ]);
    for text in ["self", "a", "many"] {
        let fault = renderer.render(text, &names()).unwrap_err();
        assert!(fault.message.contains("recursion"), "{text}: {fault}");
    }
    let fault = renderer.render_string("{% set x = 'x' %}{% include 'double' %}", &names()).unwrap_err();
    assert!(fault.message.contains("recursion"), "{fault}");
    let fault = renderer.render_string("{% include 'macro' %}", &names()).unwrap_err();
    assert!(fault.message.contains("`macro` is not available"), "{fault}");
}
