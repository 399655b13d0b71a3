// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of the repository, as the rules see them.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold what tools made, at any depth.
pub(crate) const MADE: [&str; 7] =
    ["target", ".git", ".venv", ".peers", "__pycache__", "node_modules", "corpus"];

/// One text file of the repository.
pub(crate) struct Source {
    /// The path from the root, with `/`.
    pub(crate) path: String,
    /// The content.
    pub(crate) text: String,
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository has a root")
}

/// Returns every text file whose name ends with one of `endings`, in the order of their paths.
pub(crate) fn files(endings: &[&str]) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut |path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if endings.iter().any(|ending| name.ends_with(ending)) {
            let relative =
                path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
            if let Ok(text) = fs::read_to_string(path) {
                found.push(Source { path: relative, text });
            }
        }
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file ends with {endings:?}; the rule would pass without looking");
    found
}

/// Returns every Rust file.
pub(crate) fn rust() -> Vec<Source> {
    files(&[".rs"])
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        if MADE.iter().any(|made| path.ends_with(made)) {
            continue;
        }
        // Symbolic links are not followed: they could leave the repository.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, visit),
            Ok(kind) if kind.is_file() => visit(&path),
            _ => {}
        }
    }
}

impl Source {
    /// Whether the whole file is tests: a sibling `tests.rs`, a folder of tests, or the crate of tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/testing/")
    }

    /// The lines of the product: everything before the test module at the end.
    pub(crate) fn product_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines
            .windows(2)
            .position(|pair| pair[0].starts_with("#[cfg(test)]") && opens_tests(pair[1]))
            .unwrap_or(lines.len());
        lines[..end].len()
    }
}

/// A lint exception may stand between the attribute and the module.
fn opens_tests(line: &str) -> bool {
    (line.starts_with("mod ") && line.ends_with('{')) || line.starts_with("#[expect(")
}
