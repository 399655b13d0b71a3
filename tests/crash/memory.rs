// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory of a server that goes on running: what it holds of secrets that were written and
//! revealed a while ago.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

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

/// How often each of the texts stands there; all begin with the mark.
fn places(memory: &[Vec<u8>], texts: &[String]) -> Vec<usize> {
    let mut found = vec![0; texts.len()];
    for region in memory {
        let mut rest = region.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == MARK.as_bytes()[0]) {
            rest = &rest[at..];
            if rest.starts_with(MARK.as_bytes()) {
                let holds = |text: &String| rest.starts_with(text.as_bytes());
                found.iter_mut().zip(texts).for_each(|(found, text)| *found += usize::from(holds(text)));
            }
            rest = &rest[1..];
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
        let Some(soon) = memory(server.id()) else {
            println!("skipped: the memory of another process may not be read here");
            return;
        };
        // The buffer of a connection is not ours to wipe, but the next requests write over it.
        for _ in 0..200 {
            root.get("projects/p").await.is(200);
        }
        let later = memory(server.id()).unwrap();
        let mut texts: Vec<String> = (0..SECRETS).map(planted).collect();
        texts.push(held);
        let (soon, later) = (places(&soon, &texts), places(&later, &texts));
        println!("places in memory, at once {soon:?} and later {later:?}");
        assert!(soon[SECRETS] > 0 && later[SECRETS] > 0, "the search must find what is there");
        let at_once = soon[..SECRETS].iter().filter(|found| **found > 0).count();
        assert!(at_once < SECRETS / 2, "{at_once} of {SECRETS} secrets are in memory: {soon:?}");
        assert_eq!(later[..SECRETS], [0; SECRETS], "secrets stay in memory");
        assert!(server.stop().0);
    });
}
