// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Queries and definitions entered one at a time, over policies and data.

use regorus::Value;

use super::data::Data;
use super::diagnostic::Diagnostic;
use super::explain::Explainer;
use super::json;
use super::lexer::{Kind, Lexer, Token};
use super::module::{Module, Options};
use super::path::QueryPath;
use super::program::Program;
use super::query::{Queries, QueryError};
use super::snapshot::Input;

/// The package of what is defined.
const PACKAGE: &str = "repl";

/// Policies, data, and what was defined beside them.
#[derive(Debug)]
pub struct Session {
    modules: Vec<Module>,
    data: Data,
    options: Options,
    definitions: String,
    names: Vec<String>,
    input: Input,
    queries: Queries,
}

/// What came of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// It defined this rule, or imported this name.
    Defined(String),
    /// It was a query; these are its answers as JSON.
    Answers(Vec<String>),
}

impl Session {
    /// Begins over policies that compile.
    ///
    /// # Errors
    /// What is wrong with the policies.
    pub fn new(modules: Vec<Module>, data: Data, options: Options) -> Result<Self, Vec<Diagnostic>> {
        let queries = Queries::new(&modules, &data, &options)?;
        let (definitions, names) = Default::default();
        Ok(Self { modules, data, options, definitions, names, input: Input::NONE, queries })
    }

    /// Sets what `input` is.
    pub fn set_input(&mut self, input: Option<Value>) {
        self.input = input.map_or(Input::NONE, Input::from);
    }

    /// What was defined, as Rego.
    pub fn definitions(&self) -> &str {
        &self.definitions
    }

    /// Forgets what was defined.
    pub fn forget(&mut self) {
        self.definitions.clear();
        self.names.clear();
        if let Ok(queries) = Queries::new(&self.modules, &self.data, &self.options) {
            self.queries = queries;
        }
    }

    /// Takes a definition, or answers a query.
    ///
    /// # Errors
    /// Why it is neither, in words for people.
    pub fn enter(&mut self, line: &str) -> Result<Entered, String> {
        let tokens: Vec<Token<'_>> = Lexer::new(line).collect();
        if let Some(name) = defined(&tokens) {
            let text = format!("{}{line}\n", self.definitions);
            let modules = self.with(&text);
            Program::compile(&modules, &self.options).map_err(|found| told(&found))?;
            self.queries = Queries::new(&modules, &self.data, &self.options).map_err(|found| told(&found))?;
            self.definitions = text;
            self.names.push(name.clone());
            return Ok(Entered::Defined(name));
        }
        if tokens.is_empty() {
            return Ok(Entered::Answers(Vec::new()));
        }
        let query = self.qualified(line, &tokens);
        let answers = match self.queries.ask(&format!("{RESULT} := ({query})"), &self.input) {
            // A term without variables is answered by its value, as people expect.
            Ok(answers) if answers.iter().all(is_value) && !answers.is_empty() => answers,
            _ => self.queries.ask(&query, &self.input).map_err(|error| match error {
                QueryError::Refused(found) => told(&found),
                error => error.to_string(),
            })?,
        };
        answers
            .into_iter()
            .map(|answer| shown(&answer, self.options.limits.output_bytes))
            .collect::<Result<_, _>>()
            .map(Entered::Answers)
    }

    /// Explains a rule, line by line.
    pub fn explain(&self, path: &str) -> Vec<String> {
        let path = match QueryPath::parse(path) {
            Ok(path) => path,
            Err(error) => return vec![error.to_string()],
        };
        match Explainer::new(&self.with(&self.definitions), &self.data, &self.options) {
            Ok(explainer) => explainer.explain(&path, &self.input).lines(),
            Err(found) => vec![told(&found)],
        }
    }

    fn with(&self, definitions: &str) -> Vec<Module> {
        let own = Module::new(PACKAGE, format!("package {PACKAGE}\n{definitions}"));
        let deciding = self.modules.iter().filter(|module| !module.holds_tests(&self.options));
        deciding.cloned().chain([own]).collect()
    }

