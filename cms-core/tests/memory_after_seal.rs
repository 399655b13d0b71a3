// SPDX-License-Identifier: Apache-2.0 OR MIT
//! After sealing, neither the seal key, nor the root key, nor the installation secret, nor a revealed
//! plaintext is anywhere in the memory of the process.
//!
//! The test runs itself a second time as the process under test. That one is told what to look for
//! only after it has sealed, and in a form (each byte inverted) that cannot be found itself.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and its child process reports on standard output"
)]
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cms_core::clock::SystemClock;
use cms_core::crypto::{Barrier, KeySeal, KeySource, Seal, create_key_file};
use cms_core::ids::ProjectId;
use cms_core::sensitive::Sensitive;
use cms_core::store::{Db, MemoryStore, Store};
use data_encoding::HEXLOWER;

const CHILD: &str = "CMS_TEST_SEAL_KEY_FILE";

#[test]
fn no_key_is_left_in_memory_after_sealing() {
    if let Some(key_file) = std::env::var_os(CHILD) {
        return process_under_test(Path::new(&key_file));
    }
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("seal.key");
    create_key_file(&key_file).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_key_is_left_in_memory_after_sealing", "--nocapture"])
        .env(CHILD, &key_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut answer =
        |label: &str| lines.find_map(|line| line.strip_prefix(label).map(str::to_owned)).unwrap();

    let record = answer("record ");
    let mut needles = secrets_of(&key_file, &record);
    needles.push(plaintext());
    let mut stdin = child.stdin.take().unwrap();
    for needle in &needles {
        let inverted: Vec<u8> = needle.iter().map(|byte| !byte).collect();
        writeln!(stdin, "{}", HEXLOWER.encode(&inverted)).unwrap();
    }
    drop(stdin);
    // The control shows that the search finds what is there.
    assert_ne!(answer("control "), "0", "the search must find what was left on purpose");
    let found: Vec<String> = answer("found ").split(' ').map(str::to_owned).collect();
    assert_eq!(found, ["0", "0", "0", "0"], "seal key, installation secret, root key, plaintext");
    assert!(child.wait().unwrap().success());
}

/// The seal key, the installation secret and the root key, worked out from the stored record.
fn secrets_of(key_file: &Path, record: &str) -> Vec<Vec<u8>> {
    let seal_key = KeySource::File(key_file.to_owned()).read().unwrap();
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    let wrapped = data_encoding::BASE64.decode(record["wrapped"].as_str().unwrap().as_bytes()).unwrap();
    let context = format!("cms root keyring {}", record["generation"]);
    let seal = KeySeal::new(KeySource::File(key_file.to_owned()));
    let keyring = block_on(seal.unwrap(&wrapped, context.as_bytes())).unwrap();
    let keyring = keyring.expose();
    vec![seal_key.expose().clone(), keyring[2..34].to_vec(), keyring[keyring.len() - 32..].to_vec()]
}

/// Not a constant, which would be found in the program itself.
fn plaintext() -> Vec<u8> {
    (0..48_u8).map(|n| n.wrapping_mul(37) ^ 0x5a).collect()
}

fn process_under_test(key_file: &Path) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    block_on(use_and_seal(store.clone(), key_file));
    let record = block_on(store.get("sys/keyring")).unwrap().unwrap();
    println!("\nrecord {}", String::from_utf8(record.value.to_vec()).unwrap());
    let inverted: Vec<Vec<u8>> =
        std::io::stdin().lines().map(|line| HEXLOWER.decode(line.unwrap().as_bytes()).unwrap()).collect();
    let control: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(91) ^ 0x33).collect();
    let inverted_control: Vec<u8> = control.iter().map(|byte| !byte).collect();
    println!("control {}", occurrences(&inverted_control));
    drop(std::hint::black_box(control));
    let found: Vec<String> = inverted.iter().map(|needle| occurrences(needle).to_string()).collect();
    println!("found {}", found.join(" "));
}

async fn use_and_seal(store: Arc<dyn Store>, key_file: &Path) {
    let seal = Arc::new(KeySeal::new(KeySource::File(key_file.to_owned())));
    let barrier = Barrier::new(Db::new(store.clone()), seal, Arc::new(SystemClock));
    store.transact(barrier.initialize().await.unwrap()).await.unwrap();
    barrier.unseal().await.unwrap();
    let platform = ProjectId::platform();
    let secret = Sensitive::new(plaintext());
    let sealed = barrier.seal(&platform, "auth/user/key", 1, secret.expose()).await.unwrap();
    assert_eq!(barrier.open(&platform, "auth/user/key", 1, &sealed).await.unwrap().expose(), secret.expose());
    barrier.derive("label").unwrap();
    barrier.seal_up();
}

/// Counts where in this process's writable memory the inverse of `inverted` stands.
fn occurrences(inverted: &[u8]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, mode) = (parts.next().unwrap(), parts.next().unwrap());
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let length = usize::try_from(u64::from_str_radix(end, 16).unwrap() - start).unwrap();
        let mut bytes = vec![0; length];
        if memory.seek(SeekFrom::Start(start)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            // Inverted at once: the copy must not be what a later search finds.
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            count += bytes.windows(inverted.len()).filter(|part| *part == inverted).count();
        }
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
    count
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
