// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies that try to exhaust memory, time or the stack end in an error that names a limit, and
//! leave the snapshot usable.

use super::*;

/// Rules `a`, in packages of their own, that would take all memory or all time.
const HOSTILE: &[&str] = &[
    "a := numbers.range(1, 1000000000)",
    "a := numbers.range(1, 100000000000000000000000000)",
    "a := numbers.range_step(1, 1000000000, 2)",
    "a := net.cidr_expand(\"0.0.0.0/0\")",
    "a := net.cidr_expand(\"::/0\")",
    "a := sprintf(\"%999999999d\", [1])",
    "a := sprintf(\"%.4000000000f\", [1.5])",
    "a := sprintf(\"%99999999999999999999d\", [1])",
    "a := to_number(\"1e1000000000\")",
    "a := bits.lsh(1, 1000000000000)",
    "a := product(numbers.range(1000000, 1100000))",
    "a := count([x | some x in [y | some i in numbers.range(1, 5000); y := sprintf(\"%d%s\", [i, big])]])\nbig := concat(\"\", [\"x\" | some i in numbers.range(1, 100000)])",
    "s0 := \"xxxxxxxxxxxxxxxx\"\ns1 := concat(s0, [s0, s0, s0, s0])\ns2 := replace(s1, \"x\", s1)\ns3 := replace(s2, \"x\", s2)\ns4 := replace(s3, \"x\", s3)\na := replace(s4, \"x\", s4)",
    "a := regex.replace(big, \".\", big)\nbig := concat(\"\", [\"x\" | some i in numbers.range(1, 100000)])",
    "v0 := numbers.range(1, 10)\nv1 := [v0, v0, v0, v0, v0, v0, v0, v0]\nv2 := [v1, v1, v1, v1, v1, v1, v1, v1]\nv3 := [v2, v2, v2, v2, v2, v2, v2, v2]\nv4 := [v3, v3, v3, v3, v3, v3, v3, v3]\nv5 := [v4, v4, v4, v4, v4, v4, v4, v4]\nv6 := [v5, v5, v5, v5, v5, v5, v5, v5]\nv7 := [v6, v6, v6, v6, v6, v6, v6, v6]\na := json.marshal(v7)",
    "n0 := 1000000007\nn1 := n0 * n0\nn2 := n1 * n1\nn3 := n2 * n2\nn4 := n3 * n3\nn5 := n4 * n4\nn6 := n5 * n5\nn7 := n6 * n6\nn8 := n7 * n7\na := n8 * n8",
    "r := numbers.range(1, 300)\nt := [[r | some x in r] | some y in r]\na := count([1 | walk(t, [p, v])])",
    "big := concat(\"\", [\"x\" | some i in numbers.range(1, 300000)])\na := regex.find_all_string_submatch_n(\"((((((((((x))))))))))\", big, -1)",
    "big := replace(concat(\"\", [\"x\" | some i in numbers.range(1, 300000)]), \"x\", \"[],[],[],[]\")\na := json.unmarshal(concat(\"\", [\"[\", big, \"]\"]))",
    "a := graph.reachable_paths({x: y | some x in numbers.range(1, 60); y := [x + 1, x + 2]}, [1])",
    "a := json.patch({}, [p | some i in numbers.range(1, 5000); p := {\"op\": \"add\", \"path\": \"/a\", \"value\": i}])",
];

