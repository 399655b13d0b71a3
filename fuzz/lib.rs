// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fuzz targets: one function each, run by libFuzzer (`fuzz/bin/`) and, without it, by the replay
//! test over the kept corpus and its mutations (`fuzz/replay.rs`). A target fails by panicking.

mod credentials;
mod documents;
mod http_requests;
mod installation;
mod names;

/// One target: a name, which is also the name of its corpus folder, and what is done with an input.
#[derive(Debug)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Feeds one input; panics if a property does not hold.
    pub run: fn(&[u8]),
    /// How many mutations the replay test tries, by what one costs.
    pub rounds: u64,
}

/// Every target, in the order of their names.
pub const TARGETS: &[Target] = &[
    Target { name: "credentials", run: credentials::target, rounds: 1_000 },
    Target { name: "documents", run: documents::target, rounds: 300 },
    Target { name: "http_requests", run: http_requests::target, rounds: 1_000 },
    Target { name: "names", run: names::target, rounds: 20_000 },
];

/// Runs the target of this name on one input.
///
/// # Panics
/// If a property does not hold, or if there is no target of this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "no fuzz target is called `{name}`: add it to TARGETS");
    if let Some(target) = target {
        (target.run)(data);
    }
}
