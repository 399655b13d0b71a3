// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A policy text by itself: what it declares, and whether it may stand at all.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compile;
use super::diagnostic::{Diagnostic, code};
use super::limits::Limits;
use super::meeting;
use super::outline::Outline;
use super::source;
use super::words;

/// A policy: the name of its document and its Rego text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Module {
    /// The document's name, such as `rag/authz`.
    pub name: String,
    /// The Rego text.
    pub text: Arc<str>,
}

impl Module {
    /// Builds a module.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Whether it holds tests, and so takes no part in decisions.
    pub fn holds_tests(&self, options: &Options) -> bool {
        let has_tests = || read(self, options).is_ok_and(|outline| outline.tests().next().is_some());
        self.name.ends_with("_test") && has_tests()
    }
}

/// Who writes the policies, as far as it changes what they may say.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// What the policies may cost.
    pub limits: Limits,
    /// Whether the package `cms` may be declared: only the platform's own policies may.
    pub reserved_allowed: bool,
}

impl Options {
    /// The options for a project, with these limits.
    pub fn project(limits: Limits) -> Self {
        Self { limits, reserved_allowed: false }
    }

    /// The options for the platform's own policies.
    pub fn platform(limits: Limits) -> Self {
        Self { limits, reserved_allowed: true }
    }
}

/// What a policy declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The package, such as `rag.authz`.
    pub package: String,
    /// The rules and functions that are no tests, in the order of the text, each once.
    pub rules: Vec<String>,
    /// The tests, in the order of the text.
    pub tests: Vec<String>,
}

/// Checks one policy by itself: its size, its syntax, its package and the functions that it calls.
/// Whether it compiles among the others is what [`Program::compile`](super::Program::compile) says.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub fn check(module: &Module, options: &Options) -> Result<ModuleInfo, Vec<Diagnostic>> {
    let outline = read(module, options)?;
    compile::parse(module, &outline, &options.limits)?;
    Ok(info(&outline))
}

/// Tells what a policy declares that was checked before.
///
/// # Errors
/// What the scan finds wrong with it.
pub fn declared(module: &Module, options: &Options) -> Result<ModuleInfo, Vec<Diagnostic>> {
    read(module, options).map(|outline| info(&outline))
}

/// Scans a module and refuses a package that it may not declare.
pub(super) fn read(module: &Module, options: &Options) -> Result<Outline, Vec<Diagnostic>> {
    let outline = source::scan(&module.name, &module.text, &options.limits)?;
    match reserved(&outline, options) {
        Some(message) => {
            Err(vec![Diagnostic::new(&module.name, outline.package_place, code::RESERVED_PACKAGE, message)])
        }
        None => Ok(outline),
    }
}

/// Scans modules that are compiled together.
///
/// # Errors
/// What is wrong with each.
pub(super) fn read_all<'a>(
    modules: impl IntoIterator<Item = &'a Module>,
    options: &Options,
) -> Result<Vec<Outline>, Vec<Diagnostic>> {
    let mut outlines = Vec::new();
    let mut found = Vec::new();
    for module in modules {
        match read(module, options) {
            Ok(outline) => outlines.push(outline),
            Err(diagnostics) => found.extend(diagnostics),
        }
    }
    meeting::join(&mut outlines);
    if found.is_empty() { Ok(outlines) } else { Err(found) }
}

fn reserved(outline: &Outline, options: &Options) -> Option<String> {
    let first = outline.package.first()?;
    if first == "cms" && !options.reserved_allowed {
        return Some("the package `cms` belongs to the platform; choose another name".to_owned());
    }
    let internal = first == compile::INTERNAL_PACKAGE;
    internal.then(|| format!("the package `{first}` is the engine's own; choose another name"))
}

fn info(outline: &Outline) -> ModuleInfo {
    let mut rules: Vec<String> = Vec::new();
    let mut tests: Vec<String> = Vec::new();
    for head in &outline.heads {
        let list = if head.is_test() { &mut tests } else { &mut rules };
        let name = words::path(&head.path).join(".");
        if !list.contains(&name) {
            list.push(name);
        }
    }
    ModuleInfo { package: outline.package.join("."), rules, tests }
}
