// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands that teams manage configs with, as they are typed, at a server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use cms_tests::{Caller, Process, binary, cms_in};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A server with an empty project `p`, and a directory to work in.
struct Desk {
    runtime: Runtime,
    dev: Process,
    root: Caller,
    home: TempDir,
}

impl Desk {
    fn new(project: Value) -> Self {
        let runtime = Runtime::new().unwrap();
        let dev = Process::dev(&["--no-sample"]);
        let root = dev.root();
        runtime.block_on(async {
            root.post("projects", project).await.is(201);
        });
        Self { runtime, dev, root, home: tempfile::tempdir().unwrap() }
    }

    /// A project with `dev`, which releases by itself, and `prod`, which does not.
    fn staged() -> Self {
        let it =
            Self::new(json!({"id": "p", "name": "p", "template": "empty", "environments": ["dev", "prod"]}));
        it.runtime.block_on(async {
            it.root.put("projects/p/environments/prod", json!({"auto_release": false})).await.is(200);
        });
        it
    }

    fn flags(&self) -> [String; 6] {
        let part = |name: &str| self.dev.ready[name].as_str().unwrap().to_owned();
        let [addr, token, project] = ["--addr", "--token", "--project"].map(String::from);
        [addr, part("url"), token, part("root_token"), project, "p".to_owned()]
    }

