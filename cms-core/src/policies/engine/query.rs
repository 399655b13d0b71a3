// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ad-hoc queries: any Rego body, asked of the policies and data of a release.
//!
//! The machine runs what was compiled before; a text that has only just arrived runs on the
//! interpreter, within the limits of the policies.

use std::collections::BTreeMap;

use regorus::{Engine, LimitError, QueryResult, Value};

use super::builtins;
use super::compile;
use super::data::Data;
use super::diagnostic::{Diagnostic, code};
use super::evaluate::EvaluationError;
use super::frontend::{self, Reader};
use super::interpreter;
use super::json;
use super::limits::Limits;
use super::metadata::Annotations;
use super::meter;
use super::module::{self, Module, Options};
use super::outline::Outline;
use super::snapshot::Input;
use super::source;
use super::stack::on_deep_stack;

/// The name that errors give to the text of a query.
const QUERY: &str = "query";
/// The name that the interpreter gives to it.
const COMPILED: &str = "<query.rego>";
/// How many answers a query may have.
const MAX_ANSWERS: usize = 10_000;

/// Policies and data, ready to be queried. Shared by all threads.
pub struct Queries {
    engine: Engine,
    limits: Limits,
}

/// Why a query has no answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is refused.
    #[error("the query is not accepted")]
    Refused(Vec<Diagnostic>),
    /// It was asked, and failed or reached a limit.
    #[error(transparent)]
    Failed(#[from] EvaluationError),
}

impl Queries {
    /// Prepares policies that compile, and data.
    ///
    /// # Errors
    /// What is wrong with the policies.
    pub fn new(modules: &[Module], data: &Data, options: &Options) -> Result<Self, Vec<Diagnostic>> {
        let limits = options.limits.clone();
        let deciding = modules.iter().filter(|module| !module.holds_tests(options));
        let deciding: Vec<&Module> = deciding.collect();
        compile::within_stack(|| {
            let outlines = module::read_all(deciding.iter().copied(), options)?;
            let mut places = compile::places(deciding.iter().copied().zip(&outlines), Reader::Interpreter);
            // A query may call what no policy calls.
            places.add_functions(builtins::ours());
            let engine = compile::engine(deciding.iter().copied(), &places, &limits)?;
            let engine = interpreter::with_data(engine, &data.to_value());
            let failed =
                |error: EvaluationError| vec![Diagnostic::new("", (1, 1), code::INTERNAL, error.to_string())];
            Ok(Self { engine: engine.map_err(failed)?, limits })
        })
    }

    /// Answers a query: for each way to satisfy it, the values of its variables.
    ///
    /// # Errors
    /// When the text is refused, the evaluation fails, or a limit is reached.
    pub fn ask(&self, query: &str, input: &Input) -> Result<Vec<Value>, QueryError> {
        source::scan(QUERY, query, &self.limits).map_err(QueryError::Refused)?;
        let (outline, annotations) = (Outline::default(), Annotations::default());
        let translated = frontend::translate(query, &outline, &annotations, Reader::Interpreter);
        let answers = on_deep_stack(|| {
            meter::begin(self.limits.memory, false);
            let mut engine = self.engine.clone();
            interpreter::limit_time(&mut engine, self.limits.time);
            engine.set_input(input.0.clone());
            engine
                .eval_query(translated.text, false)
                .map_err(|error| failure(error.downcast_ref(), &error.to_string()))
        })
        .map_err(EvaluationError::from)??;
        let held: Vec<Value> =
            answers.result.into_iter().filter(holds).map(|answer| named(answer.bindings)).collect();
        if held.len() > MAX_ANSWERS {
            return Err(EvaluationError::Output { limit: self.limits.output_bytes }.into());
        }
        Ok(held)
    }

