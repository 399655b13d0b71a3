// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one Tokio runtime of a process, and the one thread that hands results to event loops of Python.
//!
//! Threads do not survive a fork. What is kept here therefore belongs to a process id: a child begins with a
//! runtime of its own, and never touches that of its parent.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

/// How many threads serve what waits for the store: policies are evaluated where they were asked for.
const WORKERS: usize = 2;
/// How long what still runs may take when the interpreter ends.
const STOP_TIME: Duration = Duration::from_secs(5);

/// The exception to having no global state: threads belong to the process, and it must know its own.
static CURRENT: ArcSwapOption<Owned> = ArcSwapOption::const_empty();

/// Something to do with Python, from outside of it.
type Job = Box<dyn FnOnce(Python<'_>) + Send>;

struct Owned {
    process: u32,
    runtime: Runtime,
    jobs: Sender<Job>,
}

/// Returns the runtime of this process; starts it if it does not run yet.
///
/// # Errors
/// `RuntimeError` if no threads can be started.
pub(crate) fn handle() -> PyResult<Handle> {
    Ok(current()?.runtime.handle().clone())
}

/// Does something with Python soon, on a thread that does nothing else. Not for what may take long: event loops
/// wait for it.
pub(crate) fn soon(job: impl FnOnce(Python<'_>) + Send + 'static) {
    if let Ok(owned) = current() {
        // It is gone when the interpreter ends; nobody waits any more.
        let _ = owned.jobs.send(Box::new(job));
    }
}

/// Ends the threads of this process, for the end of the interpreter.
#[pyfunction]
pub(crate) fn stop(py: Python<'_>) {
    py.detach(|| {
        if let Some(owned) = CURRENT.swap(None) {
            match Arc::try_unwrap(owned) {
                Ok(owned) if owned.process == std::process::id() => owned.runtime.shutdown_timeout(STOP_TIME),
                Ok(owned) => std::mem::forget(owned),
                Err(shared) => std::mem::forget(shared),
            }
        }
    });
}

fn current() -> PyResult<Arc<Owned>> {
    let process = std::process::id();
    let known = CURRENT.load();
    if let Some(owned) = known.as_ref().filter(|owned| owned.process == process) {
        return Ok(owned.clone());
    }
    let made = Arc::new(start(process).map_err(|error| {
        PyRuntimeError::new_err(format!("the threads of cms_py cannot be started: {error}"))
    })?);
    let before = CURRENT.compare_and_swap(&known, Some(made.clone()));
    match (*before).as_ref() {
        // Another thread was faster; what was made here ends by being dropped.
        Some(owned) if owned.process == process => Ok(owned.clone()),
        Some(parents) => {
            // Its threads are in the parent: nothing can wait for them here.
            std::mem::forget(parents.clone());
            Ok(made)
        }
        None => Ok(made),
    }
}

fn start(process: u32) -> std::io::Result<Owned> {
    let (jobs, waiting) = channel();
    std::thread::Builder::new().name(String::from("cms-python")).spawn(move || work(&waiting))?;
    let runtime =
        Builder::new_multi_thread().worker_threads(WORKERS).thread_name("cms").enable_all().build()?;
    Ok(Owned { process, runtime, jobs })
}

/// Does jobs, as many as wait each time that Python is held; until nobody can send any, or Python ends.
fn work(waiting: &Receiver<Job>) {
    while let Ok(job) = waiting.recv() {
        let held = Python::try_attach(|py| {
            job(py);
            waiting.try_iter().for_each(|job| job(py));
        });
        if held.is_none() {
            return;
        }
    }
}
