// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents that name files, checked against the files.

use std::collections::BTreeSet;
use std::fs;

use crate::report;
use crate::tree::{MADE, Source, files, root};

#[test]
fn every_path_named_in_a_document_exists() {
    let root = root();
    let top: BTreeSet<String> = fs::read_dir(&root)
        .expect("a readable root")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        // What a build makes is there or not, depending on who built where.
        .filter(|name| !MADE.contains(&name.as_str()))
        .collect();
    let mut found = Vec::new();
    for file in files(&[".md"]) {
        let folder = root.join(&file.path).parent().expect("a file has a folder").to_owned();
        let named = quoted(&file).into_iter().filter(|path| is_path(path, &top)).map(|path| root.join(path));
        let linked = links(&file).into_iter().map(|path| folder.join(path));
        for path in named.chain(linked).filter(|path| !path.exists()) {
            let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
            found.push(format!("{}: {shown}", file.path));
        }
    }
    report(
        "these documents name files that do not exist:",
        "a map with wrong names is worse than none: its reader stops believing the rest",
        "correct the name, or drop the sentence",
        &found,
    );
}

/// What stands between single backticks, outside code blocks.
fn quoted(file: &Source) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in file.text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// A path of the repository: it begins with something that stands at its root, and is no pattern.
fn is_path(text: &str, top: &BTreeSet<String>) -> bool {
    let pattern = text.contains(|c: char| c.is_whitespace() || "*<>{}…$".contains(c));
    let known = text.split('/').next().is_some_and(|first| top.contains(first));
    // A bare word such as `tests` may mean something else; a bare file name may not.
    !pattern && known && (text.contains('/') || text.contains('.'))
}

/// The targets of relative links, without their anchors.
fn links(file: &Source) -> Vec<String> {
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .filter(|target| !target.contains(|c: char| c.is_whitespace() || "<>{}".contains(c)))
        .map(str::to_owned)
        .collect()
}
