// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real program on a real disk: killed in the middle of its work, twice at once on one store, and
//! searched for what it must not leave behind.

mod commands;
mod folder;
mod kills;
mod memory;
mod pair;
mod planted;
mod policies;
mod program;
mod repeats;
mod webhooks;
mod worker;
