// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every request passes, in one layer: see `front` for the order of things.

pub(crate) mod front;
pub(crate) mod histogram;
pub(crate) mod idempotency;
pub(crate) mod limiter;
pub(crate) mod measured;
pub(crate) mod metrics;
pub(crate) mod queries;
pub(crate) mod request_id;
pub(crate) mod shared_limits;
