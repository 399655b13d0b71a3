// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds what compiles and is probably not meant: names that lead nowhere, bodies that always or never
//! hold, and searches through data that could be look-ups.
//!
//! A comment `# cms:ignore RULE` on a line, or on the line above, silences a rule there.

mod bodies;
mod names;

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{Rule, Span};

use super::compile;
use super::data::Data;
use super::diagnostic::Diagnostic;
use super::frontend::{Reader, Translation};
use super::module::{self, Module, Options};
use super::outline::Outline;
use super::places::place_of;
use super::syntax::Source;

/// The rules of the linter, each with what it finds.
pub const RULES: &[(&str, &str)] = &[
    (ALWAYS_FALSE, "a body that no input can satisfy"),
    (ALWAYS_TRUE, "a condition that every input satisfies"),
    (LINEAR_SCAN, "a search through all of some data for an entry that could be looked up by its key"),
    (SHADOWED_NAME, "a variable named like a built-in function, an import or a rule"),
    (UNDEFINED_REFERENCE, "a reference into `data` that no policy and no data document provides"),
    (UNUSED_FUNCTION, "a function that nothing calls"),
    (UNUSED_IMPORT, "an import that its policy does not use"),
    (UNUSED_RULE, "a rule that no entry point needs; only looked for where entry points are named"),
    (UNUSED_VARIABLE, "a variable that gets a value and is never used"),
];

const ALWAYS_FALSE: &str = "always-false";
const ALWAYS_TRUE: &str = "always-true";
const LINEAR_SCAN: &str = "linear-scan";
const SHADOWED_NAME: &str = "shadowed-name";
const UNDEFINED_REFERENCE: &str = "undefined-reference";
const UNUSED_FUNCTION: &str = "unused-function";
const UNUSED_IMPORT: &str = "unused-import";
const UNUSED_RULE: &str = "unused-rule";
const UNUSED_VARIABLE: &str = "unused-variable";

/// Something that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The name of the document.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// One of [`RULES`].
    pub rule: &'static str,
    /// What it is, and what to write instead.
    pub message: String,
}

/// What the linter may rely on beside the policies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// All data documents, where they are known: then a reference into `data` must lead somewhere.
    pub data: Option<&'a Data>,
    /// The rules that are asked from outside, such as `rag.authz.allow`. None: any rule may be.
    pub entrypoints: &'a [String],
}

/// Lints policies that parse.
///
/// # Errors
/// What keeps them from being parsed.
pub fn lint(
    modules: &[Module],
    known: Known<'_>,
    options: &Options,
) -> Result<Vec<Finding>, Vec<Diagnostic>> {
    let outlines = module::read_all(modules, options)?;
    compile::within_stack(|| {
        let places = compile::places(modules.iter().zip(&outlines), Reader::Machine);
        let mut engine = compile::engine(modules, &places, &options.limits)?;
        let trees = engine.get_modules();
        let project = Project::new(&outlines, known);
        let mut found = Vec::new();
        for (module, outline) in modules.iter().zip(&outlines) {
            let tree = trees.iter().find(|tree| tree.package.span.source.file() == &module.name);
            let (Some(tree), Some((original, translation))) = (tree, places.of(&module.name)) else {
                continue;
            };
            let source = Source::new(&translation.text);
            let file = File { name: &module.name, original, translation, source, outline, project: &project };
            let rules: Vec<&Rule> = tree.policy.iter().map(AsRef::as_ref).collect();
            found.extend(names::imports(&file, &rules));
            found.extend(names::definitions(&file));
            for rule in rules {
                found.extend(names::rule(&file, rule));
                found.extend(bodies::rule(&file, rule));
            }
        }
        found.retain(|finding| !is_ignored(modules, finding));
        found.sort();
        found.dedup();
        Ok(found)
    })
}

/// What all policies say together.
struct Project<'a> {
    /// The paths of rules and functions, and whether each is a function.
    rules: BTreeMap<Vec<String>, bool>,
    packages: BTreeSet<Vec<String>>,
    /// What the rules mention, as whole paths.
    mentioned: BTreeSet<Vec<String>>,
    reached: Option<BTreeSet<Vec<String>>>,
    data: Option<Value>,
    outlines: &'a [Outline],
}

