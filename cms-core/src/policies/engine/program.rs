// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All policies of a release, compiled once. Cheap to share; nothing in it changes.

use std::sync::Arc;

use regorus::{Engine, rvm};

use super::builtins;
use super::compile;
use super::diagnostic::Diagnostic;
use super::index::Index;
use super::limits::Limits;
use super::module::{Module, Options};
use super::path::QueryPath;
use super::tree::{self, Meaning, RuleId, Tree};

/// A set of policies that can decide.
///
/// The rules of a package are compiled into programs of the register machine together with what
/// they call. So a project may grow by packages without slowing a decision of one of them.
pub struct Program {
    pub(super) limits: Limits,
    pub(super) rules: Vec<Rule>,
    pub(super) shards: Vec<Shard>,
    pub(super) tree: Tree,
    pub(super) packages: Vec<String>,
    /// The policies as the interpreter runs them, if a rule needs it.
    pub(super) interpreter: Option<Engine>,
}

/// A rule that a query may name.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its path, with slashes.
    pub(super) name: String,
    /// Its path as the compiler writes it: `data.rag.authz.allow`.
    pub(super) reference: String,
    pub(super) path: Vec<String>,
    pub(super) runs: Runs,
}

/// What evaluates a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// This entry point of this shard.
    Machine { shard: usize, entry: usize },
    /// The interpreter, because the machine lacks something that the rule uses.
    Interpreter,
}

/// A program of the register machine.
pub(super) struct Shard {
    pub(super) program: Arc<rvm::Program>,
    /// The rules that are entry points, each with the register that the last entry point, which
    /// evaluates all of them, leaves its value in.
    pub(super) rules: Vec<(RuleId, usize)>,
    /// How many rules at most wait for each other.
    pub(super) depth: usize,
    /// The rule that each conflict is about.
    pub(super) conflicts: Vec<String>,
    /// Which definitions an input can satisfy, for the rules that have many.
    pub(super) indexes: Vec<Index>,
    /// The indexes that an evaluation from each entry point may need.
    pub(super) reached: Vec<Vec<usize>>,
}

impl Program {
    /// Compiles policies together. Those whose names end in `_test` are checked, but left out of
    /// decisions; [`run_tests`](super::run_tests) runs them.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(modules: &[Module], options: &Options) -> Result<Self, Vec<Diagnostic>> {
        compile::compile(modules, options)
    }

    /// The paths of all rules that a query may name, such as `rag/authz/allow`.
    pub fn entrypoints(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// The packages, such as `rag.authz`.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(String::as_str)
    }

    /// The rules that the interpreter must evaluate, which is slower, and slower still with much
    /// data: those that use `with`, `walk`, or all of `data` at once.
    pub fn interpreted(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| rule.runs == Runs::Interpreter).map(|rule| rule.name.as_str())
    }

    /// Whether the same input always has the same answer: no rule asks for the time or for chance.
    /// Rules that the interpreter evaluates count as if they did.
    pub fn is_repeatable(&self) -> bool {
        self.interpreter.is_none()
            && self.shards.iter().all(|shard| {
                let functions = &shard.program.builtin_info_table;
                functions.iter().all(|function| !builtins::varies(&function.name))
            })
    }

    /// Whether a path names a rule, a place in a rule's value, or a place with rules below it.
    pub fn defines(&self, path: &QueryPath) -> bool {
        !matches!(self.tree.resolve(path.segments()), Meaning::Data)
    }

    /// The rule that a path names or leads into, else the rule or package that reads most like it:
    /// what was perhaps meant.
    pub fn nearest(&self, path: &QueryPath) -> Option<String> {
        let (mut named, mut rule) = (String::new(), None);
        for segment in path.segments() {
            if !named.is_empty() {
                named.push('/');
            }
            named.push_str(segment);
            rule = self.entrypoints().find(|known| **known == named).or(rule);
        }
        if let Some(rule) = rule {
            return Some(rule.to_owned());
        }
        let packages: Vec<String> = self.packages.iter().map(|package| package.replace('.', "/")).collect();
        let candidates = self.entrypoints().chain(packages.iter().map(String::as_str));
        tree::nearest(&path.to_string(), candidates).map(ToOwned::to_owned)
    }

    /// The limits that it was compiled with, and decides within.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("packages", &self.packages).finish_non_exhaustive()
    }
}
