// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The domain of CMS: projects, documents, releases, policies, secrets, audit and authorization,
//! over ports that the other crates implement. Knows no HTTP, no database and no Python.

pub mod api;
pub mod audit;
pub mod auth;
pub mod clock;
mod cms;
pub mod configs;
pub mod context;
pub mod counts;
pub mod crypto;
pub mod decisions;
pub mod documents;
pub mod error;
pub mod events;
mod expected;
pub mod idempotency;
pub mod ids;
pub mod keyrings;
mod kit;
mod lane;
mod lead;
pub mod limits;
pub mod mails;
pub mod policies;
pub mod projects;
pub mod releases;
pub mod requests;
pub mod secrets;
pub mod sensitive;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod turns;
pub mod verify;
pub mod webhooks;

pub use cms::{Cms, CmsBuilder, Health};
pub use context::RequestContext;
pub use error::{Error, ErrorKind, Result};
pub use expected::Expected;
