// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prints what was measured beside what was aimed at.

use std::fmt::Write as _;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Only shown.
    Shown,
}

/// A table of one topic, printed line by line as results come in.
#[derive(Debug)]
pub struct Table {
    topic: String,
    held: usize,
    missed: Vec<String>,
}

impl Table {
    /// Starts a table and prints its head.
    pub fn new(topic: &str, columns: &str) -> Self {
        println!("\n## {topic}\n{columns}");
        Self { topic: topic.to_owned(), held: 0, missed: Vec::new() }
    }

    /// Prints a row: what it is, the figures as text, and the one figure that has a target.
    pub fn row(&mut self, what: &str, figures: &str, figure: f64, unit: &str, target: Target) {
        let verdict = self.judge(what, figure, unit, target);
        println!("{what:<42} {figures:<58} {} {verdict}", show(figure, unit));
    }

    /// Prints a line that has no target.
    pub fn note(&self, what: &str, figures: &str) {
        println!("{what:<42} {figures}");
    }

    /// Prints the outcome of the table.
    pub fn close(self) {
        let asked = self.held + self.missed.len();
        let mut line = format!("{}: {} of {asked} targets hold", self.topic, self.held);
        if !self.missed.is_empty() {
            let _ = write!(line, "; short: {}", self.missed.join("; "));
        }
        println!("{line}");
    }

    fn judge(&mut self, what: &str, figure: f64, unit: &str, target: Target) -> String {
        let (holds, bound) = match target {
            Target::AtLeast(bound) => (figure >= bound, format!("target ≥ {}", show(bound, unit))),
            Target::AtMost(bound) => (figure <= bound, format!("target ≤ {}", show(bound, unit))),
            Target::Shown => return String::new(),
        };
        if holds {
            self.held += 1;
            format!("{bound}  holds")
        } else {
            self.missed.push(format!("{what} {}, {bound}", show(figure, unit)));
            format!("{bound}  SHORT")
        }
    }
}

/// A figure with its unit, in three significant digits.
pub fn show(figure: f64, unit: &str) -> String {
    let digits = match figure.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{figure:.digits$}{unit}")
}

/// Nanoseconds in the unit that reads best.
pub fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => show(n, " ns"),
        n if n < 1e6 => show(n / 1e3, " µs"),
        n if n < 1e9 => show(n / 1e6, " ms"),
        n => show(n / 1e9, " s"),
    }
}

/// A rate in the unit that reads best.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r < 1e4 => show(r, "/s"),
        r if r < 1e6 => show(r / 1e3, "k/s"),
        r => show(r / 1e6, "M/s"),
    }
}
