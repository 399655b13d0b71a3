// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP surface of CMS as a mountable axum router, and the `cms` server and command line.

pub mod cli;
pub mod guard;
pub mod hardening;
pub mod http;
pub mod in_process;
pub mod listen;
pub mod notify;
pub mod place;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
mod worker;

pub use cms_core::limits::Rate;
pub use http::{Options, config_router, router, standalone};
pub use in_process::InProcess;