/// Calls that would take too much, with the function and the limit that their errors name.
const REFUSED: &[(&str, &str, &str)] = &[
    ("numbers.range(1, 1000000000)", "numbers.range", "bytes"),
    ("numbers.range_step(1, 1000000000, 2)", "numbers.range_step", "bytes"),
    ("sprintf(\"%999999d\", [1])", "sprintf", "characters of a field"),
    ("sprintf(\"%*d\", [99999999, 1])", "sprintf", "characters of a field"),
    ("sprintf(\"%.999999f\", [1.5])", "sprintf", "characters of a field"),
    ("net.cidr_expand(\"0.0.0.0/0\")", "net.cidr_expand", "bytes"),
    ("net.cidr_contains_matches(nets, nets)", "net.cidr_contains_matches", "comparisons"),
    ("concat(text, [text, text, text, text])", "", ""),
    ("replace(text, \"x\", text)", "replace", "bytes"),
    ("strings.replace_n({\"x\": text}, text)", "strings.replace_n", "bytes"),
    ("regex.replace(text, \"x\", text)", "regex.replace", "bytes"),
    ("to_number(\"1e1000000000\")", "to_number", "digits of a number"),
    ("units.parse_bytes(\"1e10000GB\")", "units.parse_bytes", "digits of a number"),
    ("bits.lsh(1, 1000000000000)", "bits.lsh", "bits of a number"),
    ("product(numbers.range(1000000, 1100000))", "product", "digits of a number"),
    ("graph.reachable_paths(graph, [1])", "graph.reachable_paths", "steps through the graph"),
    ("json.patch({}, patches)", "json.patch", "operations of one patch"),
    ("regex.globs_match(text, text)", "regex.globs_match", "comparisons"),
    (
        "strings.render_template(\"{{range .a}}{{range $.a}}{{range $.a}}x{{end}}{{end}}{{end}}\", {\"a\": list})",
        "strings.render_template",
        "steps of a template",
    ),
    ("strings.render_template(loops, {\"a\": 1})", "strings.render_template", "blocks within each other"),
    (
        "strings.render_template(\"{{printf \\\"%9999999d\\\" 1}}\", {})",
        "strings.render_template",
        "characters of a field",
    ),
    (
        "crypto.x509.parse_certificates(concat(\"\", [text | some i in numbers.range(1, 30)]))",
        "crypto.x509.parse_certificates",
        "bytes of certificates",
    ),
    (
        "crypto.x509.parse_certificate_request(huge)",
        "crypto.x509.parse_certificate_request",
        "bytes of certificates",
    ),
    ("crypto.x509.parse_rsa_private_key(huge)", "crypto.x509.parse_rsa_private_key", "bytes of certificates"),
    ("crypto.parse_private_keys(huge)", "crypto.parse_private_keys", "bytes of certificates"),
];