    /// The limits within which it answers.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Writes answers as a JSON array.
    ///
    /// # Errors
    /// When they exceed the limit of an answer's size.
    pub fn to_json(&self, answers: Vec<Value>) -> Result<Vec<u8>, EvaluationError> {
        Ok(json::to_json(&Value::from(answers), self.limits.output_bytes)?)
    }
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queries").finish_non_exhaustive()
    }
}

/// Whether all parts of a query came out as something other than `false`.
fn holds(answer: &QueryResult) -> bool {
    answer.expressions.iter().all(|part| !matches!(part.value, Value::Bool(false) | Value::Undefined))
}

/// The variables that were given a name.
fn named(bindings: Value) -> Value {
    match &bindings {
        Value::Object(entries) => {
            let kept = entries
                .iter()
                .filter(|(name, _)| !matches!(name, Value::String(name) if name.starts_with('_')));
            Value::from(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>())
        }
        _ => bindings,
    }
}

/// Tells a query that cannot be asked from one that failed.
fn failure(limit: Option<&LimitError>, text: &str) -> QueryError {
    let found = Diagnostic::from_compiler(text, "", code::PARSE);
    match interpreter::failure(limit, text) {
        EvaluationError::Policy { .. } if found.file == COMPILED => {
            QueryError::Refused(vec![Diagnostic { file: QUERY.to_owned(), ..found }])
        }
        failed => failed.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(policy: &str) -> Queries {
        let data = Data::from_documents(
            [("users", r#"{"ada": {"age": 36}, "bob": {"age": 7}}"#)],
            &Limits::default(),
        );
        Queries::new(&[Module::new("p", policy)], &data.unwrap(), &Options::default()).unwrap()
    }

    fn ask(query: &str) -> Result<String, QueryError> {
        let queries =
            queries("package p\nadult(user) if data.users[user].age > 17\nallow if adult(input.user)\n");
        let input = Input::from(json::from_json(br#"{"user": "ada"}"#, 8).unwrap());
        let answers = queries.ask(query, &input)?;
        Ok(String::from_utf8(queries.to_json(answers).unwrap()).unwrap())
    }

    #[test]
    fn answers_bind_the_variables_of_the_query() {
        assert_eq!(ask("data.users[name].age = age; age > 17").unwrap(), r#"[{"age":36,"name":"ada"}]"#);
        assert_eq!(ask("x := 1; y := x + 1").unwrap(), r#"[{"x":1,"y":2}]"#);
        assert_eq!(
            ask("some name in object.keys(data.users)").unwrap(),
            r#"[{"name":"ada"},{"name":"bob"}]"#
        );
    }

    #[test]
    fn what_has_no_variables_holds_or_does_not() {
        for (query, answers) in [
            ("data.p.allow", "[{}]"),
            ("data.p.adult(\"ada\")", "[{}]"),
            ("input.user == \"ada\"", "[{}]"),
            ("input.user == \"bob\"", "[]"),
            ("input.nothing", "[]"),
            ("data.users.ada.age", "[{}]"),
        ] {
            assert_eq!(ask(query).unwrap(), answers, "{query}");
        }
    }

    #[test]
    fn texts_that_cannot_be_asked_are_refused_with_their_place() {
        for (query, line) in [("x := ", 1), ("true\n}", 2), ("http.send({})", 1), ("y > 3", 1)] {
            let QueryError::Refused(found) = ask(query).unwrap_err() else { panic!("{query}") };
            assert_eq!((found[0].file.as_str(), found[0].line), ("query", line), "{query}: {found:?}");
        }
        let nested = format!("x := {}1{}", "[".repeat(40), "]".repeat(40));
        assert!(matches!(ask(&nested), Err(QueryError::Refused(_))));
    }

    #[test]
    fn a_query_keeps_to_the_limits_of_policies() {
        for query in [
            "count([1 | numbers.range(1, 30000)[_]; numbers.range(1, 30000)[_]]) > 0",
            "x := numbers.range(1, 1000000000)",
        ] {
            assert!(matches!(ask(query), Err(QueryError::Failed(_))), "{query}: {:?}", ask(query));
        }
    }
}