impl<'a> Project<'a> {
    fn new(outlines: &'a [Outline], known: Known<'_>) -> Self {
        let (mut rules, mut mentioned) = (BTreeMap::new(), BTreeSet::new());
        let mut needs: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for outline in outlines {
            for head in &outline.heads {
                let path = [outline.package.as_slice(), &head.path].concat();
                let own: BTreeSet<Vec<String>> =
                    head.mentions.iter().map(|mention| whole(outline, &mention.path)).collect();
                mentioned.extend(own.iter().filter(|mention| **mention != path).cloned());
                needs.entry(path.clone()).or_default().extend(own);
                rules.insert(path, head.is_function);
            }
        }
        let packages = outlines.iter().map(|outline| outline.package.clone()).collect();
        let reached = (!known.entrypoints.is_empty()).then(|| {
            let tests = outlines.iter().flat_map(|outline| {
                outline.tests().map(|head| [outline.package.as_slice(), &head.path].concat())
            });
            let asked = known.entrypoints.iter().map(|path| path_of(path));
            reach(asked.chain(tests).collect(), &needs)
        });
        let data = known.data.map(Data::to_value);
        Self { rules, packages, mentioned, reached, data, outlines }
    }
}

/// Everything that some rules need.
fn reach(
    mut open: Vec<Vec<String>>,
    needs: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
) -> BTreeSet<Vec<String>> {
    let mut reached = BTreeSet::new();
    while let Some(path) = open.pop() {
        for (rule, mentions) in needs {
            if (rule.starts_with(&path) || path.starts_with(rule)) && reached.insert(rule.clone()) {
                open.extend(mentions.iter().cloned());
            }
        }
    }
    reached
}

fn path_of(text: &str) -> Vec<String> {
    let text = text.strip_prefix("data.").unwrap_or(text);
    text.split(['.', '/']).map(str::to_owned).collect()
}

/// A mention in a text as a path below `data`: an import stands for its path, and other names for rules
/// of the package.
fn whole(outline: &Outline, path: &[String]) -> Vec<String> {
    let Some((first, rest)) = path.split_first() else { return Vec::new() };
    let imported = outline.imports.iter().find(|(alias, _)| alias == first);
    match imported {
        Some((_, target)) => [target.get(1..).unwrap_or_default(), rest].concat(),
        None if first == "data" => rest.to_vec(),
        None => [outline.package.as_slice(), path].concat(),
    }
}

/// A text that is being linted.
struct File<'a> {
    name: &'a str,
    original: &'a str,
    translation: &'a Translation,
    source: Source<'a>,
    outline: &'a Outline,
    project: &'a Project<'a>,
}

impl File<'_> {
    fn finding(&self, span: &Span, rule: &'static str, message: String) -> Finding {
        let offset = self.translation.original(self.source.range(span).start);
        let place = place_of(self.original, offset).unwrap_or((1, 1));
        self.finding_at(place, rule, message)
    }

    fn finding_at(&self, (line, column): (u32, u32), rule: &'static str, message: String) -> Finding {
        Finding { file: self.name.to_owned(), line, column, rule, message }
    }
}

fn is_ignored(modules: &[Module], finding: &Finding) -> bool {
    let Some(module) = modules.iter().find(|module| module.name == finding.file) else { return false };
    let line = usize::try_from(finding.line).unwrap_or(usize::MAX);
    let lines = module.text.lines().skip(line.saturating_sub(2)).take(if line > 1 { 2 } else { 1 });
    lines.filter_map(|line| line.split_once("# cms:ignore")).any(|(before, rules)| {
        let own = before.trim().is_empty()
            || module.text.lines().nth(line - 1).is_some_and(|l| l.starts_with(before));
        own && rules.split([',', ' ']).any(|rule| rule == finding.rule)
    })
}

#[cfg(test)]
mod tests;
