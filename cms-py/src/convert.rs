// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Values of Python as JSON text, and back. Policies are asked in JSON text, because equal questions are recognised
//! by it; it is written straight from Python's objects.

use std::fmt;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// How deep values may be nested: as deep as the engine reads them.
const MAX_DEPTH: u8 = 100;

/// Writes a value as JSON text.
///
/// # Errors
/// `TypeError` for what JSON has not, `ValueError` for a number that is none; both name the place.
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let root = Json { value, place: &Place::Root, depth: 0 };
    serde_json::to_string(&root).map_err(|error| {
        let text = error.to_string();
        if text.starts_with(WRONG_VALUE) { PyValueError::new_err(text) } else { PyTypeError::new_err(text) }
    })
}

/// Reads JSON text as `json.loads` does: no number is rounded.
///
/// # Errors
/// `ValueError` if it is none.
pub(crate) fn from_json<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match text {
        "true" => Ok(PyBool::new(py, true).to_owned().into_any()),
        "false" => Ok(PyBool::new(py, false).to_owned().into_any()),
        "null" => Ok(py.None().into_bound(py)),
        _ => LOADS.import(py, "json", "loads")?.call1((text,)),
    }
}

/// How a value that JSON cannot hold is told apart from a type that it has not.
const WRONG_VALUE: &str = "JSON cannot hold ";

/// A value on its way to JSON.
struct Json<'a, 'py> {
    value: &'a Bound<'py, PyAny>,
    place: &'a Place<'a>,
    depth: u8,
}

/// Where a value is, for messages.
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the value"),
            Self::Key(outer, key) => write!(f, "{outer}[{key:?}]"),
            Self::Index(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}

impl<'py> Json<'_, 'py> {
    fn inner<'b>(&self, value: &'b Bound<'py, PyAny>, place: &'b Place<'b>) -> Json<'b, 'py> {
        Json { value, place, depth: self.depth + 1 }
    }

    fn dict<S: Serializer>(&self, dict: &Bound<'py, PyDict>, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(dict.len()))?;
        for (key, value) in dict.iter() {
            let key = self.key(&key).map_err(S::Error::custom)?;
            let key = key.to_cow().map_err(|_| S::Error::custom(self.no_unicode()))?;
            map.serialize_entry(&*key, &self.inner(&value, &Place::Key(self.place, &key)))?;
        }
        map.end()
    }

    fn key<'b>(&self, key: &'b Bound<'py, PyAny>) -> Result<&'b Bound<'py, PyString>, String> {
        let text = || format!("{} has a key of the type `{}`; JSON takes `str`", self.place, type_name(key));
        key.cast::<PyString>().map_err(|_| text())
    }

    fn no_unicode(&self) -> String {
        format!("{WRONG_VALUE}half of a surrogate pair, which is in {}", self.place)
    }

    fn items<S: Serializer>(
        &self,
        items: impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(items.len()))?;
        for (index, item) in items.enumerate() {
            list.serialize_element(&self.inner(&item, &Place::Index(self.place, index)))?;
        }
        list.end()
    }

    fn integer<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Ok(small) = self.value.extract::<i64>() {
            return to.serialize_i64(small);
        }
        // As large as it is: policies calculate with it as written.
        let digits = self.value.str().map_err(S::Error::custom)?.to_string();
        RawValue::from_string(digits).map_err(S::Error::custom)?.serialize(to)
    }

    fn float<S: Serializer>(&self, float: f64, to: S) -> Result<S::Ok, S::Error> {
        if float.is_finite() {
            return to.serialize_f64(float);
        }
        Err(S::Error::custom(format!("{WRONG_VALUE}the number `{float}`, which is {}", self.place)))
    }

    /// What is no value of JSON, but says how it becomes one: models of pydantic, enums, mappings.
    fn other<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (py, value) = (self.value.py(), self.value);
        if let Ok(dump) = value.getattr(intern!(py, "model_dump")) {
            let mode = [("mode", "json")].into_py_dict(py).map_err(S::Error::custom)?;
            let dumped = dump.call((), Some(&mode)).map_err(S::Error::custom)?;
            return self.inner(&dumped, self.place).serialize(to);
        }
        if let Ok(mapping) = value.cast::<PyMapping>() {
            let dict = PyDict::new(py);
            dict.update(mapping).map_err(S::Error::custom)?;
            return self.dict(&dict, to);
        }
        Err(S::Error::custom(format!(
            "{} is of the type `{}`, which JSON has not; pass a `dict`, `list`, `str`, number, `bool`, `None` or a \
             pydantic model",
            self.place,
            type_name(value)
        )))
    }
}

impl Serialize for Json<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        if self.depth > MAX_DEPTH {
            let text = format!("{WRONG_VALUE}a nesting deeper than {MAX_DEPTH} levels: it may hold itself");
            return Err(S::Error::custom(text));
        }
        if let Ok(text) = value.cast::<PyString>() {
            return to.serialize_str(&text.to_cow().map_err(|_| S::Error::custom(self.no_unicode()))?);
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict, to);
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            return to.serialize_bool(flag.is_true());
        }
        if value.is_none() {
            return to.serialize_unit();
        }
        if value.cast::<PyInt>().is_ok() {
            return self.integer(to);
        }
        if let Ok(float) = value.cast::<PyFloat>() {
            return self.float(float.value(), to);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.items(list.iter(), to);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.items(tuple.iter(), to);
        }
        self.other(to)
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| String::from("?"), |name| name.to_string())
}
