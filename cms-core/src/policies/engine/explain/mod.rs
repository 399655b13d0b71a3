// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Explains a decision: which rules were tried, where each of them failed, and with which values.
//!
//! The policies are written anew with statements that report (see [`instrument`]), and evaluated by the
//! interpreter, within the limits of a decision. That is a diagnosis and no decision: what counts is
//! what the [`Snapshot`](super::Snapshot) says.

mod instrument;
mod recorder;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::unstable::Module as Tree;
use regorus::{Engine, Value};

use super::compile;
use super::data::Data;
use super::diagnostic::{Diagnostic, code};
use super::evaluate::EvaluationError;
use super::frontend::Reader;
use super::interpreter;
use super::json;
use super::limits::Limits;
use super::meter;
use super::module::{self, Module, Options};
use super::outline::Outline;
use super::path::{QueryPath, reference_of};
use super::places::Places;
use super::snapshot::Input;
use super::stack::on_deep_stack;
use super::syntax::Source;
use super::words;
use instrument::{Site, Text};
use recorder::Recorder;

/// From how many bytes of JSON on a value is described instead of shown.
const SHOWN_BYTES: usize = 256;
/// How many rules below a path are told.
const MAX_RULES: usize = 50;
/// How much longer a text may become by what it reports.
const GROWTH: usize = 256;

/// Why a decision came out as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rules that were asked for, each with its value: nothing, if it is undefined.
    pub results: Vec<Shown>,
    /// The definitions that were tried, in the order in which they were needed.
    pub tried: Vec<Tried>,
    /// Why the explanation ends early, if it does.
    pub incomplete: Option<String>,
}

/// One definition of a rule or a function, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The rule, such as `rag.authz.allow`.
    pub rule: String,
    /// The name of the document that holds it.
    pub document: String,
    /// The line where the definition, or its `else`, begins.
    pub line: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// The arguments of a function.
    pub arguments: Vec<Shown>,
    /// What the rule comes to by this definition, for the first ways to satisfy it. Empty: `true`.
    pub values: Vec<Shown>,
    /// The values of variables: where it held, or before it failed.
    pub variables: Vec<Shown>,
    /// The first expression that could not be satisfied.
    pub failure: Option<Failure>,
    /// The definitions that this one needed and that were tried for it.
    pub because: Vec<Tried>,
}

impl Explanation {
    /// Says so where the diagnosis has come to something else than the decision, which is what counts: the
    /// interpreter reckons with fractions in binary.
    pub fn hold_to(&mut self, decided: Option<&str>) {
        let [only] = self.results.as_mut_slice() else { return };
        let agrees = match &only.value {
            Seen::Undefined => decided.is_none(),
            Seen::Json(text) => decided == Some(text.as_str()),
            Seen::Described(_) => decided.is_some(),
        };
        if !agrees && self.incomplete.is_none() {
            only.value = decided.map_or(Seen::Undefined, |text| Seen::Json(text.to_owned()));
            self.incomplete =
                Some("the policy came to something else when it was evaluated again".to_owned());
        }
    }
}

impl Tried {
    /// Of what this definition needed and failed because of, the innermost.
    pub fn deepest_failure(&self) -> Option<&Self> {
        let inner = self.because.iter().find(|inner| inner.outcome == Outcome::Failed)?;
        inner.deepest_failure().or(Some(inner))
    }
}

/// What came of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its body can be satisfied.
    Held,
    /// It cannot.
    Failed,
    /// No definition of the rule held, and this is its default.
    Default,
    /// The evaluation ended before it was known.
    Stopped,
}

/// The expression with which a body could no longer be satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its line.
    pub line: u32,
    /// Its text, on one line; empty where a body is told as a whole.
    pub text: String,
    /// The values of what it refers to.
    pub values: Vec<Shown>,
}

/// A name and its value, as far as that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// A variable, a reference, or the text of a call; empty for what has no name.
    pub name: String,
    /// The value.
    pub value: Seen,
}

/// A value, or what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It has none.
    Undefined,
    /// JSON.
    Json(String),
    /// It is too long to be shown; this describes it.
    Described(String),
}

