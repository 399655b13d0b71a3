// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory of a server that goes on running: what it holds of secrets that were written and
//! revealed a while ago.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use cms_tests::Installation;
use serde_json::json;

const SECRETS: usize = 24;
/// What every planted value begins with; rare, so that searching is quick.
const MARK: &str = "~|~";

/// A value that no file of the program holds, and this process only in pieces.
fn planted(at: usize) -> String {
    let mut state = u64::from(std::process::id()) << 16 | at as u64;
    let mut text = format!("{MARK}{at:02}");
    for _ in 0..6 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:08x}", state >> 32));
    }
    text
}

/// The writable memory of a process; `None` where this process may not look.
fn memory(id: u32) -> Option<Vec<Vec<u8>>> {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).ok()?;
    let mut memory = File::open(format!("/proc/{id}/mem")).ok()?;
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, mode) = (parts.next()?, parts.next()?);
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let length = usize::try_from(u64::from_str_radix(end, 16).ok()?.checked_sub(start)?).ok()?;
        let mut bytes = vec![0; length];
        if mode.starts_with("rw")
            && memory.seek(SeekFrom::Start(start)).is_ok()
            && memory.read_exact(&mut bytes).is_ok()
        {
            regions.push(bytes);
        }
    }
    (!regions.is_empty()).then_some(regions)
}

/// What stands before a planted value in the buffer that a connection has read a request into: the end of
/// the head, and the beginning of the body. Nothing else in the server has these bytes side by side.
const READ: &str = "\r\n\r\n{\"data\":{\"v\":\"";

/// How often each text stands there: in buffers of connections, and elsewhere.
fn places(memory: &[Vec<u8>], texts: &[String]) -> Vec<(usize, usize)> {
    let mut found = vec![(0, 0); texts.len()];
    for region in memory {
        let marks = region.iter().enumerate().filter(|(_, byte)| **byte == MARK.as_bytes()[0]);
        for (at, _) in marks.filter(|(at, _)| region[*at..].starts_with(MARK.as_bytes())) {
            for (found, text) in found.iter_mut().zip(texts) {
                if region[at..].starts_with(text.as_bytes()) {
                    let is_read = region[..at].ends_with(READ.as_bytes());
                    if is_read { found.0 += 1 } else { found.1 += 1 }
                }
            }
        }
    }
    found
}

#[test]
fn secrets_do_not_stay_in_a_running_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let server = it.serve("warn");
        let root = it.root_at(&server);
        root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
        // The search must find what is there: a document may be held for good.
        let held = format!("{MARK}of a document");
        root.put("projects/p/data/held", json!({"v": held})).await.is(201);
        root.post("projects/p/decisions", json!({"path": "held/v"})).await.is(200);
        for at in 0..SECRETS {
            let path = format!("projects/p/secrets/s{at}");
            root.put(&path, json!({"data": {"v": planted(at)}})).await.is(201);
            root.get(&path).await.is(200);
            let revealed = root.post(&format!("projects/p/secrets/-/reveal/s{at}"), json!(null)).await;
            assert_eq!(revealed.is(200)["data"]["v"], planted(at));
        }
        let mut texts: Vec<String> = (0..SECRETS).map(planted).collect();
        texts.push(held);
        // An answer is here before the server has let go of it: what it holds is looked at until it
        // holds nothing of ours any more, for as long as nobody may need to wait for that.
        let patience = Instant::now() + Duration::from_secs(10);
        let found = loop {
            let Some(memory) = memory(server.id()) else {
                println!("skipped: the memory of another process may not be read here");
                return;
            };
            let found = places(&memory, &texts);
            if found[..SECRETS].iter().all(|(_, ours)| *ours == 0) || Instant::now() > patience {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        println!("places in memory, of connections and others: {found:?}");
        assert!(found[SECRETS].1 > 0, "the search must find what is there");
        // See SECURITY.md: the buffers of connections are not ours to wipe. Everything else is.
        let ours: Vec<usize> = (0..SECRETS).filter(|at| found[*at].1 > 0).collect();
        assert!(ours.is_empty(), "these secrets are still in memory: {ours:?}");
        assert!(found[..SECRETS].iter().all(|(read, _)| *read <= 1), "requests are copied: {found:?}");
        assert!(server.stop().0);
    });
}
