// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles prepared policies into programs of the register machine, package by package, and finds
//! out which rules the machine cannot run and which nothing can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::languages::rego::compiler::{Compiler, CompilerError, SpannedCompilerError};
use regorus::rvm::Instruction;
use regorus::rvm::program::RuleInfo;
use regorus::{CompiledPolicy, Engine, rvm};

use super::bytecode::{self, At, Flaw};
use super::calls::{self, Calls};
use super::compile::{self, INTERNAL_PACKAGE};
use super::conflicts;
use super::definitions::definitions;
use super::diagnostic::{Diagnostic, code};
use super::documents::{self, RulePaths};
use super::frontend::Reader;
use super::guards;
use super::index;
use super::limits::Limits;
use super::module::Module;
use super::outline::{Head, Outline};
use super::path::{below_data, reference_of};
use super::places::Places;
use super::program::{Program, Rule, Runs, Shard};
use super::relocate::Unfit;
use super::stubs;
use super::tighten;
use super::tree::{RuleId, Tree};
use super::words;

/// Entry points per program; each takes one of its 255 registers.
const ENTRIES: usize = 200;
const MAX_ENTRIES: usize = 250;

/// One run of the compiler over all modules.
pub(super) struct Compilation<'a> {
    limits: &'a Limits,
    policy: CompiledPolicy,
    sources: Vec<Source<'a>>,
    tests: Vec<Source<'a>>,
    places: Places,
    /// The paths of all rules that are no functions.
    paths: RulePaths,
    rules: Vec<Rule>,
    shards: Vec<Shard>,
    /// What neither evaluator has been found to reject, but only the interpreter can run.
    interpreted: Vec<String>,
    found: Vec<Diagnostic>,
}

/// A module and what its text declares.
pub(super) struct Source<'a> {
    pub(super) module: &'a Module,
    pub(super) outline: Outline,
}

impl Source<'_> {
    /// Whether it holds tests and what they need, by OPA's convention for the names of files.
    pub(super) fn holds_tests(&self) -> bool {
        self.module.name.ends_with("_test") && self.outline.tests().next().is_some()
    }
}

impl<'a> Compilation<'a> {
    pub(super) fn new(
        policy: CompiledPolicy,
        sources: Vec<Source<'a>>,
        tests: Vec<Source<'a>>,
        places: Places,
        limits: &'a Limits,
    ) -> Self {
        let (paths, rules, shards, interpreted, found) = Default::default();
        Self { limits, policy, sources, tests, places, paths, rules, shards, interpreted, found }
    }

