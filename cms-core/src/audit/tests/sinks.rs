// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sinks beside the store: what they get, what happens when they fail or hang, and that a file of
//! theirs cannot be tampered with unseen.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::audit::sink::{AuditSink, FileSink, FileSync, SinkLine, SinkPolicy};
use crate::error::ErrorKind;
use crate::store::{Condition, Outcome};

/// A sink whose faults are switched on and off.
#[derive(Debug, Default)]
struct Faulty {
    mode: Mutex<Mode>,
    lines: Mutex<Vec<SinkLine>>,
    hanging: AtomicUsize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Mode {
    #[default]
    Works,
    Fails,
    Hangs,
}

#[async_trait]
impl AuditSink for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    async fn write(&self, lines: Arc<[SinkLine]>) -> io::Result<()> {
        let mode = *self.mode.lock();
        match mode {
            Mode::Works => {
                self.lines.lock().extend(lines.iter().cloned());
                Ok(())
            }
            Mode::Fails => Err(io::ErrorKind::StorageFull.into()),
            Mode::Hangs => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
        }
    }
}

fn with(sink: Arc<dyn AuditSink>, policy: SinkPolicy) -> AuditSettings {
    let wait = Duration::from_millis(200);
    AuditSettings { sinks: vec![sink], policy, wait, ..AuditSettings::default() }
}

#[tokio::test]
async fn without_a_required_sink_nothing_is_done_and_nothing_piles_up() {
    let store = MemoryStore::new();
    let sink = Arc::new(Faulty::default());
    let audit = open(&store, with(sink.clone(), SinkPolicy::All));
    audit.commit(&root(), record("a:b"), put("before")).await.unwrap();
    let revision = store.revision().await.unwrap();
    for mode in [Mode::Fails, Mode::Hangs] {
        *sink.mode.lock() = mode;
        let started = Instant::now();
        let ctx = root();
        let changes = (0..300).map(|n| audit.commit(&ctx, record("a:b"), put(format!("{n}"))));
        let accesses = (0..300).map(|_| audit.access(&ctx, record("c:d")));
        let (changes, accesses) =
            tokio::join!(futures_util::future::join_all(changes), futures_util::future::join_all(accesses));
        let errors =
            changes.into_iter().filter_map(Result::err).chain(accesses.into_iter().filter_map(Result::err));
        let codes: Vec<_> = errors.map(|error| (error.kind(), error.code())).collect();
        assert_eq!(codes, vec![(ErrorKind::Unavailable, "audit_unavailable"); 600]);
        assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
        assert_eq!(store.revision().await.unwrap(), revision, "something was written");
    }
    assert!(sink.hanging.load(Ordering::SeqCst) <= 2 * 64 + 16, "the hanging sink was asked again and again");
    *sink.mode.lock() = Mode::Works;
    audit.commit(&root(), record("a:b"), put("after")).await.unwrap();
    audit.access(&root(), record("c:d")).await.unwrap();
    assert!(verified(&audit).await.ok);
}

#[tokio::test]
async fn where_any_sink_suffices_the_store_does() {
    let store = MemoryStore::new();
    let sink = Arc::new(Faulty::default());
    let audit = open(&store, with(sink.clone(), SinkPolicy::Any));
    for mode in [Mode::Fails, Mode::Hangs, Mode::Works] {
        *sink.mode.lock() = mode;
        audit.commit(&root(), record("a:b"), put(format!("{mode:?}"))).await.unwrap();
        audit.access(&root(), record("c:d")).await.unwrap();
    }
    let started = Instant::now();
    while sink.lines.lock().len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(5), "the sink is not given what it has missed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(verified(&audit).await.records, 6);
}

