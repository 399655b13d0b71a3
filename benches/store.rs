// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The embedded store against the disk under it: durable commits at 1, 16 and 256 writers, in one
//! process and in two, reads, and how long a commit takes to reach the watches. Every round of the
//! store has a round of raw 4 KiB writes with fdatasync beside it.

#![expect(clippy::unwrap_used, reason = "a bench prints its table and stops at any error")]

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cms_core::store::{Durability, Range, Store, Transaction};
use futures_util::StreamExt;

const ROUND: Duration = Duration::from_millis(1500);
const VALUE_BYTES: usize = 256;
const KEYS: u64 = 100_000;
/// etcd's figures on the machine of the targets: a durable put of one client, and of 32.
const ETCD_PUT_US: f64 = 305.0;
const ETCD_PUTS_32: f64 = 17_500.0;
const ETCD_WATCH_US: f64 = 377.0;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [_, role, directory, writers] = arguments.as_slice()
        && role == "--writer"
    {
        runtime.block_on(child(directory, writers.parse().unwrap()));
        return;
    }
    let place = tempfile::tempdir_in(".").unwrap();
    println!("{:<44} {:>9} {:>9} {:>10}  against", "", "p50 us", "p99 us", "per s");
    runtime.block_on(async {
        let disk = raw(place.path());
        let directory = place.path().join("store");
        openings(place.path()).await;
        let store = cms_store::open(directory.to_str().unwrap()).await.unwrap();
        fill(&store).await;
        commits(&store, disk).await;
        processes(&store, &directory, disk).await;
        reads(&store).await;
        watches(&store, &directory).await;
    });
}

/// Sorted times in microseconds, and how many came in a second.
struct Times(Vec<f64>, f64);

impl Times {
    fn new(mut times: Vec<f64>, within: Duration) -> Self {
        times.sort_by(f64::total_cmp);
        let rate = times.len() as f64 / within.as_secs_f64();
        Self(times, rate)
    }

    fn at(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share) as usize;
        self.0.get(place).or(self.0.last()).copied().unwrap_or(f64::NAN)
    }

    fn print(&self, what: &str, against: &str) {
        println!("{what:<44} {:>9.1} {:>9.1} {:>10.0}  {against}", self.at(0.5), self.at(0.99), self.1);
    }
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// What the disk alone can do: the median of overwriting 4 KiB with fdatasync.
fn raw(place: &Path) -> f64 {
    let mut append = File::create(place.join("append")).unwrap();
    timed_writes(&mut append, None).print("raw 4 KiB append + fdatasync", "");
    let mut ready = File::create(place.join("ready")).unwrap();
    ready.write_all(&vec![0; 4096 * 1024]).unwrap();
    ready.sync_all().unwrap();
    let times = timed_writes(&mut ready, Some(1024));
    times.print("raw 4 KiB overwrite + fdatasync", "");
    times.at(0.5)
}

fn timed_writes(file: &mut File, wrap: Option<u64>) -> Times {
    let block = [1_u8; 4096];
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let start = Instant::now();
        if let Some(blocks) = wrap {
            file.seek(SeekFrom::Start(times.len() as u64 % blocks * 4096)).unwrap();
        }
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        times.push(micros(start));
    }
    Times::new(times, begun.elapsed())
}

/// How long it takes until a new store, and one of 10,000 keys, can be used.
async fn openings(place: &Path) {
    let (mut new, mut again) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for number in 0..10 {
        let directory = place.join(format!("open{number}"));
        let start = Instant::now();
        let store = cms_store::open(directory.to_str().unwrap()).await.unwrap();
        new.push(micros(start));
        for first in (0..10_000).step_by(500) {
            let all =
                (first..first + 500).fold(Transaction::new(), |all, key| all.put(name(key), vec![7; 120]));
            store.transact(all).await.unwrap();
        }
        drop(store);
        let start = Instant::now();
        drop(cms_store::open(directory.to_str().unwrap()).await.unwrap());
        again.push(micros(start));
    }
    Times::new(new, begun.elapsed()).print("open a new store", "");
    Times::new(again, begun.elapsed()).print("open a store of 10,000 keys, all checked", "target 50,000");
}

async fn fill(store: &Arc<dyn Store>) {
    for first in (0..KEYS).step_by(500) {
        let mut all = Transaction::new();
        all.durability = Durability::Process;
        let all = (first..first + 500).fold(all, |all, key| all.put(name(key), vec![7; 120]));
        store.transact(all).await.unwrap();
    }
}

fn name(number: u64) -> String {
    format!("p/bench/doc/data/{:06}", number % KEYS)
}

