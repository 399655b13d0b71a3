// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer of a policy rule, as Python sees it. Its value becomes an object when somebody looks at it.

use cms_core::api::decisions::BatchItem;
use cms_core::decisions::{Evaluated, permits};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::convert::{from_json, to_json};
use crate::running::IntoObject;

/// A decision. It is true in a condition if, and only if, it permits something.
#[pyclass(frozen, module = "cms_py")]
pub(crate) struct Decision {
    /// The id under which it is logged.
    #[pyo3(get)]
    id: String,
    /// The release that decided.
    #[pyo3(get)]
    release: String,
    /// The environment whose release it was.
    #[pyo3(get)]
    environment: String,
    /// Whether it permits something: its value is `True`, or an object whose `allow` is `True`.
    #[pyo3(get)]
    allowed: bool,
    /// Why the evaluation of this input failed, in a batch.
    #[pyo3(get)]
    error: Option<String>,
    /// The nearest rule that exists, when the result is undefined.
    #[pyo3(get)]
    hint: Option<String>,
    /// `None`: undefined.
    result: Option<Box<RawValue>>,
    value: PyOnceLock<Py<PyAny>>,
}

#[pymethods]
impl Decision {
    /// A decision by hand, for tests.
    #[new]
    #[pyo3(signature = (value=None, *, id="fake", release="fake", environment="default"))]
    fn new(value: Option<&Bound<'_, PyAny>>, id: &str, release: &str, environment: &str) -> PyResult<Self> {
        let result = value.map(to_json).transpose()?.and_then(|text| RawValue::from_string(text).ok());
        let about = (id.to_owned(), release.to_owned(), environment.to_owned());
        Ok(Self::of(about, result, None, None))
    }

    /// What the rule came to; `None` when it is undefined.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = self.result.as_ref().map_or("null", |result| result.get());
        let read = || from_json(py, text).map(Bound::unbind);
        Ok(self.value.get_or_try_init(py, read)?.bind(py).clone())
    }

    /// Whether the rule is undefined for this input, or does not exist.
    #[getter]
    fn undefined(&self) -> bool {
        self.result.is_none()
    }

    /// Why: the value's own `reason`, else what kept it from being decided.
    #[getter]
    fn reason(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Given {
            reason: String,
        }
        let given = self.result.as_ref().and_then(|result| serde_json::from_str::<Given>(result.get()).ok());
        let nothing = || self.result.is_none().then(|| String::from("the rule is undefined for this input"));
        given.map(|given| given.reason).or_else(|| self.error.clone()).or_else(nothing)
    }

    fn __bool__(&self) -> bool {
        self.allowed
    }

    fn __repr__(&self) -> String {
        let verdict = if self.allowed { "allowed" } else { "not allowed" };
        format!("<Decision {}: {verdict}>", self.id)
    }
}

impl Decision {
    fn of(
        (id, release, environment): (String, String, String),
        result: Option<Box<RawValue>>,
        error: Option<String>,
        hint: Option<String>,
    ) -> Self {
        let allowed = result.as_deref().is_some_and(permits);
        Self { id, release, environment, allowed, error, hint, result, value: PyOnceLock::new() }
    }

    /// One answer of a batch.
    pub(crate) fn of_batch(item: BatchItem, release: &str, environment: &str) -> Self {
        let about = (item.decision_id, release.to_owned(), environment.to_owned());
        let result = (!item.undefined).then_some(item.result);
        Self::of(about, result, item.error, item.hint.map(|hint| hint.to_string()))
    }
}

impl From<Evaluated> for Decision {
    fn from(evaluated: Evaluated) -> Self {
        let about = (evaluated.decision_id, evaluated.release.to_string(), evaluated.environment.to_string());
        Self::of(about, evaluated.result, None, evaluated.hint)
    }
}

impl IntoObject for Decision {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, self)?.into_any())
    }
}
