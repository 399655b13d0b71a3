// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies: what they may contain, how they are compiled, and how they decide.
//!
//! [`engine`] is pure computation over texts and values. It knows no store, no project and no caller.
//! [`defaults`] are the documents that a new project begins with.

pub(crate) mod artifacts;
pub mod defaults;
pub mod engine;
pub mod trial;

use crate::error::Place;

/// How many places an answer lists.
const MAX_PLACES: usize = 100;

/// What the engine found, as places of the caller's input.
pub(crate) fn places(found: &[engine::Diagnostic]) -> Vec<Place> {
    let place = |diagnostic: &engine::Diagnostic| Place {
        path: Some(diagnostic.file.clone()),
        line: Some(diagnostic.line),
        column: Some(diagnostic.column),
        message: diagnostic.message.clone(),
        code: Some(diagnostic.code),
    };
    found.iter().take(MAX_PLACES).map(place).collect()
}
