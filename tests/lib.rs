// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests from outside stand on: a server in this process, the real program as a process of
//! its own, callers of both, real etcd, OpenBao and Redis servers, and raw sockets.

pub mod caller;
pub mod etcd;
pub mod openbao;
pub mod program;
pub mod raw;
pub mod redis;
pub mod served;

pub use caller::{Caller, Reply};
pub use etcd::Etcd;
pub use openbao::Bao;
pub use program::{Installation, Process, binary, cms_in};
pub use redis::Redis;
pub use served::{PASSWORD, Served, served, served_with};
