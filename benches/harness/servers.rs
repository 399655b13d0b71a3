// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The peers as running servers, each on a free loopback port with its files in a temporary directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::http::Client;
use super::peers::{file, root};
use super::process::{Process, free_address};
use crate::Result;

/// A running server, with the directory that goes when it does.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Process,
    /// A client with what it needs to be let in.
    pub client: Client,
    /// Where its files are.
    pub files: TempDir,
}

/// How OpenBao keeps what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// In memory, with an audit file.
    Memory,
    /// On disk with fsync (raft of a single node), without an audit file.
    Raft,
}

/// OpenBao with a KV engine of version 2 at `secret/`.
///
/// # Errors
/// When it is not installed or does not start.
pub fn openbao(keeping: Keeping, core: Option<usize>) -> Result<Server> {
    let files = tempfile::tempdir()?;
    let (address, cluster) = (free_address()?, free_address()?);
    let settings = files.path().join("settings.hcl");
    fs::create_dir(files.path().join("raft"))?;
    fs::write(&settings, openbao_settings(keeping, address, cluster, files.path()))?;
    let mut process = Process::start(
        "OpenBao",
        core,
        &file("openbao/bao")?,
        &["server".into(), format!("-config={}", settings.display())],
        &files.path().join("log"),
        |_| {},
    )?;
    process.listening(address)?;
    let client = openbao_unseal(address)?;
    let engine = json!({"type": "kv", "options": {"version": "2"}});
    // Raft elects its only node first.
    patiently(|| client.send("POST", "/v1/sys/mounts/secret", Some(&engine)))?;
    // The engine upgrades itself in the background before it takes writes.
    patiently(|| client.send("POST", "/v1/secret/data/ready", Some(&json!({"data": {"value": "1"}}))))?;
    Ok(Server { process, client, files })
}

/// Tries again for ten seconds.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..200 {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    attempt()
}

fn openbao_settings(keeping: Keeping, address: SocketAddr, cluster: SocketAddr, files: &Path) -> String {
    let files = files.display();
    let storage = match keeping {
        Keeping::Memory => "storage \"inmem\" {}\n".to_owned(),
        Keeping::Raft => format!("storage \"raft\" {{\n  path = \"{files}/raft\"\n  node_id = \"one\"\n}}\n"),
    };
    let audit = match keeping {
        Keeping::Memory => format!(
            "audit \"file\" \"trail\" {{\n  options = {{\n    file_path = \"{files}/audit.log\"\n  }}\n}}\n"
        ),
        Keeping::Raft => String::new(),
    };
    format!(
        "{storage}{audit}listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n\
         api_addr = \"http://{address}\"\ncluster_addr = \"http://{cluster}\"\ndisable_mlock = true\nlog_level = \"error\"\n"
    )
}

fn openbao_unseal(address: SocketAddr) -> Result<Client> {
    let client = Client { address, headers: Vec::new() };
    let made =
        client.send("PUT", "/v1/sys/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1})))?;
    let share = made.pointer("/keys/0").ok_or("no unseal key")?;
    client.send("PUT", "/v1/sys/unseal", Some(&json!({"key": share})))?;
    let token = made.get("root_token").and_then(|token| token.as_str()).ok_or("no root token")?;
    Ok(Client::new(address, "X-Vault-Token", token))
}

/// A single etcd.
///
/// # Errors
/// When it is not installed or does not start.
pub fn etcd(core: Option<usize>) -> Result<Server> {
    let files = tempfile::tempdir()?;
    let (address, peers) = (free_address()?, free_address()?);
    let arguments = [
        format!("--data-dir={}", files.path().join("data").display()),
        format!("--listen-client-urls=http://{address}"),
        format!("--advertise-client-urls=http://{address}"),
        format!("--listen-peer-urls=http://{peers}"),
        format!("--initial-advertise-peer-urls=http://{peers}"),
        format!("--initial-cluster=default=http://{peers}"),
    ];
    let mut process =
        Process::start("etcd", core, Path::new("etcd"), &arguments, &files.path().join("log"), |_| {})?;
    process.listening(address)?;
    Ok(Server { process, client: Client { address, headers: Vec::new() }, files })
}

/// The FastAPI configuration service, over an etcd or over a dictionary.
///
/// # Errors
/// When it is not installed or does not start.
pub fn fastapi(etcd: Option<&Server>, document: &str, core: Option<usize>) -> Result<Server> {
    let files = tempfile::tempdir()?;
    let address = free_address()?;
    let key = "bench-0123456789abcdef";
    let arguments = [
        "-m".to_owned(),
        "uvicorn".into(),
        "--app-dir".into(),
        root().join("benches/peers").display().to_string(),
        "--port".into(),
        address.port().to_string(),
        "--no-access-log".into(),
        "--log-level=warning".into(),
        "fastapi_config:app".into(),
    ];
    let python = file("venv/bin/python")?;
    let mut process =
        Process::start("FastAPI", core, &python, &arguments, &files.path().join("log"), |command| {
            command.env("BENCH_KEY", key).env("BENCH_DOCUMENT", document);
            command.env("BENCH_BACKEND", if etcd.is_some() { "etcd" } else { "dict" });
            command.env("BENCH_ETCD_PORT", etcd.map_or(0, |etcd| etcd.client.address.port()).to_string());
        })?;
    process.listening(address)?;
    Ok(Server { process, client: Client::new(address, "X-Api-Key", key), files })
}

/// OPA's engine behind hyper, with one policy and its data.
///
/// # Errors
/// When the engine is not installed or the server does not start.
pub fn opa(program: &Path, policy: &str, data: &str, core: Option<usize>) -> Result<Server> {
    let files = tempfile::tempdir()?;
    let address = free_address()?;
    let (policy_file, data_file) = (files.path().join("policy.rego"), files.path().join("data.json"));
    fs::write(&policy_file, policy)?;
    fs::write(&data_file, data)?;
    let arguments: [PathBuf; 4] =
        [file("opa/libopabridge.so")?, address.to_string().into(), policy_file, data_file];
    let mut process = Process::start("OPA", core, program, &arguments, &files.path().join("log"), |_| {})?;
    process.listening(address)?;
    Ok(Server { process, client: Client { address, headers: Vec::new() }, files })
}
