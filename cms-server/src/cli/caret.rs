// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows the places of a compile error in the text that was sent, with a caret under each.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::failure::Place;
use super::table::printable;

/// Renders each place under its line of `text`, which came from `origin`.
pub(crate) fn render(origin: &str, text: &str, places: &[Place], styled: bool) -> String {
    let shown = places.iter().map(|place| match span(text, place) {
        Some(span) => snippet(origin, text, place, span, styled),
        None => format!("error: {place}"),
    });
    shown.collect::<Vec<_>>().join("\n\n")
}

fn snippet(origin: &str, text: &str, place: &Place, span: Range<usize>, styled: bool) -> String {
    let message = printable(&place.message);
    // The engine's message may have several lines; the first one fits under a caret.
    let first = message.lines().next().unwrap_or_default();
    let marked = Snippet::source(text).path(origin).annotation(AnnotationKind::Primary.span(span));
    let report = [Level::ERROR.primary_title(first).element(marked)];
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&report).to_string()
}

/// Finds the bytes of the word that starts at the place; lines and columns count from 1.
fn span(text: &str, place: &Place) -> Option<Range<usize>> {
    let wanted = place.line?.checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(wanted).map(str::len).sum();
    let line = text.split_inclusive('\n').nth(wanted).unwrap_or_default().trim_end_matches(['\n', '\r']);
    let beyond_the_end = wanted > text.split_inclusive('\n').count();
    if beyond_the_end {
        return None;
    }
    let column = place.column.unwrap_or(1).saturating_sub(1);
    let skipped: usize = line.chars().take(column).map(char::len_utf8).sum();
    let rest = line.get(skipped..).unwrap_or_default();
    let word: usize = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').map(char::len_utf8).sum();
    let length = word.max(rest.chars().next().map_or(0, char::len_utf8));
    Some(start + skipped..start + skipped + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGO: &str = "package rag.authz\n\nallow if input.uesr == \"é\" }\n";

    fn place(line: usize, column: usize) -> Place {
        Place { line: Some(line), column: Some(column), message: "unexpected `}`".into(), ..Place::default() }
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let text = render("authz.rego", REGO, &[place(3, 28)], false);
        assert!(text.contains("authz.rego:3:28") && text.contains("unexpected `}`"), "{text}");
        let mut lines = text.lines().skip_while(|line| !line.contains("allow if"));
        let source = lines.next().unwrap();
        let marks = lines.next().unwrap();
        let column = |line: &str, c: char| line.chars().position(|found| found == c);
        assert_eq!(column(source, '}'), column(marks, '^'), "{text}");
    }

    #[test]
    fn a_word_is_marked_as_a_whole() {
        let text = render("a", REGO, &[place(3, 16)], false);
        assert!(text.contains("^^^^") && !text.contains("^^^^^"), "{text}");
    }

    #[test]
    fn places_outside_the_text_do_not_break_anything() {
        for (line, column) in [(0, 0), (1, 999), (4, 1), (5, 1), (usize::MAX, usize::MAX)] {
            let text = render("a", REGO, &[place(line, column)], false);
            assert!(text.contains("unexpected"), "{line}:{column}: {text}");
        }
        assert!(render("a", "", &[place(1, 1)], false).contains("unexpected"));
    }
}