    /// The exit code, standard output and standard error of a command.
    fn run(&self, line: &[&str], input: &str) -> (i32, String, String) {
        let flags = self.flags();
        // Global flags stand before what `run` hands on.
        let end = line.iter().position(|word| *word == "--").unwrap_or(line.len());
        let (own, handed) = line.split_at(end);
        let words: Vec<&str> = own
            .iter()
            .copied()
            .chain(flags.iter().map(String::as_str))
            .chain(handed.iter().copied())
            .collect();
        let output = cms_in(self.home.path(), &words, input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// What a command that must end well has printed.
    #[track_caller]
    fn cms(&self, line: &[&str], input: &str) -> String {
        let (code, out, told) = self.run(line, input);
        assert_eq!(code, 0, "{line:?}: {out}{told}");
        out
    }

    /// The same as JSON.
    #[track_caller]
    fn json(&self, line: &[&str]) -> Value {
        let words: Vec<&str> = line.iter().copied().chain(["--output", "json"]).collect();
        serde_json::from_str(&self.cms(&words, "")).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn a_promotion_is_planned_made_and_taken_back() {
    let it = Desk::staged();
    it.cms(&["config", "set", "api", "-"], "url: https://{{ env }}.example.com\n");
    let plan = it.cms(&["promote", "dev", "prod", "--dry-run"], "");
    assert!(plan.contains("as services read it") && plan.contains("https://prod.example.com"), "{plan}");
    let (code, _, told) = it.run(&["config", "resolve", "api", "-e", "prod"], "");
    assert_ne!(code, 0, "a plan changes nothing: {told}");
    assert!(it.json(&["promote", "dev", "prod"])["activation"]["version"].is_u64());
    let read = it.json(&["config", "resolve", "api", "-e", "prod"]);
    assert_eq!(read["content"]["url"], "https://prod.example.com");
    assert!(it.cms(&["promote", "dev", "prod"], "").contains("nothing differs"));
    it.cms(&["config", "set", "api", "-"], "url: elsewhere\n");
    it.cms(&["promote", "dev", "prod"], "");
    it.cms(&["env", "rollback", "prod"], "");
    assert_eq!(it.json(&["config", "resolve", "api", "-e", "prod"])["content"], read["content"]);
}

#[test]
fn environments_are_compared_key_by_key_without_secrets() {
    let it = Desk::staged();
    it.cms(&["secret", "put", "llm", "value=-"], "sk-never-to-be-seen-1");
    it.cms(&["config", "set", "api", "-"], "same: 1\nurl: '{{ env }}'\nkey: ${{ secret:llm }}\n");
    it.cms(&["promote", "dev", "prod"], "");
    let shown = it.cms(&["diff", "dev", "prod"], "");
    let row = |shown: &str, key: &str| {
        let line = shown.lines().find(|line| line.split_whitespace().nth(1) == Some(key));
        line.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(row(&shown, "url").unwrap(), ["api", "url", "dev", "prod"]);
    assert_eq!(row(&shown, "same"), None);
    let all = it.cms(&["diff", "dev", "prod", "--all"], "");
    assert_eq!(row(&all, "same").unwrap(), ["api", "same", "1", "1"]);
    assert!(row(&all, "key").is_some() && !all.contains("never-to-be-seen"), "{all}");
    assert_ne!(it.run(&["diff", "dev", "prod", "--exit-code"], "").0, 0);
}

#[test]
fn a_folder_is_applied_as_a_whole_once_and_pruned_on_request() {
    let it = Desk::new(json!({"id": "p", "name": "p"}));
    it.write("f/schemas/api.json", r#"{"required": ["port"]}"#);
    it.write("f/configs/api.yaml", "port: 1\n");
    it.write("f/configs/old.toml", "a = 1\n");
    let planned = it.json(&["apply", "-f", "f", "--dry-run"]);
    assert_eq!((planned["changes"].as_array().unwrap().len(), &planned["applied"]), (3, &json!(false)));
    let done = it.json(&["apply", "-f", "f"]);
    assert_eq!(done["changes"], planned["changes"], "a dry run prints what is done");
    assert_eq!(it.json(&["config", "get", "api"])["schema"], "api");
    assert_eq!(it.json(&["apply", "-f", "f"])["unchanged"], 3);
    // One is refused, so nothing is written.
    it.write("f/configs/old.toml", "a = 2\n");
    it.write("f/configs/api.yaml", "ports: 1\n");
    let (code, _, told) = it.run(&["apply", "-f", "f"], "");
    assert_ne!(code, 0);
    assert!(told.contains("does not keep to the schema"), "{told}");
    assert_eq!(it.json(&["config", "get", "old"])["version"], 1);
    // What the folder has no kind for stays, the default policies among it.
    fs::remove_file(it.home.path().join("f/configs/old.toml")).unwrap();
    it.write("f/configs/api.yaml", "port: 1\n");
    let pruned = it.json(&["apply", "-f", "f", "--prune"]);
    assert_eq!(
        pruned["changes"],
        json!([{"change": "delete", "kind": "config", "name": "old", "version": 1}])
    );
    assert!(!it.json(&["policy", "list"])["items"].as_array().unwrap().is_empty());
    for number in 0..101 {
        it.write(&format!("many/configs/c{number}.json"), "{}");
    }
    let (code, _, told) = it.run(&["apply", "-f", "many"], "");
    assert!(code != 0 && told.contains("101 documents") && told.contains("several"), "{told}");
    it.write("f/policies/own.rego", "package own\n");
    let opened = it.json(&["apply", "-f", "f", "--prune", "--request", "Only our own"]);
    assert_eq!(opened["state"], "open");
    assert!(
        opened["changes"].as_array().unwrap().iter().any(|change| change["name"] == "rag/authz"),
        "{opened}"
    );
}

#[test]
fn webhooks_are_made_listed_and_removed() {
    let it = Desk::staged();
    let made = it.json(&["webhook", "create", "http://127.0.0.1:1/", "--event", "config"]);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    let id = made["id"].as_str().unwrap();
    let listed = it.cms(&["webhook", "list"], "");
    assert!(listed.contains(id) && !listed.contains("whsec_"), "{listed}");
    it.cms(&["config", "set", "api", "-"], "a: 1\n");
    let sent = it.json(&["webhook", "deliveries", id]);
    assert_eq!(sent["items"][0]["type"], "config.changed", "{sent}");
    let event = sent["items"][0]["id"].as_str().unwrap();
    assert!(it.cms(&["webhook", "resend", id, event], "").contains("pending"));
    it.cms(&["webhook", "remove", id], "");
    assert_ne!(it.run(&["webhook", "deliveries", id], "").0, 0);
}

#[test]
fn a_program_runs_with_configs_and_secrets_and_keeps_its_signals_and_exit_code() {
    let it = Desk::staged();
    it.cms(&["secret", "put", "llm/openai", "key=-"], "sk-1");
    it.cms(&["config", "set", "api", "-"], "port: 80\ndb: {host: '{{ env }}'}\n");
    let line = ["run", "--config", "api", "--secret", "llm/openai", "-e", "dev", "--"];
    let with = |rest: &[&'static str]| line.iter().copied().chain(rest.iter().copied()).collect::<Vec<_>>();
    let out = it.cms(&with(&["sh", "-c", "echo $PORT $DB_HOST $LLM_OPENAI_KEY"]), "");
    assert_eq!(out.trim(), "80 dev sk-1");
    assert_eq!(it.run(&with(&["sh", "-c", "exit 7"]), "").0, 7);
    assert_ne!(it.run(&with(&["no-such-program"]), "").0, 0);
    let (code, _, told) = it.run(&["run", "--config", "absent", "-e", "dev", "--", "true"], "");
    assert!(code != 0 && told.contains("absent"), "{told}");
    // The program takes the place of `cms`: a signal is its own.
    let script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = Command::new(binary())
        .args(["run", "--config", "api", "-e", "dev"])
        .args(it.flags())
        .args(["--", "sh", "-c", script])
        .env("HOME", it.home.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(child.wait().unwrap().code(), Some(42));
}
