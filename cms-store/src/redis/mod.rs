// SPDX-License-Identifier: Apache-2.0 OR MIT
#![doc = include_str!("docs.md")]

mod config;
mod connection;
mod limits;

pub use config::{InvalidRedis, RedisConfig};
pub use limits::RedisLimits;
