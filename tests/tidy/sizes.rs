// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets: how long files and functions are, how much of the code is explained.

use crate::report;
use crate::tree::{Source, rust};

const FILE_CAP: usize = 600;
const TEST_FILE_CAP: usize = 1_000;

#[test]
fn no_file_outgrows_a_reader() {
    let found: Vec<String> = rust()
        .iter()
        .filter_map(|file| {
            let (lines, cap) = if file.is_test() {
                (file.text.lines().count(), TEST_FILE_CAP)
            } else {
                (file.product_lines(), FILE_CAP)
            };
            (lines > cap).then(|| format!("{}: {lines} lines, at most {cap}", file.path))
        })
        .collect();
    report(
        "these files are too long:",
        "a file is one idea that fits in a head; the long ones become the place where everything goes",
        "split it by responsibility into siblings, or move its tests to a sibling `tests.rs`",
        &found,
    );
}

#[test]
fn most_files_are_short() {
    let lines: Vec<usize> = product().iter().map(Source::product_lines).filter(|lines| *lines > 0).collect();
    budget("lines of a file", lines, 150, 400);
}

#[test]
fn most_functions_are_short() {
    let lines: Vec<usize> = product().iter().flat_map(|file| functions(&file.text)).collect();
    budget("lines of a function", lines, 10, 40);
}

#[test]
fn code_is_explained() {
    let (mut total, mut comments, mut docs) = (0_usize, 0_usize, 0_usize);
    for file in product() {
        for line in
            file.text.lines().take(file.product_lines()).map(str::trim).filter(|line| !line.is_empty())
        {
            total += 1;
            comments += usize::from(line.starts_with("//"));
            docs += usize::from(line.starts_with("///") || line.starts_with("//!"));
        }
    }
    let share = |part: usize| part * 100 / total.max(1);
    println!("comments {} %, of that documentation {} %, of {total} lines", share(comments), share(docs));
    assert!(
        share(comments) >= 12 && share(docs) >= 9,
        "comments are {} % of the code and documentation {} %; at least 12 and 9 are wanted.\n\
         Write down why, and the invariants; not what the next line says.",
        share(comments),
        share(docs),
    );
}

fn product() -> Vec<Source> {
    rust().into_iter().filter(|file| file.path.starts_with("cms-") && !file.is_test()).collect()
}

fn budget(what: &str, mut sizes: Vec<usize>, median: usize, tenth: usize) {
    sizes.sort_unstable();
    let at = |percent: usize| sizes[(sizes.len() - 1) * percent / 100];
    println!("{what}: median {}, 90 % within {}, longest {}", at(50), at(90), at(100));
    assert!(
        at(50) <= median && at(90) <= tenth,
        "{what}: the median is {} (at most {median}) and 90 % are within {} (at most {tenth}).\n\
         Short pieces are what lets a stranger find the one that matters: split the longest ones.",
        at(50),
        at(90),
    );
}

/// The length of each function, by the indentation that rustfmt guarantees.
fn functions(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut sizes = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if !starts_function(code) {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let closing = format!("{indent}}}");
        let rest = &lines[start..];
        // A signature without a body ends with `;` at its own indentation; a body ends with the brace.
        let declared =
            rest.iter().position(|line| line.ends_with(';') && !line.starts_with(&format!("{indent} ")));
        let ended =
            if code.ends_with('}') { Some(0) } else { rest.iter().position(|line| **line == closing) };
        if let Some(length) = ended.filter(|ended| declared.is_none_or(|declared| *ended < declared)) {
            sizes.push(length + 1);
        }
    }
    sizes
}

fn starts_function(code: &str) -> bool {
    let mut words = code.split_whitespace().skip_while(|word| {
        matches!(*word, "pub" | "async" | "const" | "extern" | "pub(crate)" | "pub(super)" | "pub(in")
    });
    words.next() == Some("fn")
}

#[test]
fn function_lengths_are_counted() {
    let text = "trait T {\n    fn declared(&self);\n}\nfn one() {}\npub async fn three() {\n    x();\n}\nimpl A {\n    fn four(\n        a: u8,\n    ) {\n    }\n}\n";
    assert_eq!(functions(text), [1, 3, 4]);
}