#[tokio::test]
async fn a_change_that_does_not_come_about_is_taken_back() {
    let store = MemoryStore::new();
    let sink = Arc::new(Faulty::default());
    let audit = open(&store, with(sink.clone(), SinkPolicy::All));
    let change = put("k").when(Condition::Present("no".into()));
    let outcome = audit.commit(&root(), record("a:b"), change).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict { failed: vec![0] });
    let lines = sink.lines.lock().clone();
    let [SinkLine::Record(given), SinkLine::Void(taken)] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(given, taken);
}

/// A trail with a file, and what belongs to it.
struct Filed {
    dir: TempDir,
    store: MemoryStore,
    audit: Audit,
}

impl Filed {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = MemoryStore::new();
        let audit = Self::reopened(&dir, &store).await;
        Self { dir, store, audit }
    }

    async fn reopened(dir: &TempDir, store: &MemoryStore) -> Audit {
        let sink = FileSink::open(dir.path().join("audit.jsonl"), FileSync::Never).await.unwrap();
        open(store, AuditSettings { wait: Duration::from_secs(2), ..with(Arc::new(sink), SinkPolicy::All) })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    async fn change(&self, key: impl Into<String>) {
        self.audit.commit(&root(), record("a:b"), put(key)).await.unwrap();
    }

    /// Changes by several writers at once, a group of accesses, and a conflict.
    async fn work(&self) {
        let ctx = root();
        let changes = (0..8).map(|n| self.audit.commit(&ctx, record("a:b"), put(format!("w/{n}"))));
        futures_util::future::join_all(changes).await.into_iter().for_each(|done| drop(done.unwrap()));
        let accesses = (0..8).map(|_| self.audit.access(&ctx, record("c:d")));
        futures_util::future::join_all(accesses).await.into_iter().for_each(Result::unwrap);
        let never = put("w/x").when(Condition::Present("never".into()));
        self.audit.commit(&ctx, record("a:b"), never).await.unwrap();
        self.change("w/y").await;
    }

    /// The lines of records, without start and void lines.
    fn records(&self) -> usize {
        self.text().lines().filter(|line| line.contains("\"sequence\"") && !line.contains("\"void: ")).count()
    }
}

