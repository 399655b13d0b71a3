// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where rules and packages stand below `data`, and what a path into it means.

use std::collections::BTreeMap;

/// The number of a rule in its program.
pub(super) type RuleId = usize;

/// Packages and rules by their paths.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

/// A place that a rule, a package, or something below either occupies.
#[derive(Debug, Default)]
pub(super) struct Node {
    children: BTreeMap<String, Node>,
    rule: Option<RuleId>,
}

/// What a path means.
#[derive(Debug)]
pub(super) enum Meaning<'a> {
    /// A rule, and the part of the path that leads into its value.
    Rule(RuleId, &'a [String]),
    /// A place with rules below it, and perhaps data beside them.
    Branch(&'a Node),
    /// A place that only data can fill.
    Data,
}

impl Tree {
    /// Adds a rule. A rule below or above another one gives way to the outer one.
    pub(super) fn insert_rule(&mut self, path: &[String], id: RuleId) {
        self.make(path).rule = Some(id);
    }

    /// Adds a package, which may have no rules.
    pub(super) fn insert_package(&mut self, path: &[String]) {
        self.make(path);
    }

    fn make(&mut self, path: &[String]) -> &mut Node {
        path.iter().fold(&mut self.root, |node, segment| node.children.entry(segment.clone()).or_default())
    }

    pub(super) fn resolve<'a>(&'a self, path: &'a [String]) -> Meaning<'a> {
        let mut node = &self.root;
        for (index, segment) in path.iter().enumerate() {
            match node.children.get(segment) {
                Some(child) => node = child,
                None => return Meaning::Data,
            }
            if let Some(rule) = node.rule {
                return Meaning::Rule(rule, path.get(index + 1..).unwrap_or_default());
            }
        }
        Meaning::Branch(node)
    }
}

impl Node {
    pub(super) fn rule(&self) -> Option<RuleId> {
        self.rule
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.children.iter().map(|(segment, node)| (segment.as_str(), node))
    }

    /// Every rule at or below this place.
    pub(super) fn rules(&self) -> Vec<RuleId> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect(&self, found: &mut Vec<RuleId>) {
        match self.rule {
            Some(rule) => found.push(rule),
            None => self.children.values().for_each(|child| child.collect(found)),
        }
    }
}

/// The candidate that reads most like `wanted`, if any is close.
pub(super) fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wanted.chars().count() / 3).max(2);
    candidates
        .map(|candidate| (distance(wanted, candidate), candidate))
        .filter(|(distance, _)| (1..=most).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions and replacements turn one text into the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, wanted) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut beside = index + 1;
        let mut next = vec![beside];
        for (above, found) in row.iter().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(*found != wanted);
            beside = replaced.min(above + 1).min(beside + 1);
            diagonal = *above;
            next.push(beside);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
