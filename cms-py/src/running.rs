// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs a future for a caller of Python, who waits for it or awaits it.
//!
//! It begins on the caller's own thread, with the interpreter let go of: what needs no I/O, such as a decision,
//! ends there, and no thread has to be woken. What has to wait goes to the runtime.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::errors::Failure;
use crate::runtime;

/// What a service came to.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// How long a caller waits before it looks whether somebody pressed Ctrl-C.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// What becomes an object of Python, once the interpreter is held again.
pub(crate) trait IntoObject: Send + 'static {
    /// Becomes it.
    ///
    /// # Errors
    /// Whatever Python says.
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

type Running<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

/// Runs a future. Whoever does not want to be blocked is given the outcome if it is there at once, or else a future
/// of its event loop.
///
/// # Errors
/// What the service answers; `KeyboardInterrupt`.
pub(crate) fn run<T: IntoObject>(
    py: Python<'_>,
    blocking: bool,
    future: impl Future<Output = Outcome<T>> + Send + 'static,
) -> PyResult<Py<PyAny>> {
    let handle = runtime::handle()?;
    let caught = AssertUnwindSafe(future).catch_unwind().map(|ended| ended.unwrap_or(Err(Failure::Panicked)));
    let mut running: Running<T> = Box::pin(caught);
    let first = py.detach(|| {
        let _within = handle.enter();
        (&mut running).now_or_never()
    });
    match first {
        Some(outcome) => to_object(py, outcome),
        None if blocking => wait(py, &handle, running),
        None => promise(py, &handle, running),
    }
}

fn to_object<T: IntoObject>(py: Python<'_>, outcome: Outcome<T>) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(value) => value.into_object(py),
        Err(failure) => Err(failure.raised(py)),
    }
}

fn wait<T: IntoObject>(py: Python<'_>, handle: &Handle, running: Running<T>) -> PyResult<Py<PyAny>> {
    let (sender, mut receiver) = oneshot::channel();
    let task = handle.spawn(async move {
        // The caller may have been interrupted.
        let _ = sender.send(running.await);
    });
    loop {
        let waited =
            py.detach(|| handle.block_on(async { tokio::time::timeout(SIGNALS_EVERY, &mut receiver).await }));
        match waited {
            Ok(Ok(outcome)) => return to_object(py, outcome),
            // Only a runtime that is being stopped drops a task.
            Ok(Err(_dropped)) => return Err(Failure::Closed.raised(py)),
            Err(_elapsed) => py.check_signals().inspect_err(|_| task.abort())?,
        }
    }
}

fn promise<T: IntoObject>(py: Python<'_>, handle: &Handle, running: Running<T>) -> PyResult<Py<PyAny>> {
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    let promise = event_loop.call_method0("create_future")?;
    let (event_loop, settled) = (event_loop.unbind(), promise.clone().unbind());
    let task = handle.spawn(async move {
        let outcome = running.await;
        runtime::soon(move |py| settle(py, &event_loop, settled, outcome));
    });
    promise.call_method1("add_done_callback", (aborting(py, task.abort_handle())?,))?;
    Ok(promise.unbind())
}

/// A callback that ends the task behind a promise: whoever cancels it wants no more of it.
fn aborting(py: Python<'_>, task: AbortHandle) -> PyResult<Bound<'_, PyCFunction>> {
    PyCFunction::new_closure(py, None, None, move |_, _| task.abort())
}

/// Tells the event loop what a promise came to.
fn settle<T: IntoObject>(py: Python<'_>, event_loop: &Py<PyAny>, promise: Py<PyAny>, outcome: Outcome<T>) {
    let outcome = to_object(py, outcome);
    let told = PyCFunction::new_closure(py, None, None, move |args, _| -> PyResult<()> {
        let py = args.py();
        let promise = promise.bind(py);
        if promise.call_method0("done")?.extract()? {
            return Ok(());
        }
        match &outcome {
            Ok(value) => promise.call_method1("set_result", (value,))?,
            Err(error) => promise.call_method1("set_exception", (error.value(py),))?,
        };
        Ok(())
    });
    // A loop that was closed meanwhile has nobody left to tell.
    let _ = told.and_then(|told| event_loop.call_method1(py, "call_soon_threadsafe", (told,)));
}