    /// Compiles the rules of each package, and checks what could not be compiled.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(super) fn run(mut self) -> Result<Program, Vec<Diagnostic>> {
        self.found.extend(self.contradictory());
        let packages = self.by_package();
        let paths = packages.values().flatten().map(|reference| below_data(reference));
        self.paths = paths.filter(|path| !self.heads(path).any(|head| head.is_function)).collect();
        for references in packages.into_values() {
            for part in references.chunks(ENTRIES) {
                self.compile_part(part);
            }
        }
        self.found.extend(self.check_interpreted());
        if self.found.is_empty() { self.finish() } else { Err(in_order(self.found)) }
    }

    /// Refuses names that are a rule and a function, and rules with two defaults.
    fn contradictory(&self) -> Vec<Diagnostic> {
        let mut kinds: BTreeMap<Vec<String>, bool> = BTreeMap::new();
        let mut defaults = BTreeSet::new();
        let mut found = Vec::new();
        for Source { module, outline } in &self.sources {
            for head in &outline.heads {
                let path = [outline.package.as_slice(), &head.path].concat();
                let name = path.join(".");
                let mut wrong = |message: String| {
                    found.push(Diagnostic::new(&module.name, head.place, code::TYPE, message));
                };
                if head.is_default && !defaults.insert(path.clone()) {
                    wrong(format!("multiple default rules {name} found"));
                }
                if *kinds.entry(path).or_insert(head.is_function) != head.is_function {
                    wrong(format!("conflicting rules {name} found: a name is a rule or a function"));
                }
            }
        }
        found
    }

    /// Refuses recursion, and unknown functions, in rules that the machine has not seen.
    fn check_interpreted(&self) -> Vec<Diagnostic> {
        let all = self.sources.iter().chain(&self.tests);
        let calls = Calls::of(all.map(|source| (source.module.name.as_str(), &source.outline)));
        let tests = self.tests.iter().flat_map(|source| {
            let package = source.outline.package.as_slice();
            source.outline.heads.iter().map(move |head| [package, &head.path].concat())
        });
        let interpreted = self.interpreted.iter().map(|reference| below_data(reference));
        calls.check(interpreted.chain(tests), self.limits.call_depth)
    }

    /// The references of all rules, by the package that declares them.
    fn by_package(&self) -> BTreeMap<Vec<String>, Vec<String>> {
        let mut grouped: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
        for reference in self.references() {
            let path = below_data(&reference);
            let package = self.package_of(&path);
            if package.first().is_none_or(|first| first != INTERNAL_PACKAGE) {
                grouped.entry(package).or_default().push(reference);
            }
        }
        grouped
    }

    /// The longest package that a path lies in.
    fn package_of(&self, path: &[String]) -> Vec<String> {
        let packages = self.sources.iter().map(|source| &source.outline.package);
        let own = packages.filter(|package| path.starts_with(package)).max_by_key(|package| package.len());
        own.cloned().unwrap_or_else(|| path.get(..1).unwrap_or_default().to_vec())
    }

    /// The references of all rules and functions.
    fn references(&self) -> BTreeSet<String> {
        let defaults = self.sources.iter().flat_map(|Source { outline, .. }| {
            outline
                .heads
                .iter()
                .filter(|head| head.is_default && !head.is_function)
                .map(|head| reference_of(outline.package.iter().chain(&head.path).map(String::as_str)))
        });
        definitions(&self.policy, self.sources.iter()).into_keys().chain(defaults).collect()
    }

    /// Compiles some rules of one package. If that fails, finds out which of them are at fault.
    fn compile_part(&mut self, references: &[String]) {
        match self.assemble(references) {
            Ok(shard) => self.add_shard(shard, references),
            Err(Failure::Unsupported) if references.len() == 1 => self.add_interpreted(references),
            Err(Failure::Wrong(diagnostic)) if references.len() == 1 => self.found.push(diagnostic),
            Err(_) => self.compile_apart(references),
        }
    }

    fn compile_apart(&mut self, references: &[String]) {
        let mut sound = Vec::new();
        for reference in references {
            match self.assemble(std::slice::from_ref(reference)) {
                Ok(_) => sound.push(reference.clone()),
                Err(Failure::Unsupported) => self.add_interpreted(std::slice::from_ref(reference)),
                Err(Failure::Wrong(diagnostic)) => self.found.push(diagnostic),
            }
        }
        if sound.is_empty() || !self.found.is_empty() {
            return;
        }
        match self.assemble(&sound) {
            Ok(shard) => self.add_shard(shard, &sound),
            // Each alone fits into a program, but not all together.
            Err(_) => sound.chunks(sound.len().div_ceil(2).max(1)).for_each(|half| self.compile_part(half)),
        }
    }

    fn add_shard(&mut self, assembled: Assembled, references: &[String]) {
        let Assembled { mut program, depth, conflicts } = assembled;
        let mut rules = Vec::new();
        let shard = self.shards.len();
        for (entry, reference) in references.iter().enumerate() {
            if is_function(&program, reference) {
                continue;
            }
            rules.push((self.add_rule(reference, Runs::Machine { shard, entry }), entry));
        }
        let rules = with_common_entry(&mut program, &rules);
        let indexes = index::indexes(&program);
        let reached = index::reached(&program, &indexes);
        // Last: the index reads the code as the compiler writes it.
        program = tighten::tightened(program);
        self.shards.push(Shard { program: Arc::new(program), rules, depth, conflicts, indexes, reached });
    }

    fn add_interpreted(&mut self, references: &[String]) {
        for reference in references {
            self.interpreted.push(reference.clone());
            let path = below_data(reference);
            let is_function = self.heads(&path).any(|head| head.is_function);
            if !is_function {
                self.add_rule(reference, Runs::Interpreter);
            }
        }
    }

    fn add_rule(&mut self, reference: &str, runs: Runs) -> RuleId {
        let path = below_data(reference);
        let path = words::path(&path);
        self.rules.push(Rule { name: path.join("/"), reference: reference.to_owned(), path, runs });
        self.rules.len() - 1
    }

    /// Compiles rules into one program, completes it, and inspects it.
    fn assemble(&self, references: &[String]) -> Result<Assembled, Failure> {
        let fallback = references.first().map(|reference| self.place_of(reference)).unwrap_or_default();
        let is_nested = |reference: &String| self.heads(&below_data(reference)).any(|head| head.is_nested);
        if references.iter().any(is_nested) {
            return Err(Failure::Unsupported);
        }
        let mut program = self.translate(references, &fallback)?;
        self.check_supported(&program)?;
        self.check_defaults(&program)?;
        stubs::link(&mut program).map_err(|_: Unfit| Failure::Unsupported)?;
        let joining = documents::build(&mut program, &self.paths).map_err(|_: Unfit| Failure::Unsupported)?;
        let depth = bytecode::inspect(&program, self.limits.call_depth)
            .map_err(|flaw| self.failure(flaw, &fallback))?;
        guards::guard_entries(&mut program).map_err(|_: Unfit| Failure::Unsupported)?;
        let conflicts = conflicts::detect(&mut program, &joining).map_err(|_: Unfit| Failure::Unsupported)?;
        guards::guard(&mut program).map_err(|_: Unfit| Failure::Unsupported)?;
        // A rule with several definitions has become two.
        Ok(Assembled { program: stripped(program), depth: depth * 2, conflicts })
    }

    /// Compiles rules, and whatever they need that the compiler leaves out.
    fn translate(
        &self,
        references: &[String],
        fallback: &(String, (u32, u32)),
    ) -> Result<rvm::Program, Failure> {
        let mut entries: Vec<String> = references.to_vec();
        loop {
            let names: Vec<&str> = entries.iter().map(String::as_str).collect();
            let program = Compiler::compile_from_policy(&self.policy, &names)
                .map_err(|error| self.rejected(&error, fallback))?;
            let missing = documents::missing(&program, &self.paths);
            if missing.is_empty() {
                return Ok(Arc::unwrap_or_clone(program));
            }
            let more = missing.iter().map(|path| reference_of(path.iter().map(String::as_str)));
            let known = entries.len();
            entries.extend(more);
            if entries.len() == known || entries.len() > MAX_ENTRIES {
                return Err(Failure::Unsupported);
            }
        }
    }

    /// The machine's compiler drops the default of a function, and all but the first variable of a name
    /// that goes on with several, silently.
    fn check_supported(&self, program: &rvm::Program) -> Result<(), Failure> {
        let lost = |rule: &RuleInfo| {
            let path = below_data(&rule.name);
            let mut heads = self.heads(&path);
            heads.any(|head| head.is_nested || (head.is_function && head.is_default))
        };
        if program.rule_infos.iter().any(lost) { Err(Failure::Unsupported) } else { Ok(()) }
    }

    /// A default that is no constant compiles to nothing, silently.
    fn check_defaults(&self, program: &rvm::Program) -> Result<(), Failure> {
        for rule in program.rule_infos.iter().filter(|rule| rule.default_literal_index.is_none()) {
            if rule.function_info.is_some() {
                continue;
            }
            let path = below_data(&rule.name);
            if self.heads(&path).any(|head| head.is_default) {
                let (file, place) = self.place_of(&rule.name);
                let message = format!("the default of `{}` must be a constant", path.join("."));
                return Err(Failure::Wrong(Diagnostic::new(&file, place, code::PARSE, message)));
            }
        }
        Ok(())
    }

    fn rejected(&self, error: &SpannedCompilerError, (file, place): &(String, (u32, u32))) -> Failure {
        if is_unsupported(&error.error) {
            return Failure::Unsupported;
        }
        let found = Diagnostic::from_compiler(&error.to_string(), file, code::COMPILE);
        Failure::Wrong(match error.span {
            Some(_) => self.places.settle(found),
            None => Diagnostic { line: place.0, column: place.1, ..found },
        })
    }

    fn failure(&self, flaw: Flaw, fallback: &(String, (u32, u32))) -> Failure {
        let (at, kind, message) = match flaw {
            Flaw::Unsupported => return Failure::Unsupported,
            Flaw::Recursion { rules, at } => (at, code::RECURSION, calls::circle_text(rules)),
            Flaw::Arguments { name, expected, given, at } => {
                (at, code::TYPE, format!("`{name}` takes {expected} arguments, but {given} are given"))
            }
            Flaw::Parameters { name, most } => (
                None,
                code::LIMIT,
                format!("`{name}` has more than {most} parameters; pass an object instead"),
            ),
            Flaw::Depth => (None, code::LIMIT, calls::depth_text(self.limits.call_depth)),
        };
        Failure::Wrong(match at {
            Some(at) => self.places.settle(Diagnostic::new(&self.file_of(&at), at.place, kind, message)),
            None => Diagnostic::new(&fallback.0, fallback.1, kind, message),
        })
    }

    /// The file that holds a place in a rule: the one whose definition of it begins last before.
    fn file_of(&self, at: &At) -> String {
        let path = below_data(&at.rule);
        let definitions = self.sources.iter().flat_map(|Source { module, outline }| {
            let below = path.strip_prefix(outline.package.as_slice());
            let heads = outline.heads.iter().filter(move |head| below == Some(head.path.as_slice()));
            heads.map(move |head| (head.place, &module.name)).filter(|(place, _)| *place <= at.place)
        });
        definitions.max().map(|(_, file)| file.clone()).unwrap_or_default()
    }

    fn heads(&self, path: &[String]) -> impl Iterator<Item = &Head> {
        self.sources.iter().flat_map(move |Source { outline, .. }| {
            let below = path.strip_prefix(outline.package.as_slice());
            outline.heads.iter().filter(move |head| below == Some(head.path.as_slice()))
        })
    }

    /// Where a rule is declared first.
    fn place_of(&self, reference: &str) -> (String, (u32, u32)) {
        let path = below_data(reference);
        let found = self.sources.iter().find_map(|Source { module, outline }| {
            let below = path.strip_prefix(outline.package.as_slice())?;
            let head = outline.heads.iter().find(|head| below.starts_with(&head.path))?;
            Some((module.name.clone(), head.place))
        });
        found.unwrap_or((String::new(), (1, 1)))
    }

    /// The interpreter for what the machine cannot run.
    fn interpreter(&self) -> Result<Option<Engine>, Vec<Diagnostic>> {
        if self.rules.iter().all(|rule| rule.runs != Runs::Interpreter) {
            return Ok(None);
        }
        let texts = self.sources.iter().map(|source| (source.module, &source.outline));
        let places = compile::places(texts, Reader::Interpreter);
        compile::engine(self.sources.iter().map(|source| source.module), &places, self.limits).map(Some)
    }

    fn finish(self) -> Result<Program, Vec<Diagnostic>> {
        let interpreter = self.interpreter()?;
        let mut tree = Tree::default();
        let mut packages = BTreeSet::new();
        for Source { outline, .. } in &self.sources {
            tree.insert_package(&outline.package);
            packages.insert(outline.package.join("."));
        }
        for (id, rule) in self.rules.iter().enumerate() {
            tree.insert_rule(&rule.path, id);
        }
        Ok(Program {
            limits: self.limits.clone(),
            rules: self.rules,
            shards: self.shards,
            tree,
            packages: packages.into_iter().collect(),
            interpreter,
        })
    }
}