/// Writes from several tasks for one round.
async fn write(store: &Arc<dyn Store>, writers: usize, durability: Durability) -> Times {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers as u64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut key = writer.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                while begun.elapsed() < ROUND {
                    key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let mut change = Transaction::new().put(name(key >> 33), vec![7; VALUE_BYTES]);
                    change.durability = durability;
                    let start = Instant::now();
                    store.transact(change).await.unwrap();
                    times.push(micros(start));
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    Times::new(times, begun.elapsed())
}

async fn commits(store: &Arc<dyn Store>, disk: f64) {
    for writers in [1, 16, 32, 256] {
        let times = write(store, writers, Durability::Power).await;
        let against = match writers {
            1 => format!(
                "{:.2}x raw overwrite, {:.2}x an etcd put",
                times.at(0.5) / disk,
                times.at(0.5) / ETCD_PUT_US
            ),
            32 => format!("{:.2}x etcd at 32 clients", times.1 / ETCD_PUTS_32),
            _ => format!("{:.1} commits a raw write's time", times.1 * disk / 1e6),
        };
        times.print(&format!("durable commits, {writers} writers"), &against);
    }
    write(store, 1, Durability::Process).await.print("commits without fsync, 1 writer", "");
}

/// A second process writes as well.
async fn processes(store: &Arc<dyn Store>, directory: &Path, disk: f64) {
    for writers in [1, 16] {
        let mut child = spawn(directory, writers);
        let times = write(store, writers, Durability::Power).await;
        let other = child.wait_with_rate();
        let against = format!("{:.2}x raw; the other process {other:.0} per s", times.at(0.5) / disk);
        times.print(&format!("durable commits, 2 processes x {writers} writers"), &against);
    }
}

/// The other process of a round.
struct Other(Child);

impl Other {
    fn wait_with_rate(&mut self) -> f64 {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        self.0.wait().unwrap();
        line.trim().parse().unwrap_or(f64::NAN)
    }
}

fn spawn(directory: &Path, writers: usize) -> Other {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--writer", directory.to_str().unwrap(), &writers.to_string()].map(str::to_owned);
    Other(Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap())
}

async fn child(directory: &str, writers: usize) {
    let store = cms_store::open(directory).await.unwrap();
    println!("{:.0}", write(&store, writers, Durability::Power).await.1);
}

async fn reads(store: &Arc<dyn Store>) {
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let start = Instant::now();
        store.get(&name(times.len() as u64 * 7919)).await.unwrap().unwrap();
        times.push(micros(start));
    }
    Times::new(times, begun.elapsed()).print("get, past every cache", "");
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let start = Instant::now();
        let range = Range::prefix("p/").after(&name(times.len() as u64 * 7919)).limit(100);
        store.range(range).await.unwrap();
        times.push(micros(start));
    }
    Times::new(times, begun.elapsed()).print("range of 100", "");
}

/// From the start of a commit, and from its acknowledgement, to the watch.
async fn watches(store: &Arc<dyn Store>, directory: &Path) {
    let (whole, lag) = watch_times(store, store, 1).await;
    whole.print("commit begun -> 1 watch", &format!("{:.2}x etcd", whole.at(0.5) / ETCD_WATCH_US));
    lag.print("commit acknowledged -> 1 watch", "");
    let (whole, lag) = watch_times(store, store, 1000).await;
    whole.print("commit begun -> the last of 1,000 watches", "target p99 20,000");
    lag.print("commit acknowledged -> the last of 1,000", "");
    let other = cms_store::open(directory.to_str().unwrap()).await.unwrap();
    let (_, lag) = watch_times(&other, store, 1).await;
    lag.print("commit of another opening -> 1 watch", "target 50,000");
}

async fn watch_times(writer: &Arc<dyn Store>, watched: &Arc<dyn Store>, watches: u64) -> (Times, Times) {
    let after = watched.revision().await.unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let (all_seen, mut done) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..watches {
        let mut watch = watched.watch("p/bench/watched", after).await.unwrap();
        let (seen, all_seen) = (seen.clone(), all_seen.clone());
        tokio::spawn(async move {
            while watch.next().await.is_some() {
                if (seen.fetch_add(1, Ordering::SeqCst) + 1) % watches == 0
                    && all_seen.send(Instant::now()).is_err()
                {
                    break;
                }
            }
        });
    }
    let (mut whole, mut lag) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let start = Instant::now();
        writer.transact(Transaction::new().put("p/bench/watched", vec![7; VALUE_BYTES])).await.unwrap();
        let acknowledged = Instant::now();
        let seen = done.recv().await.unwrap();
        whole.push(seen.duration_since(start).as_secs_f64() * 1e6);
        lag.push(seen.saturating_duration_since(acknowledged).as_secs_f64() * 1e6);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (Times::new(whole, begun.elapsed()), Times::new(lag, begun.elapsed()))
}
