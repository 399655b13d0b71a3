// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What Rust files begin with, and what may not stand in them.

use crate::report;
use crate::tree::{Source, files, rust};

const SPDX: &str = "// SPDX-License-Identifier: Apache-2.0 OR MIT";

#[test]
fn every_file_names_its_licence_and_its_purpose() {
    let found: Vec<String> = rust()
        .iter()
        .filter(|file| {
            let mut lines = file.text.lines();
            let explains =
                |line: &str| line.starts_with("//! ") || line.starts_with("#![doc = include_str!(");
            lines.next() != Some(SPDX) || !lines.next().is_some_and(explains)
        })
        .map(|file| file.path.clone())
        .collect();
    report(
        "these files do not begin with the SPDX line followed by `//!`:",
        "the licence travels with the file, and a reader learns in one sentence whether to read on",
        &format!("begin with `{SPDX}`, then `//! ` and one sentence of what the file owns"),
        &found,
    );
}

#[test]
fn features_stay_where_they_are_declared() {
    let allowed = |file: &Source, line: &str| {
        file.path == "cms-store/src/lib.rs"
            || (file.path.starts_with("cms-core/src/") && line.contains("feature = \"testing\""))
    };
    report(
        "these lines depend on a feature:",
        "code that is there in one build and gone in the next cannot be read, and each feature doubles what tests must build",
        "make the whole module optional in `cms-store/src/lib.rs`; only `testing` of cms-core is the exception",
        &lines(|file, line| line.contains("cfg") && line.contains("feature = \"") && !allowed(file, line)),
    );
}

#[test]
fn exceptions_from_lints_expire() {
    report(
        "these lines silence a lint for ever:",
        "`allow` stays after its reason is gone; `expect` is an error as soon as nothing fires",
        "fix the finding, or write `#[expect(the_lint, reason = \"…\")]`",
        &lines(|_, line| {
            let line = line.trim_start();
            line.starts_with("#[allow(") || line.starts_with("#![allow(")
        }),
    );
}

#[test]
fn modules_are_named_for_what_they_hold() {
    let found: Vec<String> = rust()
        .iter()
        .map(|file| file.path.clone())
        .filter(|path| {
            path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().is_some_and(|name| {
                ["util", "utils", "helper", "helpers", "common", "misc", "manager"].contains(&name)
            })
        })
        .collect();
    report(
        "these modules have a name that fits anything:",
        "whatever has no home goes there, until it is the largest file and owned by nobody",
        "name it for the one thing it owns; split it if that takes two names",
        &found,
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Written in halves so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    report(
        "these lines postpone something:",
        "a note in the code is read by nobody who decides; the tracker is",
        "do it, or open an issue and delete the note",
        &lines(|_, line| marks.iter().any(|mark| line.contains(mark))),
    );
}

#[test]
fn tests_are_not_switched_off() {
    report(
        "these tests do not run:",
        "an ignored test is a promise that nobody checks",
        "make it fast enough to run always, or report at run time what is missing and why",
        &lines(|_, line| line.trim_start().starts_with("#[ignore")),
    );
}

#[test]
fn nothing_points_into_somebody_s_machine() {
    let homes = ["/home/", "/root/", "/Users/", concat!("/wo", "rk/"), concat!("/tmp/", "wt")];
    // As the start of a path only: a policy's path or a URL may hold the same word further in.
    let at_start = |line: &str, home: &str| {
        line.match_indices(home)
            .any(|(at, _)| line[..at].chars().next_back().is_none_or(|before| " \"'`(=:".contains(before)))
    };
    let found: Vec<String> = files(&[".rs", ".md", ".toml", ".sh", ".py", "run", "justfile"])
        .iter()
        .filter(|file| file.path != "tests/tidy/sources.rs")
        .flat_map(|file| {
            let hits = file.text.lines().enumerate();
            let hits = hits.filter(|(_, line)| homes.iter().any(|home| at_start(line, home)));
            hits.map(|(number, _)| format!("{}:{}", file.path, number + 1)).collect::<Vec<_>>()
        })
        .collect();
    report(
        "these lines name a path of one machine:",
        "it exists nowhere else",
        "use a path relative to the repository, a temporary directory, or an argument",
        &found,
    );
}

/// `path:line` of every line of Rust for which `hit` holds; this file quotes what it looks for.
fn lines(hit: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    rust()
        .iter()
        .filter(|file| file.path != "tests/tidy/sources.rs")
        .flat_map(|file| {
            let hits = file.text.lines().enumerate().filter(|(_, line)| hit(file, line));
            hits.map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}
