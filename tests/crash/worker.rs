// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The process that tries policies: what it may have, and that the server outlives it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use cms_tests::{Process, binary};
use serde_json::json;

/// A test that takes as long as tests may: each of its steps is within every other limit.
const SLOW: &str = "package slow_test\n\n\
    r := numbers.range(1, 3000)\n\n\
    test_slowly if count([1 | some a in r; some b in r; some c in r; a + b == c]) > 0\n";

#[test]
fn the_worker_can_open_nothing_and_has_little() {
    let mut worker = Command::new(binary())
        .arg("policy-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let limits = || fs::read_to_string(format!("/proc/{}/limits", worker.id())).unwrap();
    // The last of its limits is in force once it waits for its input.
    let limit = |name: &str| {
        let limits = limits();
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    for _ in 0..500 {
        if limit("Max open files") == "3" {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(limit("Max open files"), "3");
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max address space"), (2_u64 << 30).to_string());
    assert_eq!(limit("Max cpu time"), "20");
    drop(worker.stdin.take());
    assert!(!worker.wait().unwrap().success(), "nothing is no candidate");
}

#[test]
fn policies_are_tried_in_a_process_whose_end_the_server_survives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dev = Process::dev(&["--no-sample"]);
    runtime.block_on(async {
        let root = dev.root();
        root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
        root.put_text("projects/p/policies/good", "package good\n\nallow := true\n").await.is(201);
        let failing = "package good_test\n\ntest_it if data.good.allow == false\n";
        let refused = root.put_text("projects/p/policies/good_test", failing).await.is(422);
        assert_eq!(refused["code"], "tests_failed", "{refused}");

        let caller = root.clone();
        let slow = tokio::spawn(async move { caller.put_text("projects/p/policies/slow_test", SLOW).await });
        let worker = loop {
            assert!(!slow.is_finished(), "the tests ran elsewhere: {}", slow.await.unwrap().text());
            if let Some(worker) = children(dev.id()).pop() {
                break worker;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        root.get("projects/p/policies").await.is(200);
        assert!(Command::new("kill").args(["-KILL", &worker]).status().unwrap().success());
        let refused = slow.await.unwrap().is(422);
        assert_eq!(refused["code"], "policy_trial_limit", "{refused}");
        root.get("projects/p/policies/slow_test").await.is(404);
        root.put_text("projects/p/policies/good", "package good\n\nallow := false\n").await.is(200);
    });
    assert!(dev.stop().0);
}

/// The ids of the processes that a process has started, from all of its threads.
fn children(process: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    children.flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