/// What the calls refer to.
const LARGE: &str = "text := concat(\"\", [\"x\" | some i in numbers.range(1, 50000)])
huge := concat(\"\", [text | some i in numbers.range(1, 30)])
list := numbers.range(1, 1000)
nets := [net | some i in numbers.range(1, 2000); net := sprintf(\"10.%d.%d.0/24\", [i % 256, i % 100])]
graph := {x: y | some x in numbers.range(1, 60); y := [x + 1, x + 2]}
patches := [p | some i in numbers.range(1, 5000); p := {\"op\": \"add\", \"path\": \"/a\", \"value\": i}]
loops := concat(\"\", [\"{{if .a}}\" | some i in numbers.range(1, 100)])
";

#[test]
fn a_call_that_would_take_too_much_names_the_function_and_the_limit() {
    for (call, function, limit) in REFUSED {
        let snapshot = snapshot(&format!("package p\n{LARGE}a := {call}"), &[]);
        let path = QueryPath::parse("p/a").unwrap();
        let told = match snapshot.evaluate(&path, &Input::NONE).and_then(|answer| answer.to_json(1 << 20)) {
            Ok(answer) => format!("{} bytes", answer.map_or(0, |json| json.len())),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(function) && told.contains(limit), "{call}: {told}");
    }
}

/// Calls with large arguments that have to answer, and soon.
const ENDURED: &[&str] = &[
    "is_string(concat(text, [\"\", \"\"]))",
    "regex.match(\"(x+x+)+y\", text)",
    "regex.is_valid(\"((((((((((x{9}){9}){9}){9}){9}){9}){9}){9}){9}){9})\")",
    "glob.match(\"{*,*x,*xx}*{*,*x}*y\", [], text)",
    "io.jwt.decode(huge)",
    "io.jwt.decode(concat(\".\", [huge, huge, huge]))",
    "io.jwt.decode_verify(concat(\".\", [huge, huge, huge]), {\"secret\": \"x\"})",
    "io.jwt.verify_rs256(concat(\".\", [text, text, text]), huge)",
    "semver.compare(\"1.0.0-01\", \"1.0.0-1\")",
    "semver.is_valid(huge)",
    "time.parse_duration_ns(huge)",
    "time.parse_duration_ns(\"99999999999999999999y\")",
    "time.add_date(0, 9223372036854775807, 9223372036854775807, 9223372036854775807)",
    "time.format([0, \"UTC\", text])",
    "numbers.range_step(0, 1, 0)",
    "numbers.range_step(0, 1, -5)",
    "strings.split_n(text, \"\", -9223372036854775807)",
    "strings.render_template(text, {})",
    "strings.render_template(\"{{.a.b.c.d}}\", {\"a\": 1})",
    "sprintf(text, [])",
    "sprintf(\"%[999999999999999999999]d %[0]d %[-1]d %[\", [1])",
    "sprintf(\"%\", [1])",
    "crypto.parse_private_keys(\"-----BEGIN PRIVATE KEY-----\")",
    "crypto.x509.parse_keypair(text, text)",
    "net.cidr_merge(nets)",
    "1e308 * 1e308",
    "1e-308 * 1e-308 + 1e308",
    "indexof(text, \"y\")",
    "units.parse(text)",
    "units.parse(\"1e1000000000\")",
    "units.parse_bytes(\"1e1000000000GB\")",
    "yaml.unmarshal(\"a: &a [1]\\nb: [*a, *a]\")",
];

#[test]
fn hostile_arguments_end_neither_the_process_nor_the_time() {
    // What takes long takes minutes: a slow machine is no reason to fail.
    let limits = Limits { time: std::time::Duration::from_secs(10), ..Limits::default() };
    for call in ENDURED {
        let text = format!("package p\n{LARGE}a := {call}");
        let program =
            Program::compile(&[Module::new("p", text.as_str())], &Options::project(limits.clone())).unwrap();
        let snapshot = Snapshot::new(Arc::new(program), &Data::default()).unwrap();
        let told = ask(&snapshot, "p/a", "{}");
        assert_ne!(told, "policy_engine_failure", "{call}");
        assert_ne!(told, "policy_time_limit", "{call}");
    }
}

#[test]
fn hostile_policies_end_in_errors() {
    for rules in HOSTILE {
        let snapshot = snapshot(&format!("package p\nok := true\n{rules}"), &[]);
        let told = ask(&snapshot, "p/a", "{}");
        assert!(
            told.starts_with("policy_") || told == "undefined",
            "{rules}: {}",
            told.chars().take(100).collect::<String>()
        );
        assert_eq!(ask(&snapshot, "p/ok", "{}"), "true");
    }
}

#[test]
fn what_fills_the_memory_is_named_by_either_evaluator() {
    // The machine does not run `walk` with a pattern, so that is the interpreter's. Little to build, much
    // to walk: time is not what ends it.
    let ten = |of: &str| format!("[{}]", [of; 10].join(", "));
    let walking = format!(
        "r := numbers.range(1, 1000)\ns := {}\nt := {}\nu := {}\na := count([1 | walk(u, [p, v])])",
        ten("r"),
        ten("s"),
        ten("t")
    );
    let both = [walking, "a := numbers.range(1, 1000000000)".to_owned()];
    for rules in both {
        let snapshot = snapshot(&format!("package p\n{rules}"), &[]);
        assert_eq!(ask(&snapshot, "p/a", "{}"), "policy_memory_limit", "{rules}");
    }
}

#[test]
fn hostile_tests_end_in_errors() {
    for rules in HOSTILE {
        // The interpreter multiplies without a guard; its clock alone stops it.
        if rules.contains("n8") {
            continue;
        }
        let text = format!("package p\n{rules}\ntest_a if a with input as {{}}\ntest_ok := true");
        let report = run_tests(&[Module::new("p", text)], &Data::default(), &Options::default()).unwrap();
        assert_eq!(report.results.len(), 2, "{rules}");
        assert_eq!(report.results[1].outcome, Outcome::Passed, "{rules}");
        assert_ne!(report.results[0].outcome, Outcome::Passed, "{rules}: {report:?}");
    }
}

#[test]
fn functions_that_panic_in_the_library_do_not() {
    assert_eq!(answer("package p\na := strings.count(\"abc\", \"\")", "p/a", "{}"), "4");
    assert_eq!(answer("package p\na := strings.count(\"abcabc\", \"bc\")", "p/a", "{}"), "2");
}

#[test]
fn guarded_functions_still_do_their_work() {
    for (call, expected) in [
        ("numbers.range(1, 3)", "[1,2,3]"),
        ("numbers.range(3, 1)", "[3,2,1]"),
        ("concat(\",\", [\"a\", \"b\"])", r#""a,b""#),
        ("replace(\"aXa\", \"a\", \"b\")", r#""bXb""#),
        ("sprintf(\"%05d|%v|%s|%.2f\", [42, {\"k\": 1}, \"s\", 1.5])", r#""00042|{\"k\": 1}|s|1.50""#),
        ("net.cidr_expand(\"10.0.0.0/30\")", r#"["10.0.0.0","10.0.0.1","10.0.0.2","10.0.0.3"]"#),
        ("json.marshal({\"a\": [1]})", r#""{\"a\":[1]}""#),
        ("array.concat([1], [2])", "[1,2]"),
        ("to_number(\"1e3\")", "1000"),
        ("units.parse_bytes(\"10Ki\")", "10240"),
        ("product([2, 3, 4])", "24"),
        ("2.5 * 4", "10"),
        ("12345678901234567890 * 98765432109876543210", "1219326311370217952237463801111263526900"),
        ("bits.lsh(1, 8)", "256"),
        ("json.patch({\"a\": 1}, [{\"op\": \"replace\", \"path\": \"/a\", \"value\": 2}])", r#"{"a":2}"#),
        ("graph.reachable_paths({\"a\": [\"b\"], \"b\": []}, [\"a\"])", r#"[["a","b"]]"#),
        ("regex.replace(\"abc\", \"b\", \"X\")", r#""aXc""#),
        ("strings.replace_n({\"a\": \"1\", \"b\": \"2\"}, \"ab\")", r#""12""#),
        ("upper(\"a\")", r#""A""#),
        ("{1} | {2}", "[1,2]"),
        ("[p | walk({\"k\": [7]}, [p, _])]", r#"[[],["k"],["k",0]]"#),
        ("split(\"a,b\", \",\")", r#"["a","b"]"#),
        ("regex.find_all_string_submatch_n(\"a(.)\", \"axay\", -1)", r#"[["ax","x"],["ay","y"]]"#),
        ("json.unmarshal(\"[1]\")", "[1]"),
        ("json.is_valid(\"[1\")", "false"),
        ("indexof_n(\"abab\", \"b\")", "[1,3]"),
    ] {
        let told = answer(&format!("package p\na := {call}"), "p/a", "{}");
        assert!(
            told == expected || told.parse::<f64>().ok().is_some_and(|n| Ok(n) == expected.parse()),
            "{call}: {told}"
        );
    }
}

#[test]
fn a_guarded_function_can_be_replaced_in_a_test() {
    let text = "package p\na := upper(input.x)\ntest_a if a == \"y\" with upper as \"y\" with input.x as \"x\"\n\
        test_b if a == \"xx\" with upper as double with input.x as \"x\"\ndouble(x) := concat(\"\", [x, x])";
    let report = run_tests(&[Module::new("p", text)], &Data::default(), &Options::default()).unwrap();
    assert!(report.is_success(), "{report:?}");
}
