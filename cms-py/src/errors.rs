// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the error of a service to an exception of Python. The only place of the bindings that knows which kind is
//! which class; the classes are in `cms-py/python/cms_py/errors.py`.

use std::sync::Arc;

use cms_core::error::Place;
use cms_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Why a call did not come to a value.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A service refused, under a request id.
    Refused(Error, Option<Arc<str>>),
    /// The client was closed.
    Closed,
    /// The client belongs to the process that forked this one.
    Forked,
    /// A defect.
    Panicked,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error, None)
    }
}

impl Failure {
    /// Whether trying again is in vain: the client is gone.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Closed | Self::Forked)
    }

    /// Becomes an exception. The cause goes to the log and nowhere else.
    pub(crate) fn raised(self, py: Python<'_>) -> PyErr {
        let (class, error, request_id) = match self {
            Self::Refused(error, request_id) => (class(error.kind()), error, request_id),
            Self::Closed => ("ClosedError", closed(), None),
            Self::Forked => ("ForkedProcessError", forked(), None),
            Self::Panicked => ("InternalError", Error::internal("a panic"), None),
        };
        if error.kind() == ErrorKind::Internal {
            tracing::error!(error = &error as &dyn std::error::Error, "a call failed");
        }
        exception(py, class, &error, request_id.as_deref()).unwrap_or_else(|wrong| wrong)
    }
}

/// The class of each kind. No catch-all arm: a new kind must be thought about here.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "InvalidRequest",
        ErrorKind::Unauthenticated => "Unauthenticated",
        ErrorKind::Denied => "Denied",
        ErrorKind::NotFound => "NotFound",
        ErrorKind::Conflict => "Conflict",
        ErrorKind::Stale => "StaleVersion",
        ErrorKind::TooLarge => "TooLarge",
        ErrorKind::UnsupportedMedia => "UnsupportedMedia",
        ErrorKind::Unprocessable => "Unprocessable",
        ErrorKind::Sealed => "Sealed",
        ErrorKind::TooMany => "TooManyRequests",
        ErrorKind::Unavailable => "Unavailable",
        ErrorKind::Unknown => "OutcomeUnknown",
        ErrorKind::Internal => "InternalError",
    }
}

fn exception(py: Python<'_>, class: &str, error: &Error, request_id: Option<&str>) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    fields.set_item("code", error.code())?;
    fields.set_item("hint", error.hint())?;
    fields.set_item("request_id", request_id)?;
    fields.set_item("retry_after", error.retry_after().map(|after| after.as_secs_f64()))?;
    let places = error.places().iter().map(|place| described(py, place)).collect::<PyResult<Vec<_>>>()?;
    fields.set_item("errors", PyList::new(py, places)?)?;
    let class = py.import("cms_py.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((error.message(),), Some(&fields))?))
}

fn described<'py>(py: Python<'py>, place: &Place) -> PyResult<Bound<'py, PyDict>> {
    let described = PyDict::new(py);
    described.set_item("path", place.path.as_deref())?;
    described.set_item("line", place.line)?;
    described.set_item("column", place.column)?;
    described.set_item("message", &place.message)?;
    Ok(described)
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "closed", "this client was closed").with_hint("open another one")
}

fn forked() -> Error {
    let text = "this client was opened before the process forked, and its threads stayed behind";
    Error::new(ErrorKind::Unavailable, "forked", text)
        .with_hint("open it in each worker, such as in the lifespan of the application")
}
