// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For those who implement a port: the suites that an implementation must pass.

pub mod limiter_conformance;
pub mod material_conformance;
pub mod store_conformance;
