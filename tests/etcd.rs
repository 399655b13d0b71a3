// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real etcd servers on this machine: one, or a cluster whose members can be killed, stopped and started again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Alone, it elects itself at once.
const ALONE: [&str; 2] = ["--heartbeat-interval=10", "--election-timeout=100"];
/// How long a member may take until it is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why trials with etcd are left out, if they are.
pub fn missing() -> Option<&'static str> {
    let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_err().then_some("no `etcd` is installed")
}

/// A server of its own for whoever asks, where `CMS_TEST_STORE=etcd` says that tests are to use one instead of
/// what they use otherwise.
pub fn chosen() -> Option<Etcd> {
    match std::env::var("CMS_TEST_STORE").unwrap_or_default().as_str() {
        "" => None,
        "etcd" => Some(Etcd::single()),
        other => panic!("`CMS_TEST_STORE` is `{other}`, but must be `etcd` or nothing"),
    }
}

/// A cluster, whose data goes with it.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    _data: TempDir,
}

#[derive(Debug)]
struct Member {
    port: u16,
    /// Where it tells how it is, always without TLS.
    health: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Etcd {
    /// One server.
    pub fn single() -> Self {
        Self::start(1, "http", &ALONE)
    }

    /// One server that speaks TLS with these PEM files, to who shows a certificate of the authority.
    pub fn with_tls(ca: &Path, cert: &Path, key: &Path) -> Self {
        let mut more = vec![
            format!("--trusted-ca-file={}", ca.display()),
            format!("--cert-file={}", cert.display()),
            format!("--key-file={}", key.display()),
            "--client-cert-auth".to_owned(),
        ];
        more.extend(ALONE.map(str::to_owned));
        Self::start(1, "https", &more)
    }

    /// Several members, all well.
    pub fn cluster(members: usize) -> Self {
        Self::start::<&str>(members, "http", &[])
    }

    fn start<A: AsRef<str>>(count: usize, scheme: &str, more: &[A]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let ports = free_ports(count * 3);
        let peers: Vec<String> =
            (0..count).map(|n| format!("m{n}=http://127.0.0.1:{}", ports[count + n])).collect();
        let members = (0..count).map(|n| {
            let client = format!("{scheme}://127.0.0.1:{}", ports[n]);
            let peer = format!("http://127.0.0.1:{}", ports[count + n]);
            let folder = data.path().join(format!("m{n}"));
            let mut arguments = vec![
                format!("--name=m{n}"),
                format!("--data-dir={}", folder.display()),
                format!("--listen-client-urls={client}"),
                format!("--listen-metrics-urls=http://127.0.0.1:{}", ports[2 * count + n]),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", peers.join(",")),
                "--log-level=error".to_owned(),
                "--logger=zap".to_owned(),
            ];
            arguments.extend(more.iter().map(|argument| argument.as_ref().to_owned()));
            Member { port: ports[n], health: ports[2 * count + n], arguments, child: None }
        });
        let mut it = Self { members: members.collect(), _data: data };
        for member in 0..count {
            it.launch(member);
        }
        for member in 0..count {
            it.wait_until_well(member);
        }
        it
    }

    /// The URL of all members, with a folder.
    pub fn url(&self, folder: &str) -> String {
        format!("etcd:{}/{folder}", self.location())
    }

    /// What stands behind the scheme, without a folder.
    pub fn location(&self) -> String {
        let members: Vec<String> =
            self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
        format!("//{}", members.join(","))
    }

    /// How many members there are, running or not.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The member that leads, if one says so.
    pub fn leader(&self) -> Option<usize> {
        (0..self.len()).find(|&member| {
            self.ask(member, "/metrics").is_some_and(|text| text.contains("\netcd_server_is_leader 1"))
        })
    }

    /// Kills a member with no chance to say anything.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a member again, with the data that it had.
    pub fn launch(&mut self, member: usize) {
        let it = &mut self.members[member];
        let mut command = Command::new("etcd");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        command.args(&it.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        it.child = Some(command.spawn().unwrap());
    }

    /// Lets a member stand still; its connections stay open.
    pub fn pause(&self, member: usize) {
        self.signal(member, "-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self, member: usize) {
        self.signal(member, "-CONT");
    }

    /// Waits until a member is part of a majority.
    pub fn wait_until_well(&self, member: usize) {
        let begun = Instant::now();
        while !self.ask(member, "/health").is_some_and(|text| text.contains("\"health\":\"true\"")) {
            assert!(begun.elapsed() < PATIENCE, "member {member} of etcd is not well after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, member: usize, signal: &str) {
        let id = self.members[member].child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn ask(&self, member: usize, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.members[member].health)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in 0..self.len() {
            self.kill(member);
        }
    }
}

/// Ports that were free a moment ago.
pub fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
