// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP surface of an installation as an ASGI server mounts it. `cms-py/python/cms_py/asgi.py` speaks ASGI.

use std::sync::Arc;

use cms_core::Error;
use cms_server::{InProcess, Options, config_router, router};
use pyo3::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::exchange::{Exchange, Head};
use crate::opened::Opened;
use crate::running::Outcome;

/// Routes that can be mounted.
#[pyclass(frozen, module = "cms_py._native")]
pub(crate) struct Surface {
    opened: Arc<Opened>,
    http: InProcess,
    closing: CancellationToken,
}

#[pymethods]
impl Surface {
    /// Begins a request; with `body`, that is all of its body.
    fn exchange(&self, py: Python<'_>, head: Head, body: Option<Vec<u8>>) -> PyResult<Exchange> {
        let begun = self.opened.cms().and_then(|_| Exchange::begin(self.http.clone(), head, body));
        begun.map_err(|failure| failure.raised(py))
    }

    /// Ends long polls and event streams: the server is about to stop.
    fn close(&self) {
        self.closing.cancel();
    }
}

impl Surface {
    /// The whole surface, or the front door for configs alone, with its rates.
    ///
    /// # Errors
    /// `Invalid` for a text that is no rate.
    pub(crate) fn new(
        opened: Arc<Opened>,
        configs_only: bool,
        rates: (Option<String>, Option<String>),
    ) -> Outcome<Self> {
        let mut options = Options::default();
        // The server in front may be behind a proxy, and then everybody seems to be on this machine.
        options.local_operator = false;
        let rate = |text: String| text.parse().map_err(|error| Error::invalid(format!("`{text}`: {error}")));
        if let Some(reads) = rates.0.map(rate).transpose()? {
            options.config_reads = reads;
        }
        if let Some(writes) = rates.1.map(rate).transpose()? {
            options.config_writes = writes;
        }
        let (cms, closing) = (opened.cms()?.clone(), options.closing.clone());
        let routes = if configs_only { config_router(cms, options) } else { router(cms, options) };
        Ok(Self { opened, http: InProcess::new(routes), closing })
    }
}