/// A program that may run.
struct Assembled {
    program: rvm::Program,
    depth: usize,
    conflicts: Vec<String>,
}

/// Why some rules do not become a program.
enum Failure {
    /// The interpreter can evaluate them.
    Unsupported,
    /// Nothing can.
    Wrong(Diagnostic),
}

/// Whether an error says only that the register machine lacks something.
fn is_unsupported(error: &CompilerError) -> bool {
    match error {
        CompilerError::WithKeywordUnsupported
        | CompilerError::DirectDataAccess
        | CompilerError::NotSimpleReferenceChain
        | CompilerError::MissingBindingPlan { .. }
        | CompilerError::UnexpectedBindingPlan { .. }
        | CompilerError::InvalidDestructuringPattern
        | CompilerError::UnsupportedChainedExpression
        | CompilerError::InvalidUnaryMinus
        | CompilerError::RegisterOverflow { .. }
        | CompilerError::SomeInNotHoisted
        | CompilerError::PartialObjectConstantKeyUnsupported
        | CompilerError::PartialObjectNestedKeyUnsupported => true,
        CompilerError::General { message } => message.contains("walk loops"),
        _ => false,
    }
}

fn is_function(program: &rvm::Program, reference: &str) -> bool {
    program.rule_infos.iter().any(|rule| rule.name == reference && rule.function_info.is_some())
}

