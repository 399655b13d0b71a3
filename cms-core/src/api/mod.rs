// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire types, one file per resource: what services take and answer, what the HTTP surface
//! describes in OpenAPI, what the command line reads and Python hands out. There is no second set.
//!
//! Unknown fields in requests are refused (`deny_unknown_fields`), so that a misspelt or smuggled
//! field never passes silently.

pub mod audit;
pub mod auth;
pub mod configs;
pub mod decision_log;
pub mod decisions;
pub mod documents;
pub mod explanations;
pub mod keyrings;
pub mod keys;
pub mod mails;
pub mod page;
pub mod projects;
pub mod releases;
pub mod requests;
pub mod secrets;
pub mod users;
pub mod webhooks;

pub use page::{Page, PageQuery};
