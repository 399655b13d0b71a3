// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms apply` of a folder, and a change request from the command line, against a real server.

use std::path::Path;

use cms_tests::{Process, cms_in};
use serde_json::Value;

/// A command line at a server.
struct Line<'a> {
    folder: &'a Path,
    address: String,
    token: String,
}

impl Line<'_> {
    /// Runs a command in the project `demo`, which must end as expected; answers what it says.
    #[track_caller]
    fn run(&self, arguments: &[&str], ends: i32) -> Value {
        let common = ["-p", "demo", "-o", "json", "--addr", &self.address, "--token", &self.token];
        let done = cms_in(self.folder, &[arguments, &common].concat(), "");
        let (said, complaint) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(ends), "{arguments:?}: {said}{complaint}");
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }
}

#[test]
fn a_folder_is_applied_once_and_asked_for_where_approvals_are_needed() {
    let server = Process::dev(&[]);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join("all").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let line = Line {
        folder: folder.path(),
        address: server.ready["url"].as_str().unwrap().to_owned(),
        token: server.ready["root_token"].as_str().unwrap().to_owned(),
    };
    write("policies/team/search.rego", "package team.search\n\nallow if data.team.owners[input.user]\n");
    write("data/team.json", r#"{"owners": {"ada": true}}"#);
    let plan = line.run(&["apply", "-f", "all", "--dry-run"], 0);
    let names: Vec<&str> =
        plan["changes"].as_array().unwrap().iter().map(|change| change["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["team", "team/search"], "data comes before what reads it");
    line.run(&["policy", "get", "team/search"], 3);
    assert_eq!(line.run(&["apply", "-f", "all"], 0)["changes"].as_array().unwrap().len(), 2);
    let again = line.run(&["apply", "-f", "all"], 0);
    assert_eq!((again["changes"].as_array().unwrap().len(), &again["unchanged"]), (0, &Value::from(2)));
    // With approvals, a folder is asked for.
    let environments = line.run(&["env", "list"], 0);
    let name = environments["items"][0]["name"].as_str().unwrap().to_owned();
    line.run(&["env", "set", &name, "--approvals", "1", "--auto-release", "true"], 0);
    write("data/team.json", r#"{"owners": {"ada": true, "bob": true}}"#);
    line.run(&["apply", "-f", "all"], 4);
    let request = line.run(&["apply", "-f", "all", "--request", "Bob owns it too"], 0);
    let (id, hash) = (request["id"].as_str().unwrap(), request["hash"].as_str().unwrap());
    assert!(line.run(&["request", "diff", id], 0)["diff"].as_str().unwrap().contains("bob"));
    line.run(&["request", "approve", id, "--hash", hash], 4);
    line.run(&["request", "apply", id], 4);
    assert_eq!(line.run(&["request", "list", "--state", "open"], 0)["items"].as_array().unwrap().len(), 1);
    line.run(&["request", "apply", id, "--emergency", "--reason", "nobody else is there"], 0);
    assert_eq!(line.run(&["apply", "-f", "all"], 0)["changes"].as_array().unwrap().len(), 0);
    assert!(server.stop().0);
}