/// Drops what only a listing of the program needs.
fn stripped(mut program: rvm::Program) -> rvm::Program {
    program.sources = Vec::new();
    program.instruction_spans = vec![None; program.instructions.len()];
    program
}

/// Adds an entry point that evaluates all rules, each into the register that its own entry point
/// uses, so that a package is one evaluation. Gives the rules with their registers.
fn with_common_entry(program: &mut rvm::Program, rules: &[(RuleId, usize)]) -> Vec<(RuleId, usize)> {
    let start = program.instructions.len();
    let mut registers = Vec::new();
    for (rule, entry) in rules {
        let pc = program.entry_points.get_index(*entry).map(|(_, pc)| *pc);
        let call = pc.and_then(|pc| program.instructions.get(pc)).copied();
        if let Some(call @ Instruction::CallRule { dest, .. }) = call {
            program.add_instruction(call, None);
            registers.push((*rule, usize::from(dest)));
        }
    }
    program.add_instruction(Instruction::Return { value: 0 }, None);
    program.add_entry_point(String::new(), start);
    registers
}

/// Sorts by place. A circle, or a limit, that several rules run into is told once.
fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let mut told = BTreeSet::new();
    let shared = |code: &str| matches!(code, code::RECURSION | code::LIMIT);
    found.retain(|fault| {
        let place = (!shared(fault.code)).then(|| (fault.file.clone(), fault.line, fault.column));
        told.insert((fault.code, fault.message.clone(), place))
    });
    found
}
