// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies: what they may contain, how they are compiled, and how they decide.
//!
//! [`engine`] is pure computation over texts and values. It knows no store, no project and no caller.
//! [`defaults`] are the documents that a new project begins with.

pub mod defaults;
pub mod engine;
