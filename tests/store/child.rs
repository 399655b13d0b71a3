// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other process: what it does, and how a test starts, hears and ends it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child as Process, ChildStdout, Command, Stdio};
use std::time::Duration;

use cms_core::store::{Condition, Operation, Outcome, Store, StoreErrorKind, Transaction};
use futures_util::StreamExt;

use super::{open, put, wait};

/// The variable that names the role; without it the program runs the tests.
pub const ROLE: &str = "CMS_TEST_ROLE";
const PLACE: &str = "CMS_TEST_PLACE";

/// A running child. It is killed when it is dropped.
pub struct Child {
    process: Process,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub fn start(role: &str, place: &Path) -> Self {
        Self::start_with(role, place, &[])
    }

    pub fn start_with(role: &str, place: &Path, variables: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(ROLE, role).env(PLACE, place).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.envs(variables.iter().copied());
        let mut process = command.spawn().expect("a child");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { process, lines }
    }

    /// The next line that the child prints; `None` when it has ended.
    pub fn line(&mut self) -> Option<String> {
        self.lines.next().and_then(Result::ok)
    }

    /// Tells the child to go on.
    pub fn say(&mut self, word: &str) {
        writeln!(self.process.stdin.as_mut().expect("its input"), "{word}").expect("a child that listens");
    }

    /// Kills the child, and answers what it had printed before it died.
    pub fn kill(mut self) -> Vec<String> {
        drop(self.process.kill());
        drop(self.process.wait());
        std::iter::from_fn(|| self.line()).collect()
    }

    pub fn wait(&mut self) {
        let status = self.process.wait().expect("a child");
        assert!(status.success(), "the child ended with {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone needs nothing any more.
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::abort();
    }
}

fn listen() -> String {
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).unwrap_or(0) == 0 {
        std::process::abort();
    }
    line.trim().to_owned()
}

/// Does what the role says, until it is done or killed.
pub fn run(role: &str) {
    let place = std::env::var_os(PLACE).expect("a place");
    wait(async {
        let store = match open(Path::new(&place)).await {
            Ok(store) => store,
            Err(error) => return print(&format!("not open: {:?}", error.kind())),
        };
        match role {
            "echo" => echo(&*store).await,
            "increment" => increment(&*store).await,
            "hold" => hold(&*store).await,
            "write" => write(store).await,
            "obey" => obey(&*store).await,
            "make" => print(&format!("{}", put(&*store, "made", "v").await.expect("a commit"))),
            other => panic!("no role `{other}`"),
        }
    });
}

/// Answers each change of `ping` by one of `pong`.
async fn echo(store: &dyn Store) {
    let after = store.revision().await.expect("a revision");
    let mut watch = store.watch("ping", after).await.expect("a watch");
    print("ready");
    while let Some(batch) = watch.next().await {
        let value = batch.expect("a change").events.remove(0).entry.expect("a value").value;
        put(store, "pong", value).await.expect("a commit");
    }
}

/// Counts up 60 times.
async fn increment(store: &dyn Store) {
    for _ in 0..60 {
        loop {
            let old = store.get("count").await.expect("a read");
            let count: u64 = old
                .as_ref()
                .map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse().expect("a number"));
            let condition = Condition::as_read("count", old.as_ref());
            let change = Transaction::new().when(condition).put("count", (count + 1).to_string());
            if let Outcome::Committed { .. } = store.transact(change).await.expect("a commit") {
                break;
            }
        }
    }
}

/// Keeps a lease, and its key, until it is killed.
async fn hold(store: &dyn Store) {
    let lease = store.grant_lease(Duration::from_secs(1)).await.expect("a lease");
    let held = Operation::Put { key: "held".into(), value: "v".into(), lease: Some(lease) };
    let change = Transaction { operations: vec![held], ..Transaction::default() };
    store.transact(change).await.expect("a commit");
    print("ready");
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        store.keep_lease(lease).await.expect("a lease that goes on");
    }
}

/// Writes from four tasks without end; prints each acknowledged write.
async fn write(store: std::sync::Arc<dyn Store>) {
    let round = std::process::id();
    let tasks = (0..4).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let key = format!("w/{round}/{writer}/{number}");
                let latest = Transaction::new().put(format!("latest/{round}/{writer}"), number.to_string());
                store.transact(latest.put(key.clone(), value(&key))).await.expect("a commit");
                print(&key);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a writer");
    }
}

/// What belongs to a key: up to 3 KB that nothing else has.
pub fn value(key: &str) -> String {
    let length = key.bytes().fold(7_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 251);
    key.repeat(length % 100 + 1)
}

/// Puts and reads as it is told, and prints how that went.
async fn obey(store: &dyn Store) {
    print("ready");
    loop {
        let line = listen();
        match line.split_once(' ') {
            Some(("put", key)) => match put(store, key, value(key)).await {
                Ok(_) => print("done"),
                Err(error) => print(kind(error.kind())),
            },
            Some(("get", key)) => match store.get(key).await {
                Ok(Some(entry)) if entry.value == value(key) => print("right"),
                Ok(Some(_)) => print("wrong"),
                Ok(None) => print("absent"),
                Err(error) => print(kind(error.kind())),
            },
            _ => return,
        }
    }
}

fn kind(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Unavailable => "unavailable",
        StoreErrorKind::Unknown => "unknown",
        StoreErrorKind::Full => "full",
        StoreErrorKind::Corrupt => "corrupt",
        StoreErrorKind::Compacted | StoreErrorKind::TooLarge | StoreErrorKind::Unsupported => "other",
    }
}
