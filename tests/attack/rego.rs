// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies written by an enemy, and answers that are no clear yes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cms_tests::served;
use serde_json::{Value, json};

/// How much memory this process has had at most, the server in it included; 0 where nobody tells.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1_024
}

#[test]
fn row_27_no_policy_stops_the_server() {
    let nested = |open: &str, close: &str| format!("x := {}1{}", open.repeat(20_000), close.repeat(20_000));
    let doubled = |seed: &str, step: &str| {
        let lines: Vec<String> =
            (1..40).map(|at| format!("x{at} := {}", step.replace('@', &format!("x{}", at - 1)))).collect();
        format!("x0 := {seed}\n{}\nx := x39", lines.join("\n"))
    };
    let bombs: Vec<(&str, String)> = vec![
        ("an empty needle", "x := strings.count(\"aaaa\", \"\")".into()),
        ("a wide number", "x := sprintf(\"%4000000000d\", [1])".into()),
        ("a precise number", "x := sprintf(\"%.4000000000f\", [1.5])".into()),
        ("a long range", "x := count(numbers.range(1, 1000000000))".into()),
        ("a doubled string", doubled("\"aaaaaaaaaaaaaaaa\"", "concat(\"\", [@, @])")),
        ("a doubled array", doubled("[1, 2, 3, 4]", "array.concat(@, @)")),
        ("all addresses", "x := count(net.cidr_expand(\"0.0.0.0/0\"))".into()),
        ("brackets", nested("[", "]")),
        ("parentheses", nested("(", ")")),
        ("a recursion", "x := y\n\ny := x".into()),
        ("a recursive function", "f(n) := f(n + 1)\n\nx := f(1)".into()),
        ("a squared number", doubled("123456789123456789", "@ * @")),
        ("a huge unit", "x := units.parse_bytes(\"1e1000000000GB\")".into()),
        ("a product of ranges", "x := count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); a + b == c])".into()),
        ("paths of a graph", "g := {sprintf(\"%d\", [n]): [sprintf(\"%d\", [m]) | some m in numbers.range(1, 20)] | some n in numbers.range(1, 20)}\n\nx := count(graph.reachable_paths(g, {\"1\"}))".into()),
        ("a hard expression", "x := regex.match(\"(a+)+$\", \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\")".into()),
        ("nested collections", format!("x0 := [1, 2, 3]\n{}\nx := x30", (1..31).map(|at| format!("x{at} := [x{0}, x{0}, x{0}, x{0}]\n", at - 1)).collect::<String>())),
        ("a set of pairs", "x := count({[a, b] | some a in numbers.range(1, 2000); some b in numbers.range(1, 2000)})".into()),
        ("an object of pairs", "x := count({sprintf(\"%d-%d\", [a, b]): b | some a in numbers.range(1, 2000); some b in numbers.range(1, 2000)})".into()),
        ("an array of arrays", "r := numbers.range(1, 2000)\n\nx := [c | some a in r; some b in r; c := [a, b, r]]".into()),
        ("a tree that is walked", "r := numbers.range(1, 300)\n\nt := [[r | some a in r] | some b in r]\n\nx := count([1 | walk(t, [p, v])])".into()),
        ("a hundred replacements", doubled("\"aa\"", "replace(@, \"a\", \"aa\")")),
    ];
    served(async |it| {
        let key = it.holder(&it.empty_project("bomber").await);
        let quiet = it.project("quiet").await;
        let quiet = it.holder(quiet["keys"][0]["key"].as_str().unwrap());
        let before = peak_mib();
        for (bomb, rules) in bombs {
            let started = Instant::now();
            let put = it
                .root()
                .put_text("projects/bomber/policies/bomb", &format!("package bomb\n\n{rules}\n"))
                .await;
            assert!([200, 201, 413, 422].contains(&put.status), "{bomb}: {} {}", put.status, put.text());
            if put.status < 300 {
                let decided = key.post("projects/bomber/decisions", json!({"path": "bomb/x"})).await;
                assert!([200, 422].contains(&decided.status), "{bomb}: {}", decided.text());
                assert!(decided.status == 422 || decided.body.len() < 2 << 20, "{bomb}");
            } else {
                assert!(!put.teaches()["detail"].as_str().unwrap().is_empty());
            }
            println!("{bomb}: {:?}, {} MiB at most so far", started.elapsed(), peak_mib());
            // Debug builds are slow; what matters is that it ends.
            assert!(peak_mib() < before + 1_024, "{bomb}: {} MiB", peak_mib());
            assert!(started.elapsed() < Duration::from_secs(20), "{bomb}: {:?}", started.elapsed());
            quiet
                .post("projects/quiet/decisions", json!({"path": "rag/authz/allow", "input": {}}))
                .await
                .is(200);
        }
    });
}

#[test]
fn row_28_builtins_that_reach_outside_are_refused_by_name() {
    served(async |it| {
        it.empty_project("p").await;
        for (builtin, rule) in [
            ("http.send", "x := http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1:1\"})"),
            ("net.lookup_ip_addr", "x := net.lookup_ip_addr(\"localhost\")"),
        ] {
            let put = it.root().put_text("projects/p/policies/x", &format!("package x\n\n{rule}\n")).await;
            let problem = put.problem(422, "invalid_policy");
            assert!(problem["errors"].to_string().contains(builtin), "{problem}");
        }
        let put = it.root().put_text("projects/p/policies/x", "package x\n\nx := opa.runtime()\n").await;
        if put.status < 300 {
            let decided = it.root().post("projects/p/decisions", json!({"path": "x/x"})).await;
            assert!(
                !decided.text().contains("PATH") && !decided.text().contains("HOME"),
                "{}",
                decided.text()
            );
        }
    });
}

