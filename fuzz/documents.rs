// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents: whatever a policy, its data and its input hold, they are refused or they decide, within
//! the limits. An input has three parts, separated by a line of `---`: policy, data, input.

use std::sync::Arc;

use cms_core::policies::engine::{
    Data, Input, Limits, Module, Options, Program, QueryPath, Snapshot, run_tests,
};

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split("\n---\n");
    let (policy, document, input) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or("{}"), parts.next().unwrap_or("{}"));
    let limits = Limits::default();
    let options = Options::project(limits.clone());
    let modules = [Module::new("fuzz/policy", policy)];
    let (program, data) =
        (Program::compile(&modules, &options), Data::from_documents([("fuzz", document)], &limits));
    if let Err(found) = &program {
        assert!(!found.is_empty(), "a refusal says why");
        // Places are counted from 1, and point into the text.
        let lines = policy.lines().count().max(1);
        for diagnostic in found {
            let line = diagnostic.line as usize;
            assert!((1..=lines + 1).contains(&line), "line {line} of {lines}: {diagnostic:?}");
        }
    }
    let (Ok(program), Ok(data)) = (program, data) else { return };
    let entrypoints: Vec<String> = program.entrypoints().map(str::to_owned).collect();
    let Ok(snapshot) = Snapshot::new(Arc::new(program), &data) else { return };
    let input = Input::from_json(input.as_bytes(), snapshot.program()).unwrap_or(Input::NONE);
    for entrypoint in entrypoints {
        let path = QueryPath::parse(&entrypoint).expect("an entrypoint is a path");
        if let Ok(answer) = snapshot.evaluate(&path, &input)
            && let Ok(Some(json)) = answer.to_json(limits.output_bytes)
        {
            assert!(json.len() <= limits.output_bytes);
            serde_json::from_slice::<serde::de::IgnoredAny>(&json).expect("an answer is JSON");
        }
    }
    // A test that fails or runs out of time is a result, not an error.
    let _ = run_tests(&modules, &data, &options);
}