impl Shown {
    fn of(name: &str, value: &Value) -> Self {
        let seen = match value {
            Value::Undefined => Seen::Undefined,
            value => {
                match json::to_json(value, SHOWN_BYTES).ok().and_then(|text| String::from_utf8(text).ok()) {
                    Some(text) => Seen::Json(text),
                    None => Seen::Described(described(value)),
                }
            }
        };
        Self { name: name.to_owned(), value: seen }
    }

    /// What a definition yields: nothing, a value, or a key and a value.
    fn joined(terms: &Value) -> Self {
        match items(terms).as_slice() {
            [] => Self::of("", &Value::Bool(true)),
            [value] => Self::of("", single(value)),
            [key, value, ..] => {
                let entry: BTreeMap<Value, Value> =
                    [(single(key).clone(), single(value).clone())].into_iter().collect();
                Self::of("", &Value::from(entry))
            }
        }
    }
}

/// The items of an array.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// The value of a term: a set that is empty if the term is undefined.
fn single(value: &Value) -> &Value {
    match value {
        Value::Set(items) if items.len() <= 1 => items.first().unwrap_or(&Value::Undefined),
        other => other,
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::String(text) => format!("a string of {} bytes", text.len()),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Set(items) => format!("a set of {} items", items.len()),
        Value::Object(entries) => format!("an object of {} entries", entries.len()),
        _ => "a long value".to_owned(),
    }
}

/// Policies and data, ready to explain. Shared by all threads.
pub struct Explainer {
    engine: Engine,
    sites: Arc<[Site]>,
    /// The defaults of rules, and where they stand.
    defaults: BTreeMap<String, (String, u32)>,
    /// The rules that are no functions.
    rules: Vec<Vec<String>>,
    limits: Limits,
}

impl Explainer {
    /// Prepares policies that compile, and data.
    ///
    /// # Errors
    /// What is wrong with the policies.
    pub fn new(modules: &[Module], data: &Data, options: &Options) -> Result<Self, Vec<Diagnostic>> {
        compile::within_stack(|| Self::prepare(modules, &data.to_value(), options))
    }

    fn prepare(modules: &[Module], data: &Value, options: &Options) -> Result<Self, Vec<Diagnostic>> {
        let outlines = module::read_all(modules, options)?;
        let mut limits = options.limits.clone();
        limits.source_bytes = limits.source_bytes.saturating_mul(GROWTH);
        let ready = |fine: bool| -> Result<_, Vec<Diagnostic>> {
            let (places, sites) = instrumented(modules, &outlines, &limits, fine)?;
            let engine = compile::engine(modules, &places, &limits)?;
            let engine = interpreter::with_data(engine, data).map_err(|error| internal(error.to_string()))?;
            Ok((engine, sites))
        };
        let (engine, sites) = ready(true).or_else(|_| ready(false))?;
        let (rules, defaults) = declared(modules, &outlines);
        Ok(Self { engine, sites: sites.into(), defaults, rules, limits: options.limits.clone() })
    }

    /// Explains what stands at a path, for an input.
    pub fn explain(&self, path: &QueryPath, input: &Input) -> Explanation {
        let asked: Vec<&Vec<String>> = self.asked(path.segments());
        let recorder = Recorder::new(self.sites.clone());
        let mut results = Vec::new();
        let evaluate = || -> Result<(), EvaluationError> {
            meter::begin(self.limits.memory, false);
            let mut engine = self.engine.clone();
            Recorder::listen(&recorder, &mut engine)
                .map_err(|message| EvaluationError::Policy { message })?;
            interpreter::limit_time(&mut engine, self.limits.time);
            engine.set_input(input.0.clone());
            for rule in asked.iter().take(MAX_RULES) {
                let value = interpreter::value(&mut engine, &reference_of(rule.iter().map(String::as_str)))?;
                results.push(Shown::of(&words::path(rule).join("."), &value));
            }
            Ok(())
        };
        let outcome = on_deep_stack(evaluate).map_err(EvaluationError::from).and_then(|done| done);
        let mut recorder = recorder.lock();
        recorder.close();
        let mut tried = std::mem::take(&mut recorder.told);
        let is_cut = recorder.is_cut || asked.len() > MAX_RULES;
        let cut = is_cut.then(|| "more was tried than an explanation holds".to_owned());
        let incomplete = outcome.err().map(|error| error.to_string()).or(cut);
        let wanted = results.iter().map(|result| result.name.clone()).collect::<Vec<_>>();
        self.add_defaults(&mut tried, &wanted);
        Explanation { results, tried, incomplete }
    }

