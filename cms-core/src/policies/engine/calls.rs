// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks rules that never become a program of the register machine: whether they recurse, and
//! whether the functions that they call exist.
//!
//! The interpreter recurses without bound, and a stack that overflows takes the process along. So
//! whatever only the interpreter runs (tests, and rules that use `with`) is checked by what its
//! text mentions. That errs on the safe side: it may take a variable for a rule.

use std::collections::BTreeMap;

use super::builtins;
use super::diagnostic::{Diagnostic, code};
use super::outline::{Mention, Outline};

/// All rules and functions, by their paths.
pub(super) struct Calls<'a> {
    rules: BTreeMap<Vec<String>, Rule<'a>>,
}

struct Rule<'a> {
    file: &'a str,
    place: (u32, u32),
    is_function: bool,
    /// What its definitions mention, each with the path that it leads to.
    mentions: Vec<(&'a str, &'a Mention, Vec<String>)>,
}

impl<'a> Calls<'a> {
    pub(super) fn of(outlines: impl IntoIterator<Item = (&'a str, &'a Outline)>) -> Self {
        let mut rules: BTreeMap<Vec<String>, Rule<'a>> = BTreeMap::new();
        for (file, outline) in outlines {
            for head in &outline.heads {
                let path = [outline.package.as_slice(), &head.path].concat();
                let rule = rules.entry(path).or_insert(Rule {
                    file,
                    place: head.place,
                    is_function: false,
                    mentions: Vec::new(),
                });
                rule.is_function |= head.is_function;
                let mentions = head.mentions.iter();
                rule.mentions
                    .extend(mentions.map(|mention| (file, mention, absolute(outline, &mention.path))));
            }
        }
        Self { rules }
    }

    /// Looks for unknown functions, a circle, or a chain longer than `most`, beginning at these rules.
    pub(super) fn check(&self, from: impl IntoIterator<Item = Vec<String>>, most: usize) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut done: BTreeMap<&[String], usize> = BTreeMap::new();
        for start in from {
            found.extend(self.unknown(&start));
            found.extend(self.walk(&start, most, &mut done));
        }
        found
    }

    /// All calls that lead nowhere.
    pub(super) fn unknown_functions(&self) -> Vec<Diagnostic> {
        self.rules.keys().flat_map(|rule| self.unknown(rule)).collect()
    }

    /// The calls of a rule that lead nowhere.
    fn unknown(&self, rule: &[String]) -> impl Iterator<Item = Diagnostic> {
        let mentions = self.rules.get(rule).map(|rule| rule.mentions.as_slice()).unwrap_or_default();
        let calls = mentions.iter().filter(|(_, mention, _)| mention.is_call);
        calls.filter_map(|(file, mention, path)| {
            let name = mention.path.join(".");
            let known = self.rules.contains_key(path) || is_keyword(&name) || builtins::is_function(&name);
            let message = || format!("unknown function: `{name}`");
            (!known).then(|| Diagnostic::new(file, mention.place, code::TYPE, message()))
        })
    }

    /// Walks depth first, without recursion of its own.
    fn walk<'s>(
        &'s self,
        start: &[String],
        most: usize,
        done: &mut BTreeMap<&'s [String], usize>,
    ) -> Option<Diagnostic> {
        let (start, _) = self.rules.get_key_value(start)?;
        let mut path: Vec<(&[String], Vec<&[String]>)> = vec![(start, self.callees(start))];
        while let Some((rule, open)) = path.last_mut() {
            let rule: &[String] = rule;
            match open.pop() {
                Some(callee) if done.contains_key(callee) => {}
                Some(callee) if path.iter().any(|(visited, _)| *visited == callee) => {
                    let circle = path.iter().map(|(visited, _)| *visited);
                    let circle = circle.skip_while(|visited| *visited != callee).chain([callee]);
                    return Some(self.at(rule, code::RECURSION, circle_text(circle.map(named).collect())));
                }
                Some(callee) => path.push((callee, self.callees(callee))),
                None => {
                    let below = self.callees(rule).iter().filter_map(|callee| done.get(callee)).max();
                    let depth = below.copied().unwrap_or_default() + 1;
                    if depth > most {
                        return Some(self.at(rule, code::LIMIT, depth_text(most)));
                    }
                    done.insert(rule, depth);
                    path.pop();
                }
            }
        }
        None
    }

    /// The rules at, above and below what a rule mentions.
    fn callees(&self, rule: &[String]) -> Vec<&[String]> {
        let mentions = self.rules.get(rule).map(|rule| rule.mentions.as_slice()).unwrap_or_default();
        let mut found: Vec<&[String]> = Vec::new();
        for (_, mention, path) in mentions {
            if mention.is_bound {
                let function = self.rules.get_key_value(path).filter(|(_, rule)| rule.is_function);
                found.extend(function.map(|(path, _)| path.as_slice()));
                continue;
            }
            let below = self.rules.range(path.clone()..).take_while(|(below, _)| below.starts_with(path));
            found.extend(below.map(|(below, _)| below.as_slice()));
            let above = (1..path.len()).filter_map(|length| path.get(..length));
            found.extend(
                above.filter_map(|above| self.rules.get_key_value(above)).map(|(above, _)| above.as_slice()),
            );
        }
        found
    }

    fn at(&self, rule: &[String], code: &'static str, message: String) -> Diagnostic {
        let (file, place) = self.rules.get(rule).map_or(("", (1, 1)), |rule| (rule.file, rule.place));
        Diagnostic::new(file, place, code, message)
    }
}

fn named(path: &[String]) -> String {
    format!("data.{}", path.join("."))
}

/// Words that a bracket may follow, though they are no functions; `set()` is the empty set.
fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "as" | "contains" | "default" | "else" | "every" | "if" | "in" | "not" | "set" | "some" | "with"
    )
}

/// Describes a circle of rules that ends where it begins; the same circle always in the same words.
pub(super) fn circle_text(mut rules: Vec<String>) -> String {
    rules.pop();
    let first = (0..rules.len()).min_by_key(|index| rules.get(*index)).unwrap_or_default();
    rules.rotate_left(first);
    rules.extend(rules.first().cloned());
    format!("rules depend on each other in a circle: {}", rules.join(" → "))
}

pub(super) fn depth_text(most: usize) -> String {
    format!("rules call each other more than {most} deep; shorten the chain")
}

/// Where a mention leads: through an import, from the root, or into the own package.
fn absolute(outline: &Outline, mention: &[String]) -> Vec<String> {
    let Some((first, rest)) = mention.split_first() else { return Vec::new() };
    if first == "data" {
        return rest.to_vec();
    }
    match outline.imports.iter().find(|(alias, _)| alias == first) {
        Some((_, path)) => [path.get(1..).unwrap_or_default(), rest].concat(),
        None => [outline.package.as_slice(), mention].concat(),
    }
}
