// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OPA's own Go engine in this process, through the C interface of a public wheel.
//!
//! The only file of the repository with unsafe code: a foreign library cannot be called without. It is
//! part of the benchmarks, never of the product.
#![expect(unsafe_code, reason = "calls a C interface; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;

use libloading::Library;
use serde_json::Value;

use crate::Result;

type Call2 = unsafe extern "C" fn(u64, *const c_char, *const c_char) -> *mut c_char;
type Evaluate = unsafe extern "C" fn(u64, *const c_char, *const c_char, c_int, c_int) -> *mut c_char;

/// An engine with its policies and data. Dropped with the process.
pub struct Opa {
    handle: u64,
    policy: Call2,
    data: Call2,
    evaluate: Evaluate,
    free: unsafe extern "C" fn(*mut c_char),
}

impl std::fmt::Debug for Opa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opa").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Opa {
    /// Loads the library and makes an engine.
    ///
    /// # Errors
    /// When the file is not there, or is another library.
    pub fn load(file: &Path) -> Result<Self> {
        // SAFETY: the library's initialisers start Go's runtime, which it supports in a foreign process;
        // the signatures are those that its own bindings declare.
        unsafe {
            // A Go library cannot be unloaded: its threads keep running.
            let library: &'static Library = Box::leak(Box::new(Library::new(file)?));
            let new = library.get::<unsafe extern "C" fn() -> u64>(b"OpaNew")?;
            Ok(Self {
                handle: new(),
                policy: *library.get(b"OpaAddPolicy")?,
                data: *library.get(b"OpaAddData")?,
                evaluate: *library.get(b"OpaEvalDocument")?,
                free: *library.get(b"OpaFreeString")?,
            })
        }
    }

    /// Adds a module.
    ///
    /// # Errors
    /// When it does not parse or compile.
    pub fn add_policy(&self, name: &str, text: &str) -> Result<()> {
        let (name, text) = (CString::new(name)?, CString::new(text)?);
        // SAFETY: both strings live until the call returns; the engine copies them.
        let answer = self.take(unsafe { (self.policy)(self.handle, name.as_ptr(), text.as_ptr()) })?;
        accepted(&answer)
    }

    /// Merges JSON into the data, at a dotted path.
    ///
    /// # Errors
    /// When it is not JSON, or conflicts with what is there.
    pub fn add_data(&self, path: &str, json: &str) -> Result<()> {
        let (path, json) = (CString::new(path)?, CString::new(json)?);
        // SAFETY: both strings live until the call returns; the engine copies them.
        let answer = self.take(unsafe { (self.data)(self.handle, path.as_ptr(), json.as_ptr()) })?;
        accepted(&answer)
    }

    /// Evaluates the document at a dotted path; JSON in, the engine's envelope as JSON out.
    ///
    /// # Errors
    /// When the engine gives no answer at all.
    pub fn evaluate(&self, path: &CStr, input: &CStr) -> Result<Vec<u8>> {
        // SAFETY: both strings live until the call returns; the engine copies them.
        self.take(unsafe { (self.evaluate)(self.handle, path.as_ptr(), input.as_ptr(), 0, 0) })
    }

    /// Copies an answer and gives its memory back.
    fn take(&self, answer: *mut c_char) -> Result<Vec<u8>> {
        if answer.is_null() {
            return Err("the OPA engine gave no answer".into());
        }
        // SAFETY: the engine hands over a string that ends with 0 and stays until it is freed, here, once.
        unsafe {
            let copy = CStr::from_ptr(answer).to_bytes().to_vec();
            (self.free)(answer);
            Ok(copy)
        }
    }
}

/// The value within an envelope; `None` when it is undefined.
///
/// # Errors
/// When the envelope holds an error.
pub fn value(envelope: &[u8]) -> Result<Option<Value>> {
    accepted(envelope)?;
    let envelope: Value = serde_json::from_slice(envelope)?;
    Ok(envelope.pointer("/result/0/expressions/0/value").cloned())
}

fn accepted(envelope: &[u8]) -> Result<()> {
    let envelope: Value = serde_json::from_slice(envelope)?;
    match envelope.get("error") {
        None | Some(Value::Null) => Ok(()),
        Some(error) => Err(format!("OPA: {error}").into()),
    }
}
