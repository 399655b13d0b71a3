// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Differences between two texts, in unified form.

use std::time::Duration;

use similar::TextDiff;

/// How long a comparison may take before it settles for a coarser one.
const DEADLINE: Duration = Duration::from_millis(500);

/// The difference of two texts in unified form, with three lines of context; empty if there is none.
pub fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    if old == new {
        return String::new();
    }
    TextDiff::configure()
        .timeout(DEADLINE)
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(old_name, new_name)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_shows_on_both_sides() {
        let diff = unified("a\nb\n", "a\nc\n", "x@1", "x@2");
        assert!(diff.starts_with("--- x@1\n+++ x@2\n"), "{diff}");
        assert!(diff.contains("-b\n+c\n"), "{diff}");
        assert_eq!(unified("a", "a", "x", "y"), "");
    }
}
