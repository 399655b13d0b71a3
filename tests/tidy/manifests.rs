// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the crates may depend on, and that they all opt in to the shared lints.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::report;
use crate::tree::{files, root};

/// Which crates of the workspace each of the product's crates may use: the direction of dependencies.
const INWARD: [(&str, &[&str]); 4] = [
    ("cms-core", &[]),
    ("cms-store", &["cms-core"]),
    ("cms-server", &["cms-core", "cms-store"]),
    ("cms-py", &["cms-core", "cms-store", "cms-server"]),
];

/// Crates that only one of ours may know.
const OWNED: [(&str, &[&str]); 3] = [
    (
        "cms-server",
        &[
            "axum",
            "clap",
            "clap_complete",
            "hyper",
            "hyper-util",
            "reqwest",
            "tower",
            "tower-http",
            "tokio-rustls",
        ],
    ),
    (
        "cms-store",
        &[
            "rusqlite",
            "rustify",
            "libsqlite3-sys",
            "tonic",
            "prost",
            "etcd-client",
            "redis",
            "vaultrs",
            "object_store",
            "git2",
            "sqlx",
        ],
    ),
    ("cms-py", &["pyo3", "pyo3-async-runtimes"]),
];

/// Crates that a second one of ours knows as well: its HTTP client is what `vaultrs` is given.
const SHARED: [(&str, &str); 1] = [("cms-store", "reqwest")];

#[test]
fn dependencies_point_inward() {
    let mut found = Vec::new();
    for (package, dependencies) in product() {
        let allowed =
            INWARD.iter().find(|(name, _)| *name == package).map_or(&[][..], |(_, allowed)| allowed);
        for dependency in dependencies.iter().filter(|name| name.starts_with("cms-")) {
            if !allowed.contains(&dependency.as_str()) {
                found.push(format!("`{package}` depends on `{dependency}`"));
            }
        }
    }
    report(
        "these dependencies point outward:",
        "cms-core ← cms-store ← cms-server ← cms-py: an inner crate that knows an outer one cannot be used without it",
        "declare a trait in the inner crate and implement it in the outer one",
        &found,
    );
}

#[test]
fn front_ends_and_backends_own_their_libraries() {
    let mut found = Vec::new();
    for (package, dependencies) in product() {
        for (owner, owned) in OWNED.iter().filter(|(owner, _)| *owner != package) {
            let strange = |name: &&String| {
                owned.contains(&name.as_str()) && !SHARED.contains(&(package.as_str(), name.as_str()))
            };
            for dependency in dependencies.iter().filter(strange) {
                found.push(format!("`{package}` depends on `{dependency}`, which belongs to `{owner}`"));
            }
        }
    }
    report(
        "these crates know a library that is not theirs:",
        "HTTP, the command line, Python and each backend must be replaceable without touching the domain",
        "move the code to the crate that owns the library, behind a port of cms-core",
        &found,
    );
}

#[test]
fn every_crate_opts_in_to_the_shared_lints() {
    let found: Vec<String> = files(&["Cargo.toml"])
        .iter()
        .filter(|file| file.path != "Cargo.toml" && !file.text.contains("[lints]\nworkspace = true"))
        .map(|file| file.path.clone())
        .collect();
    report(
        "these manifests do not use the lints of the workspace:",
        "a crate without them can unwrap, panic and hold unsafe code, and nobody notices",
        "add `[lints]` with `workspace = true`; a different table must say why in a comment at its place in EXEMPT",
        &found
            .into_iter()
            .filter(|path| !EXEMPT.iter().any(|(exempt, _)| exempt == path))
            .collect::<Vec<_>>(),
    );
}

/// Manifests with a lint table of their own, and why.
const EXEMPT: [(&str, &str); 3] = [
    ("benches/Cargo.toml", "benchmarks print, and call OPA's engine through its C interface in one file"),
    ("fuzz/Cargo.toml", "a fuzz target fails by panicking"),
    ("tests/Cargo.toml", "everything there is a test, and a test may panic"),
];

#[test]
fn versions_are_declared_once() {
    let found: Vec<String> = files(&["Cargo.toml"])
        .iter()
        .filter(|file| file.path != "Cargo.toml")
        .flat_map(|file| {
            let mut section = "";
            let mut hits = Vec::new();
            for line in file.text.lines() {
                if line.starts_with('[') {
                    section = line;
                } else if section.contains("dependencies")
                    && line.contains('=')
                    && !line.contains("workspace = true")
                {
                    hits.push(format!("{}: {line}", file.path));
                }
            }
            hits.into_iter().filter(|hit| !hit.contains(".workspace")).collect::<Vec<_>>()
        })
        .collect();
    report(
        "these dependencies carry a version of their own:",
        "two crates that choose alone end up with two versions in one binary",
        "declare it in `[workspace.dependencies]` and write `name.workspace = true`",
        &found,
    );
}

/// The product's crates with the names of their normal and build dependencies.
fn product() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let product: BTreeMap<_, _> = packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str()?;
            INWARD.iter().any(|(known, _)| *known == name).then(|| (name.to_owned(), dependencies(package)))
        })
        .collect();
    assert_eq!(product.len(), INWARD.len(), "the list INWARD names crates that are gone");
    product
}

fn dependencies(package: &Value) -> Vec<String> {
    let listed = package["dependencies"].as_array().expect("dependencies");
    let used = listed.iter().filter(|dependency| dependency["kind"] != "dev");
    used.filter_map(|dependency| dependency["name"].as_str().map(str::to_owned)).collect()
}