    /// The limits within which it explains.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The rules that a path names, leads into, or has below it.
    fn asked(&self, path: &[String]) -> Vec<&Vec<String>> {
        let inner = self.rules.iter().filter(|rule| words::path(rule).starts_with(path));
        let outer = self.rules.iter();
        let outer = outer.filter(|rule| path.len() > rule.len() && path.starts_with(&words::path(rule)));
        inner.chain(outer).collect()
    }

    /// Tells where a default has stepped in.
    fn add_defaults(&self, tried: &mut Vec<Tried>, asked: &[String]) {
        for definition in tried.iter_mut() {
            self.add_defaults(&mut definition.because, &[]);
        }
        let mut rules: Vec<String> = tried.iter().map(|definition| definition.rule.clone()).collect();
        rules.extend(asked.iter().cloned());
        rules.sort();
        rules.dedup();
        for rule in rules {
            let mut definitions = tried.iter().filter(|definition| definition.rule == rule);
            let stepped_in = definitions.all(|definition| definition.outcome == Outcome::Failed);
            if let Some((document, line)) = self.defaults.get(&rule).filter(|_| stepped_in) {
                tried.push(Tried {
                    rule,
                    document: document.clone(),
                    line: *line,
                    outcome: Outcome::Default,
                    arguments: Vec::new(),
                    values: Vec::new(),
                    variables: Vec::new(),
                    failure: None,
                    because: Vec::new(),
                });
            }
        }
    }
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explainer").field("sites", &self.sites.len()).finish_non_exhaustive()
    }
}

/// The texts that report, and what their numbers mean.
fn instrumented(
    modules: &[Module],
    outlines: &[Outline],
    limits: &Limits,
    fine: bool,
) -> Result<(Places, Vec<Site>), Vec<Diagnostic>> {
    let mut places = compile::places(modules.iter().zip(outlines), Reader::Interpreter);
    let mut parsed = compile::engine(modules, &places, limits)?;
    let trees = parsed.get_modules();
    let mut sites = Vec::new();
    let mut texts = Vec::new();
    for (module, outline) in modules.iter().zip(outlines) {
        let rules = package_rules(outlines, outline);
        let tree = trees.iter().find(|tree| tree.package.span.source.file() == &module.name);
        let (Some(tree), Some((original, translation))) = (tree, places.of(&module.name)) else { continue };
        let source = Source::new(&translation.text);
        let document = &module.name;
        let text = Text { document, original, translation, source: &source, outline, rules: &rules };
        let tree: &Tree = tree;
        texts
            .push((module.name.clone(), instrument::instrument(&text, tree.policy.iter(), fine, &mut sites)));
    }
    for (name, text) in texts {
        places.set_text(&name, text);
    }
    Ok((places, sites))
}

/// The first names of all rules of a package, and whether each is a function.
fn package_rules(outlines: &[Outline], own: &Outline) -> BTreeMap<String, bool> {
    let same = outlines.iter().filter(|outline| outline.package == own.package);
    let heads = same.flat_map(|outline| &outline.heads);
    heads.filter_map(|head| Some((head.path.first()?.clone(), head.is_function))).collect()
}

type Declared = (Vec<Vec<String>>, BTreeMap<String, (String, u32)>);

/// The rules that can be asked for, and the defaults.
fn declared(modules: &[Module], outlines: &[Outline]) -> Declared {
    let mut rules: Vec<Vec<String>> = Vec::new();
    let mut defaults = BTreeMap::new();
    for (module, outline) in modules.iter().zip(outlines) {
        for head in outline.heads.iter().filter(|head| !head.is_function) {
            let path = [outline.package.as_slice(), &head.path].concat();
            if head.is_default {
                defaults.insert(path.join("."), (module.name.clone(), head.place.0));
            }
            if !rules.contains(&path) {
                rules.push(path);
            }
        }
    }
    (rules, defaults)
}

fn internal(message: String) -> Vec<Diagnostic> {
    vec![Diagnostic::new("", (1, 1), code::INTERNAL, message)]
}

#[cfg(test)]
mod tests;