    /// A query with its own names written out: `x` is `data.repl.x`.
    fn qualified(&self, line: &str, tokens: &[Token<'_>]) -> String {
        let (mut written, mut copied) = (String::new(), 0);
        for token in tokens {
            let is_own = token.kind == Kind::Name
                && !token.is_field
                && self.names.iter().any(|name| name == token.text);
            if is_own {
                written.push_str(line.get(copied..token.start).unwrap_or_default());
                written.push_str(&format!("data.{PACKAGE}.{}", token.text));
                copied = token.end();
            }
        }
        written.push_str(line.get(copied..).unwrap_or_default());
        written
    }
}

/// Whether an answer is the value of a term, and no variables beside it.
fn is_value(answer: &Value) -> bool {
    answer.as_object().is_ok_and(|entries| entries.len() == 1)
}

/// The variable that holds the value of a term.
const RESULT: &str = "result";

fn shown(answer: &Value, limit: usize) -> Result<String, String> {
    let value = match answer {
        Value::Object(entries) if entries.is_empty() => Value::Bool(true),
        Value::Object(entries) if entries.len() == 1 => {
            entries.get(&Value::from(RESULT)).unwrap_or(answer).clone()
        }
        _ => answer.clone(),
    };
    let text = json::to_json(&value, limit).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

/// The name that a line defines: `x := 1`, `f(x) := x if …`, `p contains 1`, `default p := 1`, an import.
fn defined(tokens: &[Token<'_>]) -> Option<String> {
    let first = tokens.first()?;
    if first.is("import") {
        return tokens.last().map(|last| last.text.to_owned());
    }
    let (head, rest) =
        if first.is("default") { (tokens.get(1)?, tokens.get(2..)?) } else { (first, tokens.get(1..)?) };
    if head.kind != Kind::Name
        || head.is("some")
        || head.is("every")
        || head.is("not")
        || head.is("input")
        || head.is("data")
    {
        return None;
    }
    let mut depth = 0_usize;
    for token in rest {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Separator if depth == 0 => return None,
            _ if depth == 0 && [":=", "if", "contains"].iter().any(|word| token.is(word)) => {
                return Some(head.text.to_owned());
            }
            Kind::Operator if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn told(found: &[Diagnostic]) -> String {
    found.iter().map(|found| found.message.clone()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::engine::Limits;

    fn session() -> Session {
        let data = Data::from_documents([("users", r#"{"ada": 36, "bob": 7}"#)], &Limits::default()).unwrap();
        let policy = Module::new("p", "package p\nallow if input.a\n");
        Session::new(vec![policy], data, Options::default()).unwrap()
    }

    fn answers(session: &mut Session, line: &str) -> Vec<String> {
        match session.enter(line) {
            Ok(Entered::Answers(answers)) => answers,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn queries_are_answered_by_values_or_variables() {
        let mut session = session();
        assert_eq!(answers(&mut session, "1 + 2"), ["3"]);
        assert_eq!(answers(&mut session, "data.users"), [r#"{"ada":36,"bob":7}"#]);
        assert_eq!(answers(&mut session, "data.users[name] > 10"), [r#"{"name":"ada"}"#]);
        assert_eq!(answers(&mut session, "data.p.allow"), Vec::<String>::new());
        session.set_input(Some(json::from_json(br#"{"a": true}"#, 8).unwrap()));
        assert_eq!(answers(&mut session, "data.p.allow"), ["true"]);
        assert!(session.explain("data.p.allow").concat().contains("held"));
    }

    #[test]
    fn definitions_are_kept_and_can_be_asked_by_their_names() {
        let mut session = session();
        assert_eq!(session.enter("x := 2").unwrap(), Entered::Defined("x".to_owned()));
        assert_eq!(session.enter("double(n) := n * x").unwrap(), Entered::Defined("double".to_owned()));
        assert_eq!(
            session.enter("old contains name if data.users[name] > 10").unwrap(),
            Entered::Defined("old".to_owned())
        );
        assert_eq!(answers(&mut session, "double(x) + 1"), ["5"]);
        assert_eq!(answers(&mut session, "old"), [r#"["ada"]"#]);
        assert!(session.enter("broken := y").is_err());
        assert_eq!(session.definitions().lines().count(), 3);
        session.forget();
        assert!(session.definitions().is_empty());
    }
}
