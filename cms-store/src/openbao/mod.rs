// SPDX-License-Identifier: Apache-2.0 OR MIT
#![doc = include_str!("docs.md")]

mod circuit;
mod client;
mod config;
mod error;
mod login;
mod material;
mod seal;

pub use client::OpenBao;
pub use config::{Login, OpenBaoConfig};
pub use material::OpenBaoMaterial;
pub use seal::TransitSeal;
