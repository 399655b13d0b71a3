// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Renders templates: of documents of the kind `template`, and in the strings of configs. The language
//! is Jinja's, as minijinja has it, without what accumulates: no macros, no blocks, no namespaces, no
//! recursive loops. Time is bounded by fuel, memory by `guard` and the writer of the output.

mod bounded;
mod fault;
mod guard;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value as Bound, filters, functions, tests};
use serde_json::Value;

pub(crate) use fault::Fault;
use guard::Guarded;

/// The longest template, in bytes.
pub(crate) const MAX_SOURCE_BYTES: usize = 64 * 1024;
/// The longest output, in bytes.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// The longest text and the largest list that a template may remember, in bytes: a variable or the items
/// of a loop.
pub(crate) const MAX_REMEMBERED_BYTES: usize = 16 * 1024;
/// How many instructions one rendering takes at most.
const FUEL: u64 = 20_000;
/// How deep templates may include each other; each takes ten of minijinja's levels.
const MAX_INCLUDES: usize = 8;

/// The templates of a project, ready to be used by each other.
#[derive(Debug)]
pub(crate) struct Renderer {
    environment: Environment<'static>,
    sources: Arc<BTreeMap<String, String>>,
}

/// What templates can name.
#[derive(Debug, Clone)]
pub(crate) struct Names(Bound);

impl Names {
    /// The environment and the project, and beside them the variables.
    pub(crate) fn new(environment: &str, project: &str, variables: &serde_json::Map<String, Value>) -> Self {
        let mut names: BTreeMap<&str, Bound> =
            variables.iter().map(|(name, value)| (name.as_str(), Bound::from(Serde(value)))).collect();
        names.insert("env", Bound::from(environment));
        names.insert("project", Bound::from(project));
        Self(Bound::from_pairs(names))
    }
}

impl Renderer {
    /// Makes the templates known to each other, by name.
    pub(crate) fn new(sources: BTreeMap<String, String>) -> Self {
        let sources = Arc::new(sources);
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_INCLUDES * 10 + 5);
        environment.set_debug(true);
        let known = sources.clone();
        environment.set_loader(move |name| {
            let Some(source) = known.get(name) else { return Ok(None) };
            Ok(Some(Guarded::new(source).map_err(Fault::into_engine)?.text))
        });
        add_names(&mut environment);
        Self { environment, sources }
    }

    /// Renders one of the templates.
    pub(crate) fn render(&self, name: &str, names: &Names) -> Result<String, Fault> {
        let template = self.environment.get_template(name).map_err(|error| self.fault(&error, name))?;
        let mut output = bounded::Output::default();
        let rendered = template.render_captured_to(names.0.clone(), &mut output).map(drop);
        rendered.map_err(|error| output.fault().unwrap_or_else(|| self.fault(&error, name)))?;
        output.into_text().map_err(|_| Fault::plain("the output is no UTF-8"))
    }

    /// Renders a string of a config. One that is an expression and nothing else keeps the expression's type.
    pub(crate) fn render_string(&self, source: &str, names: &Names) -> Result<Value, Fault> {
        let guarded = Guarded::new(source)?;
        let explain = |error: &minijinja::Error| self.own_fault(error, &guarded);
        if let Some(expression) = guarded.expression() {
            let compiled =
                self.environment.compile_expression(expression).map_err(|error| explain(&error))?;
            let value = compiled.eval(names.0.clone()).map_err(|error| explain(&error))?;
            return bounded::value(&value).map_err(|says| match value.is_undefined() {
                true => Fault::undefined(expression),
                false => Fault::plain(says),
            });
        }
        let template = self.environment.template_from_str(&guarded.text).map_err(|error| explain(&error))?;
        let mut output = bounded::Output::default();
        let rendered = template.render_captured_to(names.0.clone(), &mut output).map(drop);
        rendered.map_err(|error| output.fault().unwrap_or_else(|| explain(&error)))?;
        output.into_text().map(Value::from).map_err(|_| Fault::plain("the output is no UTF-8"))
    }

    /// What is wrong in one of the templates, at its place there.
    fn fault(&self, error: &minijinja::Error, asked: &str) -> Fault {
        let innermost = fault::innermost(error);
        let name = innermost.name().unwrap_or(asked);
        let source = self.sources.get(name).map_or("", String::as_str);
        match Guarded::new(source) {
            Ok(guarded) => Fault::of(innermost, source, &guarded).in_template(name),
            Err(fault) => fault.in_template(name),
        }
    }

    /// What is wrong in a string, or in a template that it includes.
    fn own_fault(&self, error: &minijinja::Error, guarded: &Guarded<'_>) -> Fault {
        match fault::innermost(error).name().filter(|name| self.sources.contains_key(*name)) {
            Some(name) => self.fault(error, name),
            None => Fault::of(fault::innermost(error), guarded.source, guarded),
        }
    }
}

/// What templates may call: nothing that makes much of little, other than `bounded`.
fn add_names(environment: &mut Environment<'static>) {
    environment.add_function("range", functions::range);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("bool", filters::bool);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("count", filters::length);
    environment.add_filter("d", filters::default);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("items", filters::items);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("list", filters::list);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("round", filters::round);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("string", filters::string);
    environment.add_filter("sum", filters::sum);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("divisibleby", tests::is_divisibleby);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("even", tests::is_even);
    environment.add_test("false", tests::is_false);
    environment.add_test("in", tests::is_in);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("string", tests::is_string);
    environment.add_test("true", tests::is_true);
    environment.add_test("undefined", tests::is_undefined);
    bounded::add_to(environment);
}

#[cfg(test)]
mod cases;
