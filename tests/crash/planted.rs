// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plants secrets that occur nowhere else, uses everything, and searches what the server leaves behind:
//! the files of the store, the audit file, what it has written to its outputs with everything logged, and
//! the core image that it must not leave. (What sealing leaves in memory is a test of cms-core.)

use std::path::{Path, PathBuf};
use std::process::Command;

use cms_tests::Installation;
use serde_json::{Value, json};

/// Every file under a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// The forms in which a secret may lie about.
fn forms(secret: &str) -> Vec<String> {
    let base64 = data_encoding::BASE64.encode(secret.as_bytes());
    // Without the last characters, which depend on what follows.
    let base64 = base64.trim_end_matches('=');
    vec![
        secret.to_owned(),
        data_encoding::HEXLOWER.encode(secret.as_bytes()),
        base64[..base64.len() - 2].to_owned(),
    ]
}

#[test]
fn planted_secrets_are_found_nowhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    let mut planted = vec![("root credential", it.root.clone())];
    let mut plant = |what: &'static str, text: &str| planted.push((what, text.to_owned()));
    let (logs, own) = runtime.block_on(async {
        let server = it.serve("trace");
        let root = it.root_at(&server);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let made = root.post("projects", json!({"id": "p", "name": "p"})).await.is(201);
        plant("first key", &text(&made["keys"][0]["key"]));
        let password = "Planted-password-7Qz1";
        plant("password", password);
        root.post("users", json!({"username": "eve", "password": password})).await.is(201);
        root.put("projects/p/members/eve", json!({"role": "project-admin"})).await.is(201);
        let body = json!({"username": "eve", "password": password});
        let pair = server.nobody().post("auth/login", body).await.is(200);
        let again = server
            .nobody()
            .post("auth/refresh", json!({"refresh_token": pair["refresh_token"]}))
            .await
            .is(200);
        for pair in [&pair, &again] {
            plant("access token", &text(&pair["access_token"]));
            plant("refresh token", &text(&pair["refresh_token"]));
        }
        let wrong = "Planted-wrong-password-8Kx2";
        plant("wrong password", wrong);
        server.nobody().post("auth/login", json!({"username": "eve", "password": wrong})).await.is(401);
        server.nobody().post("auth/login", json!({"username": wrong, "password": "x"})).await.is(401);
        let eve = server.nobody().with_token(&text(&again["access_token"]));
        let (value, nested, field) = ("Planted-value-9Wy3-äöü", "Planted-nested-1Vb4", "Planted-field-2Ng5");
        for (what, secret) in [("value", value), ("nested value", nested), ("field name", field)] {
            plant(what, secret);
        }
        let data = json!({"data": {"v": value, "deep": {"a": [nested]}, field: 1}});
        eve.put("projects/p/secrets/llm/key", data.clone()).await.is(201);
        eve.get("projects/p/secrets/llm/key").await.is(200);
        eve.post("projects/p/secrets/-/reveal/llm/key", json!({"reason": "because"})).await.is(200);
        eve.post("projects/p/secrets/-/rotate/llm/key", json!({"field": "v"})).await.is(200);
        let rotated = eve.post("projects/p/secrets/-/reveal/llm/key", json!(null)).await.is(200);
        plant("generated value", &text(&rotated["data"]["v"]));
        // Mistakes are where secrets leak.
        eve.put("projects/p/secrets/llm/key", json!({"data": {"v": value}, "cas": 99})).await.is(409);
        eve.put("projects/p/secrets/llm/key", json!({"data": {"v": value}, "unknown": value})).await.is(400);
        eve.send(
            "PUT",
            "projects/p/secrets/llm/key",
            "application/json",
            format!("{{\"data\":{{\"v\":\"{value}\""),
        )
        .await
        .is(400);
        eve.send("PUT", "projects/p/secrets/llm/key", "text/plain", value).await.is(415);
        eve.put("projects/p/secrets/llm/key", json!({"data": {"v": vec![value; 5000]}})).await;
        eve.put("projects/p/secrets/../x", data).await;
        let made = eve.post("projects/p/keys", json!({"name": "k", "scopes": ["decide"]})).await.is(201);
        plant("key", &text(&made["key"]));
        let id = text(&made["id"]);
        let rotated =
            eve.post(&format!("projects/p/keys/{id}/rotate"), json!({"overlap_seconds": 60})).await.is(200);
        plant("rotated key", &text(&rotated["key"]));
        let once = eve
            .with("idempotency-key", "k1")
            .post("projects/p/keys", json!({"name": "k2", "scopes": ["decide"]}))
            .await
            .is(201);
        plant("key of an idempotent request", &text(&once["key"]));
        let key = server.nobody().with("x-api-key", &text(&made["key"]));
        key.post(
            "projects/p/decisions",
            json!({"path": "rag/authz/allow", "input": {"token": "Planted-input-3Hm6"}}),
        )
        .await
        .is(200);
        plant("input of a decision", "Planted-input-3Hm6");
        key.get("projects/p/secrets/llm/key").await.is(403);
        server.nobody().with_token("Planted-bogus-token-4Jr7").get("projects").await.is(401);
        plant("bogus token", "Planted-bogus-token-4Jr7");
        root.get("audit").await.is(200);
        assert_eq!(root.get("audit/-/verify").await.is(200)["ok"], true);
        eve.delete("projects/p/secrets/llm/key").await.is(200);
        eve.post("auth/logout", json!(null)).await.is(204);
        let own = Path::new("/proc").join(server.id().to_string());
        let limits = std::fs::read_to_string(own.join("limits")).unwrap_or_default();
        let (ended, logs) = server.stop();
        assert!(ended);
        (logs, limits)
    });
    it.verify_clean();
    assert!(logs.len() > 1_000, "nothing was logged at the level `trace`");
    if let Some(line) = own.lines().find(|line| line.starts_with("Max core file size")) {
        assert!(line.split_whitespace().nth(4) == Some("0"), "the server may leave a core image: {line}");
    }
    let mut searched = vec![("the output".to_owned(), logs)];
    for file in files(it.home()) {
        // The key that seals everything lies apart in real life; it is no secret to itself.
        if file.file_name().is_some_and(|name| name != "seal.key") {
            searched.push((file.display().to_string(), std::fs::read(&file).unwrap()));
        }
    }
    let seal_key = std::fs::read(it.home().join("seal.key")).unwrap();
    let seal_key = String::from_utf8_lossy(&seal_key).trim().to_owned();
    if seal_key.len() >= 16 {
        planted.push(("seal key", seal_key));
    }
    assert!(
        searched.iter().any(|(place, content)| place.ends_with("audit.jsonl") && !content.is_empty()),
        "no audit file"
    );
    let mut found = Vec::new();
    for (what, secret) in &planted {
        for form in forms(secret) {
            found.extend(
                searched
                    .iter()
                    .filter(|(_, content)| holds(content, &form))
                    .map(|(place, _)| format!("the {what} in {place}")),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_server_that_dies_leaves_no_core_image() {
    let it = Installation::new();
    let server = it.serve("warn");
    let id = server.id().to_string();
    let before = files(it.home());
    assert!(Command::new("kill").args(["-SEGV", &id]).status().unwrap().success());
    drop(server);
    let after = files(it.home());
    let cores: Vec<_> = after
        .iter()
        .filter(|file| !before.contains(file) && file.to_string_lossy().contains("core"))
        .collect();
    assert!(cores.is_empty(), "{cores:?}");
    it.verify_clean();
}
