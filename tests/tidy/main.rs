// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules of this repository that neither the compiler nor clippy can check.
//!
//! A failing rule says what it found, why the rule is there, and what to do. It does not ask about style
//! that rustfmt or a lint already decides.

mod manifests;
mod markdown;
mod sizes;
mod sources;
mod tree;

/// Fails with a message that teaches, naming every place at once.
fn report(rule: &str, why: &str, fix: &str, found: &[String]) {
    assert!(found.is_empty(), "\n{rule}\n  {}\n\nwhy: {why}\nwhat to do: {fix}\n", found.join("\n  "));
}
