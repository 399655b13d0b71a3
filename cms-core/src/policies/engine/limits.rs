// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The numbers that bound a policy, its input, its evaluation and its answer.

use std::time::Duration;

/// What a policy may cost. Each limit has a name, and an error that reaches one says which.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Instructions of the register machine per decision.
    pub instructions: usize,
    /// Wall-clock time per decision.
    pub time: Duration,
    /// Bytes of JSON in an answer.
    pub output_bytes: usize,
    /// Bytes of JSON in an input.
    pub input_bytes: usize,
    /// How deep the values of an input or of data may nest.
    pub depth: usize,
    /// Bytes of one policy text.
    pub source_bytes: usize,
    /// How deep brackets may nest in a policy text.
    pub nesting: usize,
    /// Operators, references and brackets that one expression may chain.
    pub chain: usize,
    /// Rules that may call each other in one line, from the first to the last.
    pub call_depth: usize,
    /// Policies in one release.
    pub modules: usize,
    /// Bytes that the built-in functions may produce in one decision.
    pub memory: usize,
    /// Wall-clock time of one Rego test.
    pub test_time: Duration,
    /// Wall-clock time of all Rego tests of one run.
    pub tests_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instructions: 2_000_000,
            time: Duration::from_millis(250),
            output_bytes: 1 << 20,
            input_bytes: 1 << 20,
            depth: 64,
            source_bytes: 1 << 20,
            nesting: 32,
            chain: 512,
            call_depth: 512,
            modules: 1_000,
            memory: 64 << 20,
            test_time: Duration::from_secs(1),
            tests_time: Duration::from_secs(10),
        }
    }
}
