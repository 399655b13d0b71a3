// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reference model of a store: everything in memory, nothing durable, as plain as can be.

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore;
