// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds recursion among rules that never become a program of the register machine.
//!
//! The interpreter recurses without bound, and a stack that overflows takes the process along. So
//! whatever only the interpreter runs (tests, and rules that use `with`) is checked by what its
//! text mentions. That errs on the safe side: it may take a variable for a rule.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, code};
use super::outline::Outline;

/// All definitions, by the path of their rule.
pub(super) struct Calls<'a> {
    rules: BTreeMap<Vec<String>, Rule<'a>>,
}

struct Rule<'a> {
    file: &'a str,
    place: (u32, u32),
    /// The paths that it mentions, absolute.
    mentions: BTreeSet<Vec<String>>,
}

impl<'a> Calls<'a> {
    pub(super) fn of(outlines: impl IntoIterator<Item = (&'a str, &'a Outline)>) -> Self {
        let mut rules: BTreeMap<Vec<String>, Rule<'a>> = BTreeMap::new();
        for (file, outline) in outlines {
            for head in &outline.heads {
                let path = [outline.package.as_slice(), &head.path].concat();
                let rule =
                    rules.entry(path).or_insert(Rule { file, place: head.place, mentions: BTreeSet::new() });
                rule.mentions.extend(head.mentions.iter().map(|mention| absolute(outline, mention)));
            }
        }
        Self { rules }
    }

    /// Looks for a circle, or a chain longer than `most`, that begins at one of these rules.
    pub(super) fn check(
        &self,
        from: impl IntoIterator<Item = Vec<String>>,
        most: usize,
    ) -> Option<Diagnostic> {
        let mut done: BTreeMap<&[String], usize> = BTreeMap::new();
        from.into_iter().find_map(|start| self.check_one(&start, most, &mut done))
    }

    /// Walks depth first, without recursion of its own.
    fn check_one<'s>(
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
                    let circle =
                        path.iter().map(|(visited, _)| *visited).skip_while(|visited| *visited != callee);
                    return Some(self.recursion(rule, circle.chain([callee])));
                }
                Some(callee) => path.push((callee, self.callees(callee))),
                None => {
                    let below = self.callees(rule).iter().filter_map(|callee| done.get(callee)).max();
                    let depth = below.copied().unwrap_or_default() + 1;
                    if depth > most {
                        return Some(self.too_deep(rule, most));
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
        let mentions = self.rules.get(rule).map(|rule| &rule.mentions);
        let mut found = Vec::new();
        for mention in mentions.into_iter().flatten() {
            let below = self.rules.range(mention.clone()..).take_while(|(path, _)| path.starts_with(mention));
            found.extend(below.map(|(path, _)| path.as_slice()));
            let above = (1..mention.len()).filter_map(|length| mention.get(..length));
            found.extend(
                above.filter_map(|path| self.rules.get_key_value(path)).map(|(path, _)| path.as_slice()),
            );
        }
        found
    }

    fn recursion<'r>(&self, rule: &[String], circle: impl Iterator<Item = &'r [String]>) -> Diagnostic {
        let names: Vec<String> = circle.map(|path| format!("data.{}", path.join("."))).collect();
        self.at(rule, code::RECURSION, circle_text(names))
    }

    fn too_deep(&self, rule: &[String], most: usize) -> Diagnostic {
        self.at(rule, code::LIMIT, depth_text(most))
    }

    fn at(&self, rule: &[String], code: &'static str, message: String) -> Diagnostic {
        let (file, place) = self.rules.get(rule).map_or(("", (1, 1)), |rule| (rule.file, rule.place));
        Diagnostic::new(file, place, code, message)
    }
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
