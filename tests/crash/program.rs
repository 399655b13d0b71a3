// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the program says when it starts, and when it does not.

use std::time::Instant;

use cms_tests::{Installation, Process};
use serde_json::{Value, json};

#[test]
fn the_first_minute_works_as_it_is_printed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let started = Instant::now();
    let dev = Process::dev(&[]);
    assert!(dev.ready["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{}", dev.ready);
    runtime.block_on(async {
        let root = dev.root();
        let projects = root.all("projects").await;
        assert!(projects.iter().any(|project| project["id"] == "demo"), "{projects:?}");
        assert!(root.all("projects/demo/environments").await.len() >= 2);
        assert!(!root.all("projects/demo/secrets").await.is_empty());
        assert!(
            !root.all("projects/demo/policies").await.is_empty()
                && !root.all("projects/demo/data").await.is_empty()
        );
        assert!(!root.all("projects/demo/keys").await.is_empty());
        assert_eq!(root.get("audit/-/verify").await.is(200)["ok"], true);
    });
    println!("from start to proof in {:?}", started.elapsed());
    assert!(dev.stop().0);
}

#[test]
fn dev_takes_a_token_and_leaves_the_sample_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dev = Process::dev(&["--root-token", "letmein", "--no-sample"]);
    assert_eq!(dev.ready["root_token"], "letmein");
    let known = dev.ready.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(known, ["root_token", "url"], "one line with these two");
    runtime.block_on(async {
        dev.nobody().with_token("letmein").get("projects/demo").await.is(404);
    });
    let refused = Installation::new().cms(&["dev", "--listen", "0.0.0.0:0"], false);
    assert!(!refused.status.success(), "a dev server listens to strangers");
}

#[test]
fn dev_keeps_what_it_is_told_to_keep() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let home = tempfile::tempdir().unwrap();
    let persist = ["--persist", home.path().to_str().unwrap(), "--no-sample"];
    let first = Process::dev(&persist);
    let token = first.ready["root_token"].clone();
    runtime.block_on(async {
        first.root().post("projects", json!({"id": "kept", "name": "kept"})).await.is(201);
    });
    first.kill();
    let second = Process::dev(&persist);
    assert_eq!(second.ready["root_token"], token);
    runtime.block_on(async {
        second.root().get("projects/kept").await.is(200);
    });
}

#[test]
fn init_makes_one_installation_and_refuses_a_second() {
    let it = Installation::new();
    assert!(it.root.len() > 20);
    let again = it.cms(&["init", "--output", "json"], true);
    assert!(!again.status.success());
    assert!(!String::from_utf8_lossy(&again.stdout).contains("root_token"));
    it.verify_clean();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(it.home().join("seal.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "others can read the seal key: {mode:o}");
}

#[test]
fn settings_are_checked_before_the_port_is_bound() {
    let it = Installation::new();
    let said = |arguments: &[&str]| {
        let output = it.cms(arguments, true);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["serve", "--listen", "nonsense"]).contains("listen"));
    let settings = it.home().join("cms.toml");
    std::fs::write(&settings, "listen = \"127.0.0.1:0\"\nno_such_setting = 1\n").unwrap();
    assert!(said(&["serve", "--config", settings.to_str().unwrap()]).contains("no_such_setting"));
    assert!(said(&["serve", "--tls-cert", "/nowhere.pem"]).contains("tls"));
}

#[test]
fn a_slip_in_the_path_of_the_store_makes_no_store() {
    let installation = Installation::new();
    let elsewhere = installation.home().join("stroe");
    let store = format!("embedded:{}", elsewhere.display());
    let key = installation.home().join("seal.key");
    for command in ["serve", "verify", "doctor"] {
        let arguments = [command, "--store", &store, "--seal-key-file", key.to_str().unwrap()];
        let refused = installation.cms(&arguments, false);
        assert!(!refused.status.success(), "{command}");
        let said = [refused.stdout, refused.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("cms init"), "{command} says what to do");
        assert!(!elsewhere.exists(), "{command} made it");
    }
}

#[test]
fn doctor_says_what_is_wrong() {
    let it = Installation::new();
    let well = it.cms(&["doctor"], true);
    assert!(
        well.status.success(),
        "{}{}",
        String::from_utf8_lossy(&well.stdout),
        String::from_utf8_lossy(&well.stderr)
    );
    std::fs::remove_file(it.home().join("seal.key")).unwrap();
    let ill = it.cms(&["doctor"], true);
    assert_eq!(ill.status.code(), Some(1), "{}", String::from_utf8_lossy(&ill.stdout));
}

#[test]
fn a_server_drains_when_it_is_told_to_stop() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let server = it.serve("warn");
        let root = it.root_at(&server);
        root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let root = root.clone();
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    for at in 0.. {
                        let path = format!("projects/p/secrets/w{writer}/n{at}");
                        let body = json!({"data": {"v": at}}).to_string();
                        let Ok(response) = root.request("PUT", &path).body(body).send().await else {
                            return taken;
                        };
                        if response.status() != 201 || response.bytes().await.is_err() {
                            return taken;
                        }
                        taken.push(path);
                    }
                    taken
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        let started = Instant::now();
        let (ended, _) = tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
        assert!(ended && started.elapsed().as_secs() < 12, "{:?}", started.elapsed());
        let again = it.serve("warn");
        let root = it.root_at(&again);
        for writer in writers {
            for path in writer.await.unwrap() {
                let _: Value = root.get(&path).await.is(200);
            }
        }
    });
    it.verify_clean();
}
