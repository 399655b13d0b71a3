// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the benchmarks share: how they measure, the peers they run beside, and what is asked of both.
//!
//! A benchmark runs CMS and its peer in turns within one process run, and prints the ratio of the two
//! beside its target. It asserts nothing about time: the reader judges, knowing the machine.

pub mod harness;
pub mod scenarios;

/// Errors of a benchmark: whatever went wrong, as text.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
