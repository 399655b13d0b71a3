// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `cms` server as a user runs it: initialised on the embedded store, served on a loopback port.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::Client;
use super::process::{Process, free_address};
use super::servers::Server;
use crate::Result;

/// The program that was built beside this benchmark.
///
/// # Errors
/// When it was not.
pub fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.ancestors().nth(2).map(|folder| folder.join("cms")).filter(|program| program.exists());
    program.ok_or_else(|| "build the server first: `cargo build --release -p cms-server --bin cms`".into())
}

/// Initialises an installation and serves it.
///
/// # Errors
/// When either fails.
pub fn serve(core: Option<usize>) -> Result<Server> {
    let files = tempfile::tempdir()?;
    let token = init(files.path())?;
    let (process, client, _) = start(files.path(), &token, core)?;
    Ok(Server { process, client, files })
}

/// Makes a new installation in a directory and returns its root token.
///
/// # Errors
/// When `cms init` fails.
pub fn init(files: &Path) -> Result<String> {
    let output = Command::new(program()?)
        .args(["init", "--output", "json", "--store", &store(files), "--seal-key-file"])
        .arg(files.join("seal.key"))
        .env("CMS_CONFIG_DIR", files)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let made: Value = serde_json::from_str(text.trim())
        .map_err(|error| format!("cms init: {error}: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(made.get("root_token").and_then(Value::as_str).ok_or("no root token")?.to_owned())
}

/// Serves an installation; the last figure is how long it took until it was ready.
///
/// # Errors
/// When it does not become ready.
pub fn start(files: &Path, token: &str, core: Option<usize>) -> Result<(Process, Client, Duration)> {
    let address = free_address()?;
    let arguments = [
        "serve".to_owned(),
        "--store".into(),
        store(files),
        "--seal-key-file".into(),
        files.join("seal.key").display().to_string(),
        "--listen".into(),
        address.to_string(),
    ];
    let begun = Instant::now();
    let mut process = Process::start("cms", core, &program()?, &arguments, &files.join("log"), |command| {
        // A load generator is one caller; what is measured is the server, not its limit on callers.
        let most = u32::MAX.to_string();
        command.env("CMS_LIMITS_CALLER_PER_MINUTE", &most).env("CMS_LIMITS_STRANGER_PER_MINUTE", &most);
        command.env("CMS_LIMITS_CONFIG_READS", format!("{most}/minute"));
        command.env("CMS_LOG_FILTER", "warn");
    })?;
    process.listening(address)?;
    let client = Client::new(address, "Authorization", format!("Bearer {token}"));
    while client.exchange("GET", "/api/v1/health/ready", "", "")?.0 != 200 {
        if begun.elapsed() > Duration::from_secs(30) {
            return Err("the server does not become ready".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((process, client, begun.elapsed()))
}

fn store(files: &Path) -> String {
    format!("embedded:{}", files.join("store").display())
}

/// Onboards a project and makes a key with these scopes; returns a client that carries the key.
///
/// # Errors
/// When the server refuses.
pub fn onboard(server: &Server, project: &str, scopes: &[&str]) -> Result<Client> {
    server.client.send("POST", "/api/v1/projects", Some(&json!({"id": project, "name": "Benchmark"})))?;
    let path = format!("/api/v1/projects/{project}/keys");
    let made = server.client.send("POST", &path, Some(&json!({"name": "bench", "scopes": scopes})))?;
    let key = made.get("key").and_then(Value::as_str).ok_or("no key")?;
    Ok(Client::new(server.client.address, "X-API-Key", key))
}
