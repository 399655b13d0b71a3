// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A real Redis server on this machine, which can be killed, stopped and started again.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::etcd::free_ports;

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why trials with Redis are left out, if they are.
pub fn missing() -> Option<&'static str> {
    let found =
        Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_err().then_some("no `redis-server` is installed")
}

/// A server that keeps nothing.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    _home: TempDir,
}

impl Redis {
    /// One that anybody on this machine may use.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// One with these arguments as well.
    pub fn start_with(more: &[String]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = free_ports(1)[0];
        let folder = home.path().display().to_string();
        let port_text = port.to_string();
        let fixed = [
            "--port",
            &port_text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            &folder,
            "--daemonize",
            "no",
        ];
        let arguments = fixed.iter().map(|argument| (*argument).to_owned()).chain(more.iter().cloned());
        let mut it = Self { port, arguments: arguments.collect(), child: None, _home: home };
        it.launch();
        it
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again, empty.
    pub fn launch(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while self.try_ask("PING").is_none() {
            assert!(begun.elapsed() < PATIENCE, "Redis does not answer after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it with no chance to say anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it stand still; its connections stay open.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Sends a command and answers the lines of its answer, without what they begin with.
    pub fn ask(&self, command: &str) -> Vec<String> {
        self.try_ask(command).unwrap()
    }

    fn try_ask(&self, command: &str) -> Option<Vec<String>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "{command}\r\n").ok()?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        let Some(count) = first.strip_prefix('*') else { return Some(vec![first[1..].to_owned()]) };
        // Each is its length and itself.
        let values = lines.skip(1).step_by(2).take(count.parse().ok()?);
        values.collect::<Result<_, _>>().ok()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
