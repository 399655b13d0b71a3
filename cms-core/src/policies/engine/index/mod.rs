// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which definitions of a rule an input can satisfy, so that a decision tries only those.
//!
//! Many rules are tables in disguise: hundreds of definitions, each of which begins with
//! `input.role == "admin"` or `input.action in {"read", "list"}`. The machine would try one after the
//! other. The index finds, from the compiled code, what the input must hold for each definition
//! ([`facts`]), and arranges the definitions by it; a definition that demands nothing of the kind is
//! always tried. What is left out could not have succeeded, so values and conflicts are the same. As in
//! OPA, what is left out does not fail either: neither a limit nor a strict error counts there.
//!
//! The rest lies with [`Machine`](super::pool::Machine), which gives a program those definitions only.

mod facts;

use std::collections::BTreeMap;

use regorus::Value;
use regorus::rvm::Program;

use self::facts::{Fact, facts};
use super::bytecode::Calls;

/// Rules with fewer definitions are tried one by one: that is as fast.
const MIN_DEFINITIONS: usize = 8;

/// A definition stands in an index at most so often: once for each value that it takes.
const MAX_COPIES: usize = 32;

/// How many values of the input are looked at, one after the other, for one definition.
const MAX_DEPTH: usize = 4;

/// The definitions of a rule, by what they demand of the input.
#[derive(Debug)]
pub(super) struct Index {
    /// The rule's number in its program.
    pub(super) rule: usize,
    root: Node,
}

#[derive(Debug)]
enum Node {
    /// All of these, in the order of the text.
    All(Vec<usize>),
    /// Those under the value at `path` in the input, and `rest`.
    By { path: Vec<Value>, groups: BTreeMap<Value, Node>, rest: Box<Node> },
}

/// A definition, and what it demands.
#[derive(Clone)]
struct Definition {
    number: usize,
    facts: Vec<Fact>,
    /// How often it stands in the index.
    copies: usize,
}

impl Definition {
    /// The demands that it may be arranged by.
    fn usable(&self) -> impl Iterator<Item = (usize, &Fact)> {
        let few = |(_, fact): &(usize, &Fact)| self.copies.saturating_mul(fact.values.len()) <= MAX_COPIES;
        self.facts.iter().enumerate().filter(few)
    }
}

impl Index {
    /// The definitions that an input can satisfy, in the order of the text, into `found`; one at least.
    pub(super) fn select(&self, input: &Value, found: &mut Vec<usize>) {
        found.clear();
        self.root.select(input, found);
        found.sort_unstable();
        if found.is_empty() {
            // The machine takes a rule without any for one that is only declared: a set of nothing would
            // be undefined instead of empty.
            found.push(0);
        }
    }
}

impl Node {
    fn select(&self, input: &Value, found: &mut Vec<usize>) {
        match self {
            Self::All(numbers) => found.extend(numbers),
            Self::By { path, groups, rest } => {
                if let Some(group) = value_at(input, path).and_then(|value| groups.get(value)) {
                    group.select(input, found);
                }
                rest.select(input, found);
            }
        }
    }

    fn of(definitions: Vec<Definition>, depth: usize) -> Self {
        let path = if depth < MAX_DEPTH { most_selective(&definitions) } else { None };
        let Some(path) = path else {
            return Self::All(definitions.into_iter().map(|definition| definition.number).collect());
        };
        let mut groups: BTreeMap<Value, Vec<Definition>> = BTreeMap::new();
        let mut rest = Vec::new();
        for mut definition in definitions {
            let Some((place, _)) = definition.usable().find(|(_, fact)| fact.path == path) else {
                rest.push(definition);
                continue;
            };
            let fact = definition.facts.swap_remove(place);
            definition.copies *= fact.values.len().max(1);
            for value in fact.values {
                groups.entry(value).or_default().push(definition.clone());
            }
        }
        let groups = groups.into_iter().map(|(value, group)| (value, Self::of(group, depth + 1))).collect();
        // What has no demand here may have one elsewhere.
        Self::By { path, groups, rest: Box::new(Self::of(rest, depth + 1)) }
    }
}

/// The place in the input that leaves the fewest definitions to try, if any leaves fewer than all.
fn most_selective(definitions: &[Definition]) -> Option<Vec<Value>> {
    if definitions.len() < MIN_DEFINITIONS {
        return None;
    }
    let mut by_path: BTreeMap<&[Value], (usize, BTreeMap<&Value, usize>)> = BTreeMap::new();
    for definition in definitions {
        for (_, fact) in definition.usable() {
            let (having, groups) = by_path.entry(&fact.path).or_default();
            *having += 1;
            fact.values.iter().for_each(|value| *groups.entry(value).or_default() += 1);
        }
    }
    let left = |having: usize, groups: &BTreeMap<&Value, usize>| {
        definitions.len() - having + groups.values().max().copied().unwrap_or_default()
    };
    let costs = by_path.into_iter().map(|(path, (having, groups))| (left(having, &groups), path));
    let (cost, path) = costs.min()?;
    (cost < definitions.len()).then(|| path.to_vec())
}

fn value_at<'a>(input: &'a Value, path: &[Value]) -> Option<&'a Value> {
    path.iter().try_fold(input, |value, key| value.as_object().ok()?.get(key))
}

/// The indexes of a program's rules.
pub(super) fn indexes(program: &Program) -> Vec<Index> {
    let rules = program.rule_infos.iter().enumerate();
    let large = rules.filter(|(_, info)| info.definitions.len() >= MIN_DEFINITIONS);
    let indexes = large.map(|(rule, info)| {
        let definitions = info.definitions.iter().enumerate();
        let definitions = definitions.map(|(number, bodies)| Definition {
            number,
            facts: demands(program, bodies),
            copies: 1,
        });
        Index { rule, root: Node::of(definitions.collect(), 0) }
    });
    indexes.filter(|index| matches!(index.root, Node::By { .. })).collect()
}

/// What a definition demands: nothing that is known where it has several bodies, one of which suffices.
fn demands(program: &Program, bodies: &[u32]) -> Vec<Fact> {
    match bodies {
        [body] => facts(program, *body),
        _ => Vec::new(),
    }
}

/// For each entry point of a program, which of the indexed rules its code may reach.
pub(super) fn reached(program: &Program, indexes: &[Index]) -> Vec<Vec<usize>> {
    if indexes.is_empty() {
        return Vec::new();
    }
    let calls = Calls::of(program);
    let entries = program.entry_points.values();
    let reached = entries.map(|start| {
        let rules = calls.reached_from(program, *start);
        let is_reached = |at: &usize| indexes.get(*at).is_some_and(|index| rules.contains(&index.rule));
        (0..indexes.len()).filter(is_reached).collect()
    });
    reached.collect()
}
