// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that is full, and one that does not sync. A small library, built with the system's C
//! compiler and loaded into the child, makes the calls fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use super::child::Child;
use super::ensure;

/// A child whose disk fails when it is told to.
struct Faulty {
    child: Child,
    faults: PathBuf,
}

impl Faulty {
    fn start(place: &Path) -> Result<Self, Failed> {
        let library = place.join("faults.so");
        if !library.exists() {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/store/faults.c");
            let built = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-o"])
                .arg(&library)
                .arg(source)
                .status()?;
            ensure(built.success(), || "`cc` does not build the library".into())?;
        }
        let faults = place.join("faults");
        let variables = [("LD_PRELOAD", library.as_path()), ("CMS_FAULTS", faults.as_path())];
        Ok(Self { child: Child::start_with("obey", &place.join("store"), &variables), faults })
    }

    fn faults(&self, word: &str) -> Result<(), Failed> {
        Ok(fs::write(&self.faults, word)?)
    }

    fn expect(&mut self, order: &str, answer: &str) -> Result<(), Failed> {
        if !order.is_empty() {
            self.child.say(order);
        }
        let found = self.child.line();
        ensure(found.as_deref() == Some(answer), || format!("`{order}` gave {found:?}, not `{answer}`"))
    }
}

pub fn a_full_disk_refuses_writes(place: &Path) -> Result<(), Failed> {
    let mut store = Faulty::start(place)?;
    store.expect("", "ready")?;
    store.expect("put before", "done")?;
    store.faults("full")?;
    for number in 0..5 {
        store.expect(&format!("put during{number}"), "full")?;
        store.expect("get before", "right")?;
    }
    store.faults("")?;
    let begun = Instant::now();
    store.expect("put after", "done")?;
    ensure(begun.elapsed() < Duration::from_secs(1), || {
        format!("writes went on after {:?}", begun.elapsed())
    })?;
    store.expect("get during0", "absent")?;
    store.child.kill();
    let mut store = Faulty::start(place)?;
    store.expect("", "ready")?;
    store.expect("get before", "right")?;
    store.expect("get after", "right")?;
    store.expect("get during0", "absent")
}

pub fn a_store_opens_on_a_full_disk(place: &Path) -> Result<(), Failed> {
    let mut store = Faulty::start(place)?;
    store.expect("", "ready")?;
    store.expect("put before", "done")?;
    // An orderly end leaves only the main file: nothing that could be used again.
    store.child.say("end");
    store.child.wait();
    fs::write(place.join("faults"), "full")?;
    let mut store = Faulty::start(place)?;
    store.expect("", "ready")?;
    store.expect("get before", "right")?;
    let mut last = String::new();
    for number in 0..200 {
        store.child.say(&format!("put during{number}"));
        last = store.child.line().ok_or("the child ended")?;
        if last != "done" {
            break;
        }
    }
    ensure(last == "full", || format!("writes on a full disk ended with `{last}`"))?;
    store.expect("get during0", "right")?;
    store.faults("")?;
    store.expect("put after", "done")
}

pub fn a_failed_sync_ends_the_writes(place: &Path) -> Result<(), Failed> {
    let mut store = Faulty::start(place)?;
    store.expect("", "ready")?;
    store.expect("put before", "done")?;
    store.faults("sync")?;
    store.expect("put during", "unknown")?;
    store.faults("")?;
    // The disk is well again, but what it has lost is not known.
    store.expect("put later", "unavailable")?;
    store.expect("get before", "right")?;
    store.child.kill();
    let mut store = Faulty::start(place)?;
    store.expect("", "ready")?;
    store.expect("get before", "right")?;
    store.expect("put later", "done")?;
    store.expect("get later", "right")
}
