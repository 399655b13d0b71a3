// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real program, `cms`, as a process of its own on an embedded store in a temporary directory.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::caller::Caller;
use crate::etcd::{self, Etcd};

/// An installation on disk.
#[derive(Debug)]
pub struct Installation {
    home: TempDir,
    /// Where its store lies, if not in its directory.
    etcd: Option<Etcd>,
    /// Settings that stand in variables.
    variables: Vec<(&'static str, String)>,
    /// Its root credential.
    pub root: String,
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// What it said when it was ready.
    pub ready: Value,
    output: Vec<thread::JoinHandle<Vec<u8>>>,
}

impl Installation {
    /// `cms init` on an empty store: a directory, or what [`etcd::chosen`] says.
    pub fn new() -> Self {
        Self::with(Vec::new())
    }

    /// The same with settings in variables. Where these name a seal, it takes the place of a key file.
    pub fn with(variables: Vec<(&'static str, String)>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut it = Self { home, etcd: etcd::chosen(), variables, root: String::new() };
        let made = it.cms(&["init", "--output", "json"], true);
        let text = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(made.status.success(), "{text}{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_str(&text).unwrap();
        it.root = made["root_token"].as_str().unwrap().to_owned();
        it
    }

    /// The directory that everything of it lies in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The URL of its store.
    pub fn store(&self) -> String {
        match &self.etcd {
            Some(etcd) => etcd.url("cms"),
            None => format!("embedded:{}", self.home().join("store").display()),
        }
    }

    /// The file that `cms serve` writes the audit trail to.
    pub fn audit_file(&self) -> PathBuf {
        self.home().join("audit.jsonl")
    }

    /// Runs a command to its end; with `placed`, on this installation.
    pub fn cms(&self, arguments: &[&str], placed: bool) -> Output {
        let mut command = command(self.home());
        command.args(arguments);
        if placed {
            self.place(&mut command);
        }
        command.output().unwrap()
    }

    /// `cms serve` on a free port.
    pub fn serve(&self, filter: &str) -> Process {
        self.serve_with(filter, &[])
    }

    /// The same with these settings, as variables.
    pub fn serve_with(&self, filter: &str, settings: &[(&str, &str)]) -> Process {
        let mut command = command(self.home());
        command.args(["serve", "--output", "json", "--listen", "127.0.0.1:0", "--log-filter", filter]);
        command.arg("--audit-file").arg(self.audit_file());
        self.place(&mut command);
        // The receivers of tests are on this machine.
        command.env("CMS_WEBHOOKS_ALLOW", "127.0.0.1/32");
        command.envs(settings.iter().copied());
        Process::start(command)
    }

    /// Says where the installation is.
    fn place(&self, command: &mut Command) {
        command
            .args(["--store", &self.store()])
            .envs(self.variables.iter().map(|(name, value)| (*name, value)));
        if !self.variables.iter().any(|(name, _)| name.starts_with("CMS_SEAL_")) {
            command.arg("--seal-key-file").arg(self.home().join("seal.key"));
        }
    }

    /// The holder of the root credential, at a server of this installation.
    pub fn root_at(&self, process: &Process) -> Caller {
        process.nobody().with_token(&self.root)
    }

    /// `cms verify` must find nothing wrong.
    #[track_caller]
    pub fn verify_clean(&self) {
        let verified = self.cms(&["verify", "--output", "json"], true);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success(), "{said}{complaint}");
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["ok"], true, "{said}");
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self::new()
    }
}

impl Process {
    /// `cms dev` with an installation that goes when it ends.
    pub fn dev(arguments: &[&str]) -> Self {
        let mut command = command(Path::new("."));
        command.args(["dev", "--output", "json", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::start(command)
    }

    /// Starts a server and waits for the line that says that it is ready.
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut complaints = child.stderr.take().unwrap();
        let complaining = thread::spawn(move || read_all(&mut complaints));
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            panic!("it did not start: {line}{}", String::from_utf8_lossy(&complaining.join().unwrap()));
        };
        let saying = thread::spawn(move || read_all(&mut said));
        Self { child, ready, output: vec![saying, complaining] }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Somebody without a credential.
    pub fn nobody(&self) -> Caller {
        Caller::new(self.ready["url"].as_str().unwrap())
    }

    /// The holder of the root credential that `cms dev` has printed.
    pub fn root(&self) -> Caller {
        self.nobody().with_token(self.ready["root_token"].as_str().unwrap())
    }

    /// `kill -9`. Returns once the process is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to end, waits for it, and answers whether it ended well and all it has written.
    pub fn stop(mut self) -> (bool, Vec<u8>) {
        let told = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(told.success());
        let status = self.child.wait().unwrap();
        let written = self.output.drain(..).flat_map(|reader| reader.join().unwrap()).collect();
        (status.success(), written)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(source: &mut impl Read) -> Vec<u8> {
    let mut written = Vec::new();
    source.read_to_end(&mut written).unwrap();
    written
}

/// The program, without the settings of whoever runs the tests.
/// Runs `cms` in a directory, without an installation, and gives it this input.
pub fn cms_in(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(directory);
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not read its input may be gone before all of it is written.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CMS_") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("XDG_CONFIG_HOME", home).stdin(Stdio::null());
    command
}

/// The program that belongs to these tests. Cargo builds it, or finds that it is up to date: a stale one
/// would pass in silence. `CMS_BIN` names another.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("CMS_BIN") {
            return path.into();
        }
        // The tests lie in `<target>/<profile>/deps`.
        let tests = std::env::current_exe().unwrap();
        let profile = tests.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "cms-server",
            "--bin",
            "cms",
            "--target-dir",
        ]);
        cargo.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the program does not build");
        profile.join("cms")
    })
}
