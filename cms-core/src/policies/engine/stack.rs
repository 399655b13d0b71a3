// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs what may recurse deeply on a stack of its own size, and turns a panic into a value.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

/// Address space, of which only the touched part costs memory.
const STACK_BYTES: usize = 256 << 20;

/// The work panicked, or no thread could be had for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy engine failed: {message}")]
pub(super) struct Failed {
    pub(super) message: String,
}

/// Runs `work` on a thread with a large stack and waits for it.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Failed> {
    thread::scope(|scope| {
        let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || guarded(work));
        match spawned {
            Ok(thread) => thread.join().unwrap_or_else(|payload| Err(Failed::panicked(&*payload))),
            Err(error) => Err(Failed { message: format!("no thread: {error}") }),
        }
    })
}

/// Runs `work` here and catches its panic. Whatever it had in its hands must be thrown away then.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Failed> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Failed::panicked(&*payload))
}

impl Failed {
    fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown panic".to_owned());
        Self { message: text.lines().next().unwrap_or_default().to_owned() }
    }
}