#[tokio::test]
async fn the_file_holds_every_record_whole_and_for_its_owner_only() {
    let filed = Filed::new().await;
    filed.work().await;
    assert_eq!(filed.records(), 18, "{}", filed.text());
    assert!(filed.text().ends_with('\n'));
    for line in filed.text().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["event"]["dataset"], "cms.audit");
        assert!(value["@timestamp"].is_string());
    }
    assert_eq!(std::fs::metadata(filed.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let verification = verified(&filed.audit).await;
    assert!(verification.ok, "{verification:?}");
}

#[tokio::test]
async fn a_file_that_was_rotated_or_removed_is_begun_anew() {
    let filed = Filed::new().await;
    filed.work().await;
    std::fs::rename(filed.path(), filed.dir.path().join("audit.1")).unwrap();
    filed.audit.reopen().await.unwrap();
    assert_eq!(filed.text(), "");
    filed.work_again("a").await;
    assert!(filed.text().starts_with("{\"@timestamp\"") && filed.text().contains("audit:start"));
    std::fs::rename(filed.path(), filed.dir.path().join("audit.2")).unwrap();
    filed.work_again("b").await;
    assert_eq!(filed.records(), 4, "the move was seen without being told");
    std::fs::remove_file(filed.path()).unwrap();
    filed.work_again("c").await;
    assert_eq!(filed.records(), 4);
    std::fs::write(filed.path(), "").unwrap();
    filed.work_again("d").await;
    assert_eq!(filed.records(), 4);
    assert!(verified(&filed.audit).await.ok);
}

impl Filed {
    async fn work_again(&self, name: &str) {
        for n in 0..4 {
            self.change(format!("{name}/{n}")).await;
        }
        let verification = verified(&self.audit).await;
        assert!(verification.ok, "{verification:?}");
    }
}

#[tokio::test]
async fn processes_share_a_file_and_a_restart_goes_on_with_it() {
    let filed = Filed::new().await;
    filed.work().await;
    let other = Filed::reopened(&filed.dir, &filed.store).await;
    for n in 0..20 {
        let audit = if n % 2 == 0 { &other } else { &filed.audit };
        audit.commit(&root(), record("a:b"), put(format!("both/{n}"))).await.unwrap();
    }
    assert!(verified(&other).await.ok);
    std::fs::rename(filed.path(), filed.dir.path().join("audit.1")).unwrap();
    for n in 0..20 {
        let audit = if n % 2 == 0 { &other } else { &filed.audit };
        audit.commit(&root(), record("a:b"), put(format!("more/{n}"))).await.unwrap();
    }
    let verification = verified(&filed.audit).await;
    assert!(verification.ok, "{verification:?}");
}

#[tokio::test]
async fn a_line_that_a_dead_process_did_not_finish_is_cut_off() {
    let filed = Filed::new().await;
    filed.work().await;
    let whole = filed.text();
    std::fs::write(filed.path(), format!("{whole}{{\"@timestamp\":\"20")).unwrap();
    filed.change("next").await;
    assert!(filed.text().starts_with(&whole));
    assert_eq!(filed.text().lines().count(), whole.lines().count() + 1);
    assert!(verified(&filed.audit).await.ok);
}

#[tokio::test]
async fn a_record_that_a_crash_left_without_its_change_does_no_harm() {
    let filed = Filed::new().await;
    filed.work().await;
    let before = all(&filed.store, "").await;
    let text_before = filed.text();
    filed.change("lost").await;
    // As after a crash between the sink and the commit: the file has the record, the store has not.
    let lost = filed.text();
    let store = MemoryStore::new();
    let mut restore = Transaction::new();
    for entry in &before {
        restore = restore.put(&entry.key, entry.value.clone());
    }
    store.transact(restore).await.unwrap();
    let audit = Filed::reopened(&filed.dir, &store).await;
    assert!(verified(&audit).await.ok);
    for n in 0..3 {
        audit.commit(&root(), record("a:b"), put(format!("{n}"))).await.unwrap();
    }
    assert!(lost.starts_with(&text_before) && filed.text().starts_with(&lost));
    // And neither if the file is rotated before anything else is written.
    let text = filed.text();
    std::fs::write(filed.path(), &lost).unwrap();
    let after = MemoryStore::new();
    let restore =
        before.iter().fold(Transaction::new(), |all, entry| all.put(&entry.key, entry.value.clone()));
    after.transact(restore).await.unwrap();
    let again = Filed::reopened(&filed.dir, &after).await;
    std::fs::rename(filed.path(), filed.dir.path().join("audit.1")).unwrap();
    for n in 0..3 {
        again.commit(&root(), record("a:b"), put(format!("{n}"))).await.unwrap();
    }
    let verification = verified(&again).await;
    assert!(verification.ok, "{verification:?}");
    std::fs::write(filed.path(), text).unwrap();
    let verification = verified(&audit).await;
    assert!(verification.ok, "{verification:?}");
}

#[tokio::test]
async fn a_store_that_was_put_back_is_seen_from_the_file() {
    let filed = Filed::new().await;
    filed.work().await;
    let before = all(&filed.store, "").await;
    for n in 0..4 {
        // What was written last of all in one moment may not have been committed: other moments.
        tokio::time::sleep(Duration::from_millis(3)).await;
        filed.change(format!("since/{n}")).await;
    }
    let store = MemoryStore::new();
    let restore =
        before.iter().fold(Transaction::new(), |restore, entry| restore.put(&entry.key, entry.value.clone()));
    store.transact(restore).await.unwrap();
    let audit = Filed::reopened(&filed.dir, &store).await;
    let broken = broken(&audit).await;
    assert!(broken.detail.contains("the sink `file` knows of record"), "{broken:?}");
}

#[tokio::test]
async fn a_pipe_without_a_reader_holds_up_nothing_else() {
    let dir = TempDir::new().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let sink = FileSink::open(&pipe, FileSync::Never).await.unwrap();
    let store = MemoryStore::new();
    let audit = open(&store, with(Arc::new(sink), SinkPolicy::All));
    let started = Instant::now();
    let ctx = root();
    let changes = (0..500).map(|n| audit.commit(&ctx, record("a:b"), put(format!("{n}"))));
    let done = futures_util::future::join_all(changes).await;
    assert!(done.iter().all(Result::is_err) && started.elapsed() < Duration::from_secs(2));
    assert_eq!(store.revision().await.unwrap(), 0);
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(std::fs::File::open(pipe).unwrap()), &mut line)
            .unwrap();
        line
    });
    while audit.access(&root(), record("c:d")).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(10), "it does not come back");
    }
    assert!(reader.join().unwrap().ends_with('\n'));
}

