// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit trail: one record for every change, in the transaction of the change, and for every
//! access, before its answer leaves; chained, so that nothing is removed or altered unseen.
//!
//! Records are lines of JSON ([`crate::api::audit::Record`]) in segments at `audit/t/{id of the
//! first}`, in order of time. Each belongs to a chain, whose end stands at `audit/h/{chain}`. A
//! chain's records hash each other under a key that no store has; every now and then one of them also
//! names the ends of the other chains, so that cutting one off is seen from the others.

mod chain;
mod draft;
mod export;
mod follow;
mod lanes;
mod log;
pub mod offline;
mod query;
mod since;
pub mod sink;
mod trail;
mod verify;
mod write;

pub use draft::NewRecord;
pub use export::Export;
pub use log::AuditLog;
pub use trail::{Audit, AuditSettings};
pub use verify::Progress;

pub use crate::api::audit::AuditOutcome;

#[cfg(test)]
mod tests;
