// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A real OpenBao server on this machine, which can be sealed, killed, stopped and started again.

use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cms_store::openbao::{Login, OpenBao, OpenBaoConfig, OpenBaoMaterial};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long it may take until it is well.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where values are kept.
pub const MOUNT: &str = "kv";

/// Why trials with OpenBao are left out, if they are.
pub fn missing() -> Option<&'static str> {
    binary().is_none().then_some("no `bao` is installed")
}

/// The program: `CMS_TEST_BAO`, the one that `tests/run` installs, or whatever is in the path.
fn binary() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/bao");
    let named = std::env::var_os("CMS_TEST_BAO").map(PathBuf::from);
    [named, Some(installed), Some(PathBuf::from("bao"))].into_iter().flatten().find(|program| {
        let run = Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    })
}

/// A material of its own for whoever asks, where `CMS_TEST_MATERIAL=openbao` says that tests are to use one.
pub fn chosen() -> Option<Bao> {
    match std::env::var("CMS_TEST_MATERIAL").unwrap_or_default().as_str() {
        "" => None,
        "openbao" => Some(Bao::start()),
        other => panic!("`CMS_TEST_MATERIAL` is `{other}`, but must be `openbao` or nothing"),
    }
}

/// A server with its data on disk, unsealed, with a KV engine at `kv` and Transit at `transit`.
pub struct Bao {
    home: TempDir,
    port: u16,
    child: Option<Child>,
    unseal: String,
    /// The token that may do everything.
    pub root: String,
}

impl Bao {
    /// Starts a new one.
    pub fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (port, cluster) = (free_port(), free_port());
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let config = format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"n1\"\n  performance_multiplier = 1\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n}}\n\
             api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"http://127.0.0.1:{cluster}\"\n\
             log_level = \"error\"\n",
            data.display()
        );
        std::fs::write(home.path().join("bao.hcl"), config).unwrap();
        let mut it = Self { home, port, child: None, unseal: String::new(), root: String::new() };
        it.launch();
        it.wait_until(|it| it.ask("GET", "sys/seal-status", &Value::Null).is_ok());
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let made = it.ask("PUT", "sys/init", &shares).unwrap();
        it.unseal = made["keys"][0].as_str().unwrap().to_owned();
        it.root = made["root_token"].as_str().unwrap().to_owned();
        it.unseal();
        it.must("POST", &format!("sys/mounts/{MOUNT}"), json!({"type": "kv", "options": {"version": "2"}}));
        it.must("POST", "sys/mounts/transit", json!({"type": "transit"}));
        // A KV engine that has just been mounted is not ready at once.
        it.wait_until(|it| it.ask("GET", &format!("{MOUNT}/config"), &Value::Null).is_ok());
        it
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client that is whoever this login is.
    pub fn client(&self, login: Login) -> OpenBao {
        OpenBao::new(OpenBaoConfig::new(&self.address(), login).unwrap()).unwrap()
    }

    /// A file with a token that may do everything.
    pub fn token_file(&self) -> PathBuf {
        let file = self.home.path().join("root.token");
        std::fs::write(&file, &self.root).unwrap();
        file
    }

    /// A client that may do everything.
    pub fn root_client(&self) -> OpenBao {
        self.client(Login::Token { file: self.token_file() })
    }

    /// The material that this keeps, for somebody who may do everything.
    pub fn material(&self) -> Arc<OpenBaoMaterial> {
        Arc::new(OpenBaoMaterial::new(self.root_client(), MOUNT, "cms").unwrap())
    }

    /// An AppRole that may do what CMS needs, with tokens that count for this long.
    pub fn app_role(&self, ttl: &str) -> Login {
        let policy = format!(
            "path \"{MOUNT}/data/cms/*\" {{ capabilities = [\"create\", \"update\", \"read\"] }}\n\
             path \"{MOUNT}/metadata/cms/*\" {{ capabilities = [\"list\", \"delete\"] }}"
        );
        self.must("PUT", "sys/policies/acl/cms", json!({"policy": policy}));
        self.must("POST", "sys/auth/approle", json!({"type": "approle"}));
        let role = json!({"token_policies": "cms", "token_ttl": ttl});
        self.must("POST", "auth/approle/role/cms", role);
        let role_id = self.must("GET", "auth/approle/role/cms/role-id", Value::Null);
        let secret_id = self.must("POST", "auth/approle/role/cms/secret-id", json!({}));
        let file = self.home.path().join("secret-id");
        std::fs::write(&file, secret_id["data"]["secret_id"].as_str().unwrap()).unwrap();
        Login::AppRole {
            mount: "approle".into(),
            role_id: role_id["data"]["role_id"].as_str().unwrap().to_owned(),
            secret_id_file: file,
        }
    }

    /// Its directory, for files of the test.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts it, sealed, with the data that it had.
    pub fn launch(&mut self) {
        let mut command = Command::new(binary().unwrap());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("BAO_") || name.starts_with("VAULT_") {
                command.env_remove(&*name);
            }
        }
        command.arg("server").arg("-config").arg(self.home.path().join("bao.hcl"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    /// Kills it with no chance to say anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Seals it.
    pub fn seal(&self) {
        self.must("PUT", "sys/seal", Value::Null);
    }

    /// Unseals it, and waits until it serves.
    pub fn unseal(&self) {
        self.wait_until(|it| it.ask("PUT", "sys/unseal", &json!({"key": it.unseal})).is_ok());
        self.wait_until(|it| it.ask("GET", "sys/health", &Value::Null).is_ok());
    }

    /// Asks with the token that may do everything; the answer must be a good one.
    #[track_caller]
    pub fn must(&self, method: &str, path: &str, body: Value) -> Value {
        self.ask(method, path, &body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks with the token that may do everything.
    ///
    /// # Errors
    /// The status and the answer, or that there was none.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.exchange(method, path, body).map_err(|error| error.to_string())?;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some(status) if status.starts_with('2') => Ok(serde_json::from_str(text).unwrap_or_default()),
            _ => Err(answer),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // With HTTP/1.0, the answer comes in one piece and ends the connection.
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.0\r\nHost: bao\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.root,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn wait_until(&self, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "OpenBao is not well after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl fmt::Debug for Bao {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bao").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
