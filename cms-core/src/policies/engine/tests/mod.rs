// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tests of the engine through its public functions.

mod agreeing;
mod compiling;
mod conforming;
mod contradicting;
mod deciding;
mod exhausting;
mod explain;
mod indexing;
mod running;

use std::sync::Arc;

use super::*;

/// Compiles one policy named `test/policy`.
fn program(text: &str) -> Program {
    compile(&[("test/policy", text)]).unwrap()
}

fn compile(modules: &[(&str, &str)]) -> Result<Program, Vec<Diagnostic>> {
    let modules: Vec<Module> = modules.iter().map(|(name, text)| Module::new(*name, *text)).collect();
    Program::compile(&modules, &Options::default())
}

/// The one diagnostic of a policy that must not compile, as `line:column code message`.
fn fault(text: &str) -> String {
    let found = compile(&[("test/policy", text)]).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].file, "test/policy", "{found:?}");
    format!("{}:{} {} {}", found[0].line, found[0].column, found[0].code, found[0].message)
}

fn snapshot(text: &str, data: &[(&str, &str)]) -> Snapshot {
    let data = Data::from_documents(data.iter().copied(), &Limits::default()).unwrap();
    Snapshot::new(Arc::new(program(text)), &data).unwrap()
}

/// Asks a snapshot; gives JSON, `undefined`, or the error's code.
fn ask(snapshot: &Snapshot, path: &str, input: &str) -> String {
    let input = Input::from_json(input.as_bytes(), snapshot.program()).unwrap();
    let answer = snapshot.evaluate(&QueryPath::parse(path).unwrap(), &input);
    match answer.and_then(|answer| answer.to_json(1 << 20)) {
        Ok(Some(json)) => String::from_utf8(json).unwrap(),
        Ok(None) => "undefined".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

/// Asks a policy without data.
fn answer(text: &str, path: &str, input: &str) -> String {
    ask(&snapshot(text, &[]), path, input)
}
