// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy engine: Rego texts and JSON data in, decisions out.
//!
//! A [`Program`] is compiled once from all policies of a release. A [`Snapshot`] joins it with the
//! release's [`Data`] and answers queries from all threads at once:
//!
//! ```
//! use std::sync::Arc;
//! use cms_core::policies::engine::{Data, Input, Limits, Module, Options, Program, QueryPath, Snapshot};
//!
//! let policy = Module::new("rag/authz", "package rag.authz\nallow if data.roles[input.user] == \"admin\"");
//! let program = Program::compile(&[policy], &Options::default()).unwrap();
//! let data = Data::from_documents([("roles", r#"{"ada": "admin"}"#)], &Limits::default()).unwrap();
//! let snapshot = Snapshot::new(Arc::new(program), &data).unwrap();
//!
//! let path = QueryPath::parse("rag/authz/allow").unwrap();
//! let input = Input::from_json(br#"{"user": "ada"}"#, snapshot.program()).unwrap();
//! assert!(snapshot.evaluate(&path, &input).unwrap().is_true());
//! ```
//!
//! Decisions run on regorus' register machine (RVM), which keeps rules and data apart, so their
//! cost does not grow with the data. Its interpreter runs the Rego tests, and the few rules that the
//! machine does not support ([`Program::interpreted`]).

mod builtins;
mod bytecode;
mod calls;
mod compilation;
mod compile;
mod conflicts;
mod costs;
mod data;
mod definitions;
mod diagnostic;
mod documents;
mod evaluate;
mod explain;
mod fmt;
mod frontend;
mod guards;
mod index;
mod interpreter;
mod json;
mod lexer;
mod limits;
mod lint;
mod lookup;
mod meeting;
mod metadata;
mod meter;
mod module;
mod negations;
mod outline;
mod path;
mod places;
mod pool;
mod program;
mod query;
mod registers;
mod relocate;
mod repeats;
mod session;
mod snapshot;
mod source;
mod stack;
mod stubs;
mod syntax;
mod testing;
mod tighten;
mod tokens;
mod tree;
mod words;

pub use builtins::refused as refused_builtins;
pub use data::Data;
pub use diagnostic::{Diagnostic, code};
pub use evaluate::{Evaluation, EvaluationError, EvaluationOptions};
pub use explain::{Explainer, Explanation, Failure, Outcome as Explained, Seen, Shown, Tried};
pub use fmt::format;
pub use json::{InvalidJson, TooLarge, from_json, to_json};
pub use limits::Limits;
pub use lint::{Finding, Known, RULES as LINT_RULES, lint};
pub use lookup::LookUp;
pub use module::{Module, ModuleInfo, Options, check, declared};
pub use path::{InvalidPath, QueryPath};
pub use program::Program;
pub use query::{Queries, QueryError};
pub use regorus::Value;
pub use session::{Entered, Session};
pub use snapshot::{Input, Snapshot};
pub use testing::{Coverage, FileCoverage, Outcome, TestReport, TestResult, run_chosen_tests, run_tests};

#[cfg(test)]
mod tests;
