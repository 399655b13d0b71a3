// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory of a server that goes on running: what it holds of secrets that were written and
//! revealed a while ago.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use cms_tests::Installation;
use serde_json::json;

const SECRETS: usize = 24;
/// What the server's protocol library may keep of them, see SECURITY.md: the buffers of connections,
/// which are not ours to wipe.
const KEPT_BY_CONNECTIONS: usize = 2;

/// Text that no file of the program holds, and this process only in pieces.
fn planted(at: usize) -> String {
    let mut state = u64::from(std::process::id()) << 16 | at as u64;
    let mut text = String::new();
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

fn count(memory: &[Vec<u8>], needle: &str) -> usize {
    let needle = needle.as_bytes();
    let first = needle[0];
    let starts = |region: &Vec<u8>| {
        region.windows(needle.len()).filter(|part| part[0] == first && *part == needle).count()
    };
    memory.iter().map(starts).sum()
}

#[test]
fn secrets_do_not_stay_in_a_running_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let it = Installation::new();
    runtime.block_on(async {
        let server = it.serve("warn");
        let root = it.root_at(&server);
        root.post("projects", json!({"id": "p", "name": "p", "template": "empty"})).await.is(201);
        let held = "a value that a document holds for ever and a day";
        root.put("projects/p/data/held", json!({"v": held})).await.is(201);
        root.post("projects/p/decisions", json!({"path": "held/v"})).await.is(200);
        for at in 0..SECRETS {
            let path = format!("projects/p/secrets/s{at}");
            root.put(&path, json!({"data": {"v": planted(at)}})).await.is(201);
            root.get(&path).await.is(200);
            let revealed = root.post(&format!("projects/p/secrets/-/reveal/s{at}"), json!(null)).await;
            assert_eq!(revealed.is(200)["data"]["v"], planted(at));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(memory) = memory(server.id()) else {
            println!("skipped: the memory of another process may not be read here");
            return;
        };
        assert!(count(&memory, held) > 0, "the search must find what is there");
        let found: Vec<_> = (0..SECRETS).map(|at| count(&memory, &planted(at))).collect();
        println!("places in memory, by secret: {found:?}");
        let left = found.iter().filter(|count| **count > 0).count();
        assert!(left <= KEPT_BY_CONNECTIONS, "{left} of {SECRETS} secrets are still in memory: {found:?}");
        assert!(server.stop().0);
    });
}