#[test]
fn row_29_a_project_s_policies_see_their_own_data_only() {
    served(async |it| {
        let key = it.holder(&it.empty_project("mine").await);
        it.empty_project("theirs").await;
        it.root().put("projects/theirs/data/secretive", json!({"value": "of theirs"})).await.is(201);
        it.root()
            .put_text("projects/theirs/policies/secretive", "package secretive.rules\n\nx := \"of theirs\"\n")
            .await
            .is(201);
        let spy =
            "package spy\n\na := data.secretive\n\nb := data.theirs\n\nc := data.projects\n\nall := data\n";
        let put = it.root().put_text("projects/mine/policies/spy", spy).await;
        for rule in ["spy/a", "spy/b", "spy/c", "spy/all", "secretive", "secretive/value"] {
            let decided = key.post("projects/mine/decisions", json!({"path": rule})).await;
            assert!(!decided.text().contains("of theirs"), "{rule}: {}", decided.text());
        }
        assert!([201, 422].contains(&put.status));
        for package in ["cms", "cms.authz", "cms.anything.at.all"] {
            let put = it
                .root()
                .put_text("projects/mine/policies/reserved", &format!("package {package}\n\nx := 1\n"))
                .await;
            assert_eq!(put.status, 422, "{package}: {}", put.text());
        }
        // The same package in two projects is two packages.
        it.root()
            .put_text("projects/mine/policies/twin", "package secretive.rules\n\nx := \"of mine\"\n")
            .await
            .is(201);
        let decided = key.post("projects/mine/decisions", json!({"path": "secretive/rules/x"})).await.is(200);
        assert_eq!(decided["result"], "of mine");
    });
}

#[test]
fn row_30_whatever_is_not_true_denies() {
    served(async |it| {
        let key = it.holder(&it.empty_project("p").await);
        let rules = [
            ("text", "\"true\"", 403),
            ("object", "{}", 403),
            ("number", "1", 403),
            ("zero", "0", 403),
            ("list", "[true]", 403),
            ("null_value", "null", 403),
            ("no", "false", 403),
            ("missing", "input.not.there", 403),
            ("failing", "to_number(\"x\")", 403),
            (
                "endless",
                "count([1 | some a in numbers.range(1, 5000); some b in numbers.range(1, 5000); a == b * 7]) > 0",
                403,
            ),
            ("nested", "{\"allow\": \"true\"}", 403),
            ("yes", "true", 200),
            ("yes_with_reason", "{\"allow\": true, \"reason\": \"fine\"}", 200),
        ];
        let mut policy = "package gate\n".to_owned();
        for (name, value, _) in rules {
            policy.push_str(&format!("\n{name} := {value}\n"));
        }
        it.root().put_text("projects/p/policies/gate", &policy).await.is(201);
        for (name, _, expected) in rules {
            let asked = key.get(&format!("auth/verify?project=p&path=gate/{name}")).await;
            assert_eq!(asked.status, expected, "{name}: {}", asked.text());
        }
        assert_eq!(key.get("auth/verify?project=p&path=nothing/here").await.status, 403);
        assert_eq!(key.get("auth/verify?project=p&environment=nowhere&path=gate/yes").await.status, 403);
    });
}

#[test]
fn row_31_no_decision_sees_half_a_release() {
    served(async |it| {
        let body = json!({"id": "p", "name": "p", "template": "empty", "auto_release": false});
        let key =
            it.holder(it.root().post("projects", body).await.is(201)["keys"][0]["key"].as_str().unwrap());
        let mut releases = Vec::new();
        for at in 0..2 {
            it.root()
                .put_text(
                    "projects/p/policies/pair",
                    &format!("package pair\n\nx := [{at}, data.half.value]\n"),
                )
                .await;
            it.root().put("projects/p/data/half", json!({"value": at})).await;
            releases.push(
                it.root().post("projects/p/releases", json!(null)).await.is(201)["id"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        let activate = async |release: &str| {
            it.root()
                .post("projects/p/environments/default/activate", json!({"release": release}))
                .await
                .is(200)
        };
        activate(&releases[0]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let deciders: Vec<_> = (0..4)
            .map(|_| {
                let (key, stop, releases) = (key.clone(), stop.clone(), releases.clone());
                tokio::spawn(async move {
                    let mut asked = 0_usize;
                    while !stop.load(Ordering::Relaxed) {
                        let decided =
                            key.post("projects/p/decisions", json!({"path": "pair/x"})).await.is(200);
                        let at = releases.iter().position(|release| decided["release"] == **release).unwrap();
                        assert_eq!(decided["result"], json!([at, at]), "{decided}");
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for at in 1..=60 {
            activate(&releases[at % 2]).await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut asked = 0;
        for decider in deciders {
            asked += decider.await.unwrap();
        }
        assert!(asked > 100, "only {asked} decisions were made meanwhile");
        let Value::Object(_) = it.root().get("health").await.is(200) else { panic!("no health") };
    });
}
