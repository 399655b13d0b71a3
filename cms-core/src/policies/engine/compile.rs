// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From texts to a [`Program`]: scan, parse, prepare, and hand over to [`Compilation`].

use std::num::{NonZeroU32, NonZeroUsize};

use regorus::{CompiledPolicy, Engine, PolicyLengthConfig};

use super::calls::Calls;
use super::compilation::{Compilation, Source};
use super::definitions::unlisted;
use super::diagnostic::{Diagnostic, UNORDERED, code};
use super::frontend::{self, Reader};
use super::limits::Limits;
use super::metadata::Annotations;
use super::module::{self, Module, Options};
use super::outline::Outline;
use super::places::Places;
use super::program::Program;
use super::stack::on_deep_stack;
use super::stubs;

/// The package that the engine adds, because the compiler wants an entry point that exists.
pub(super) const INTERNAL_PACKAGE: &str = "__cms";
const INTERNAL_RULE: &str = "data.__cms.ready";
const INTERNAL_TEXT: &str = "package __cms\nready := true\n";

/// Parses one module by itself.
pub(super) fn parse(module: &Module, outline: &Outline, limits: &Limits) -> Result<(), Vec<Diagnostic>> {
    within_stack(|| engine([module], &places([(module, outline)], Reader::Machine), limits).map(drop))
}

/// See [`Program::compile`].
pub(super) fn compile(modules: &[Module], options: &Options) -> Result<Program, Vec<Diagnostic>> {
    let limits = &options.limits;
    if modules.len() > limits.modules {
        let message = format!("there are {} policies; at most {} are allowed", modules.len(), limits.modules);
        return Err(vec![Diagnostic::new("", (1, 1), code::LIMIT, message)]);
    }
    let sources = read_all(modules, options)?;
    within_stack(|| compile_sources(sources, limits))
}

fn compile_sources(sources: Vec<Source<'_>>, limits: &Limits) -> Result<Program, Vec<Diagnostic>> {
    let places = places(sources.iter().map(|source| (source.module, &source.outline)), Reader::Machine);
    let (tests, deciding): (Vec<_>, Vec<_>) = sources.into_iter().partition(Source::holds_tests);
    if !tests.is_empty() {
        prepare(&deciding.iter().chain(&tests).collect::<Vec<_>>(), &places, limits)?;
    }
    let prepared = prepare(&deciding.iter().collect::<Vec<_>>(), &places, limits)?;
    Compilation::new(prepared, deciding, tests, places, limits).run()
}

/// Runs what recurses over syntax trees.
pub(super) fn within_stack<T: Send>(
    work: impl FnOnce() -> Result<T, Vec<Diagnostic>> + Send,
) -> Result<T, Vec<Diagnostic>> {
    on_deep_stack(work)
        .unwrap_or_else(|failed| Err(vec![Diagnostic::new("", (1, 1), code::INTERNAL, failed.to_string())]))
}

fn read_all<'a>(modules: &'a [Module], options: &Options) -> Result<Vec<Source<'a>>, Vec<Diagnostic>> {
    let outlines = module::read_all(modules, options)?;
    Ok(modules.iter().zip(outlines).map(|(module, outline)| Source { module, outline }).collect())
}

/// The texts as their reader will see them.
pub(super) fn places<'a>(
    modules: impl IntoIterator<Item = (&'a Module, &'a Outline)> + Clone,
    reader: Reader,
) -> Places {
    let mut annotations = Annotations::default();
    for (module, outline) in modules.clone() {
        annotations.read(&module.text, outline);
    }
    let mut places = Places::default();
    for (module, outline) in modules {
        let translation = frontend::translate(&module.text, outline, &annotations, reader);
        places.insert(&module.name, &module.text, translation);
    }
    places
}

/// Parses modules into an interpreter.
///
/// # Errors
/// The first syntax error of each module.
pub(super) fn engine<'a>(
    modules: impl IntoIterator<Item = &'a Module>,
    places: &Places,
    limits: &Limits,
) -> Result<Engine, Vec<Diagnostic>> {
    let mut engine = Engine::new();
    engine.set_policy_length_config(lengths(limits));
    let mut found = Vec::new();
    if let Err(error) = engine.add_policy(INTERNAL_PACKAGE.to_owned(), INTERNAL_TEXT.to_owned()) {
        found.push(Diagnostic::new("", (1, 1), code::INTERNAL, error.to_string()));
    }
    if let Err(error) = engine.add_policy(stubs::PACKAGE.to_owned(), stubs::module(places.functions())) {
        found.push(Diagnostic::new("", (1, 1), code::INTERNAL, error.to_string()));
    }
    for module in modules {
        let text = places.text(&module.name).unwrap_or_default().to_owned();
        if let Err(error) = engine.add_policy(module.name.clone(), text) {
            let fault = Diagnostic::from_compiler(&error.to_string(), &module.name, code::PARSE);
            found.push(places.settle(fault));
        }
    }
    if found.is_empty() { Ok(engine) } else { Err(found) }
}

/// Bounds only the bytes: long lines and many lines are no harm by themselves.
fn lengths(limits: &Limits) -> PolicyLengthConfig {
    let bytes = NonZeroUsize::new(limits.source_bytes).unwrap_or(NonZeroUsize::MIN);
    PolicyLengthConfig { max_col: NonZeroU32::MAX, max_file_bytes: bytes, max_lines: bytes }
}

/// Parses modules, and lets the compiler check and order all statements.
fn prepare(
    sources: &[&Source<'_>],
    places: &Places,
    limits: &Limits,
) -> Result<CompiledPolicy, Vec<Diagnostic>> {
    let mut engine = engine(sources.iter().map(|source| source.module), places, limits)?;
    let fault = |text: &str| {
        let fault = places.settle(Diagnostic::from_compiler(text, "", code::COMPILE));
        if fault.message == UNORDERED { unordered(sources, fault) } else { vec![fault] }
    };
    let policy =
        engine.compile_with_entrypoint(&INTERNAL_RULE.into()).map_err(|error| fault(&error.to_string()))?;
    match unlisted(&policy, sources) {
        Some(missed) => Err(vec![missed]),
        None => Ok(policy),
    }
}

/// Often it is a function that nobody knows.
fn unordered(sources: &[&Source<'_>], fault: Diagnostic) -> Vec<Diagnostic> {
    let outlines = sources.iter().map(|source| (source.module.name.as_str(), &source.outline));
    let unknown = Calls::of(outlines).unknown_functions();
    if unknown.is_empty() { vec![fault] } else { unknown }
}

/// Does all work that would else fall to the first evaluation.
pub(super) fn make_ready(engine: &mut Engine) -> Result<(), String> {
    engine.eval_rule(INTERNAL_RULE.to_owned()).map(drop).map_err(|error| error.to_string())
}