#[tokio::test]
async fn a_full_medium_refuses_and_a_missing_directory_is_told_at_once() {
    let sink = FileSink::open("/dev/full", FileSync::Never).await.unwrap();
    let store = MemoryStore::new();
    let audit = open(&store, with(Arc::new(sink), SinkPolicy::All));
    let error = audit.commit(&root(), record("a:b"), put("k")).await.unwrap_err();
    assert_eq!(error.code(), "audit_unavailable");
    assert_eq!(store.revision().await.unwrap(), 0);
    let error = crate::audit::sink::open("file:/nowhere/at/all.jsonl").await.unwrap_err();
    assert!(error.message().contains("/nowhere/at/all.jsonl"), "{error}");
    assert!(crate::audit::sink::open("syslog:x").await.is_err());
}

/// 1,000 edits of a file without void lines: every one that changes it is seen.
#[test]
fn every_edit_of_the_file_is_seen() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let filed = runtime.block_on(async {
        let filed = Filed::new().await;
        for n in 0..6 {
            filed.change(format!("one/{n}")).await;
        }
        filed.work_without_conflict().await;
        filed
    });
    let text = filed.text();
    let keys = filed.audit.shared.keys().unwrap();
    let heads = runtime.block_on(crate::audit::lanes::read_heads(&filed.audit.shared.db)).unwrap().links();
    let check = |bytes: &[u8]| crate::audit::sink::check(bytes, &keys.chain, Some(&heads)).unwrap();
    check(text.as_bytes()).unwrap();
    assert_eq!(filed.records(), 22);
    edit::every_edit_of(&text, 1_000, |edited| check(edited).is_err());
}

impl Filed {
    async fn work_without_conflict(&self) {
        let ctx = root();
        let changes = (0..8).map(|n| self.audit.commit(&ctx, record("a:b"), put(format!("w/{n}"))));
        futures_util::future::join_all(changes).await.into_iter().for_each(|done| drop(done.unwrap()));
        let accesses = (0..8).map(|_| self.audit.access(&ctx, record("c:d")));
        futures_util::future::join_all(accesses).await.into_iter().for_each(Result::unwrap);
    }
}

#[tokio::test]
async fn a_damaged_line_of_the_file_is_named() {
    let filed = Filed::new().await;
    for n in 0..10 {
        filed.change(format!("k/{n}")).await;
    }
    let text = filed.text();
    let line = text.lines().nth(5).unwrap();
    for damaged in
        [line.replace("a:b", "a:c"), line.replace("\"sequence\":5", "\"sequence\":4"), String::new()]
    {
        std::fs::write(filed.path(), text.replace(line, &damaged)).unwrap();
        assert_eq!(broken(&filed.audit).await.seq, 5, "{damaged}");
    }
    std::fs::write(filed.path(), text.replace(&format!("{line}\n"), "")).unwrap();
    assert_eq!(broken(&filed.audit).await.seq, 5);
    let end = text.trim_end().rfind('\n').unwrap();
    std::fs::write(filed.path(), &text[..=end]).unwrap();
    assert_eq!(broken(&filed.audit).await.seq, 10);
    identity(&filed.path());
}

fn identity(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}
