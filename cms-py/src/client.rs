// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the classes of `cms_py` call: one installation, acted in with one credential. Every call takes `blocking`;
//! without it, what is not there at once comes as a future of the running event loop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cms_core::Error;
use cms_core::api::decisions::DecideBatch;
use cms_core::api::secrets::{RevealSecret, RevealedSecret};
use cms_core::configs::{ReadConfig, ServedConfig};
use cms_core::decisions::query_path;
use cms_core::error::Result;
use cms_core::ids::{Name, ProjectId};
use cms_core::sensitive::Sensitive;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use serde_json::value::RawValue;

use crate::convert::{from_json, to_json};
use crate::decision::Decision;
use crate::errors::Failure;
use crate::opened::{Opened, Place};
use crate::principal::Principal;
use crate::running::{IntoObject, run};
use crate::surface::Surface;
use crate::watch::{Watch, Watcher};

/// An installation, acted in with one credential.
#[pyclass(frozen, module = "cms_py._native")]
pub(crate) struct Client {
    opened: Arc<Opened>,
    credential: Arc<Sensitive<String>>,
}

#[pymethods]
impl Client {
    /// Opens an installation that is there.
    #[staticmethod]
    fn open(py: Python<'_>, blocking: bool, place: Place, credential: String) -> PyResult<Py<PyAny>> {
        let credential = Arc::new(Sensitive::new(credential));
        run(py, blocking, async move {
            let opened = place.open().await?;
            // Whoever has no valid credential learns it now, and not at the first decision.
            opened.context(credential.expose()).await?;
            Ok(Self { opened: Arc::new(opened), credential })
        })
    }

    /// Makes a new installation. The answer is a client that acts as root, and the root credential.
    #[staticmethod]
    fn create(py: Python<'_>, blocking: bool, place: Place) -> PyResult<Py<PyAny>> {
        run(py, blocking, async move {
            let (opened, root) = place.create().await?;
            Ok((Self { opened: Arc::new(opened), credential: Arc::new(root.clone()) }, root))
        })
    }

    /// The same installation, acted in with another credential.
    fn acting_as(&self, credential: String) -> Self {
        Self { opened: self.opened.clone(), credential: Arc::new(Sensitive::new(credential)) }
    }

    /// Closes the installation for all that share it.
    fn close(&self, py: Python<'_>, blocking: bool) -> PyResult<Py<PyAny>> {
        let opened = self.opened.clone();
        run(py, blocking, async move { opened.close().await })
    }

    /// Asks one rule one question.
    fn decide(
        &self,
        py: Python<'_>,
        blocking: bool,
        project: &str,
        environment: Option<String>,
        path: &str,
        input: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let input = input.map(to_json).transpose()?;
        let asked = ProjectId::parse(project).and_then(|project| Ok((project, query_path(path)?)));
        let (opened, credential) = self.shared();
        run(py, blocking, async move {
            let (project, path) = asked?;
            let ctx = opened.context(credential.expose()).await?;
            let decisions = opened.cms()?.decisions();
            let evaluated =
                decisions.evaluate(&ctx, &project, environment.as_deref(), &path, input.as_deref()).await;
            Ok(Decision::from(evaluated.map_err(|error| Failure::Refused(error, Some(ctx.request_id)))?))
        })
    }

    /// Asks one rule many questions, all of one release.
    fn decide_batch(
        &self,
        py: Python<'_>,
        blocking: bool,
        project: &str,
        environment: Option<String>,
        path: String,
        inputs: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let inputs = inputs.iter().map(to_json).collect::<PyResult<Vec<String>>>()?;
        let project = ProjectId::parse(project);
        let (opened, credential) = self.shared();
        run(py, blocking, async move {
            let project = project?;
            let ctx = opened.context(credential.expose()).await?;
            let inputs = inputs.iter().map(|text| serde_json::from_str::<&RawValue>(text));
            let inputs = inputs.collect::<Result<_, _>>().map_err(Error::internal)?;
            let ask = DecideBatch { path: path.into(), inputs, environment: environment.map(Into::into) };
            let answered = opened.cms()?.decisions().decide_batch(&ctx, &project, &ask).await;
            let batch = answered.map_err(|error| Failure::Refused(error, Some(ctx.request_id)))?;
            let (release, environment) = (batch.release, batch.environment);
            let decision = |item| Decision::of_batch(item, &release, &environment);
            Ok(batch.results.into_iter().map(decision).collect::<Vec<_>>())
        })
    }

    /// Finds out whose credential it is.
    fn authenticate(&self, py: Python<'_>, blocking: bool, credential: String) -> PyResult<Py<PyAny>> {
        let (opened, credential) = (self.opened.clone(), Sensitive::new(credential));
        run(py, blocking, async move {
            let ctx = opened.context(credential.expose()).await?;
            Ok(Principal::from(&*ctx.principal))
        })
    }

    /// Reads a config as a service does: its JSON text, tag and release. `other_than` is a tag that is known, and
    /// for how many seconds to wait for another one.
    fn config(
        &self,
        py: Python<'_>,
        blocking: bool,
        project: &str,
        environment: Option<String>,
        name: &str,
        other_than: Option<(String, f64)>,
    ) -> PyResult<Py<PyAny>> {
        let asked = ProjectId::parse(project).and_then(|project| Ok((project, Name::parse(name)?)));
        let (known, wait) = other_than.unzip();
        let wait = Duration::try_from_secs_f64(wait.unwrap_or_default()).unwrap_or_default();
        let (opened, credential) = self.shared();
        run(py, blocking, async move {
            let (project, name) = asked?;
            let ctx = opened.context(credential.expose()).await?;
            let read = ReadConfig { environment, ..ReadConfig::default() };
            let served =
                opened.cms()?.configs().read(&ctx, &project, &name, &read, known.as_deref(), wait).await;
            served.map_err(|error| Failure::Refused(error, Some(ctx.request_id)))
        })
    }

    /// Reveals a secret: its version and its fields. The record of it is on the audit trail.
    fn reveal(
        &self,
        py: Python<'_>,
        blocking: bool,
        project: &str,
        path: &str,
        version: Option<u64>,
        reason: Option<String>,
    ) -> PyResult<Py<PyAny>> {
        let asked = ProjectId::parse(project).and_then(|project| Ok((project, Name::parse(path)?)));
        let (opened, credential) = self.shared();
        run(py, blocking, async move {
            let (project, path) = asked?;
            let ctx = opened.context(credential.expose()).await?;
            let reveal = RevealSecret { version, reason };
            let revealed = opened.cms()?.secrets().reveal(&ctx, &project, &path, reveal).await;
            revealed.map_err(|error| Failure::Refused(error, Some(ctx.request_id)))
        })
    }

    /// Sends a request to the HTTP surface, without a network: the answer's status, headers and body.
    fn request(
        &self,
        py: Python<'_>,
        blocking: bool,
        method: &str,
        path: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> PyResult<Py<PyAny>> {
        let (opened, credential) = self.shared();
        let mut building = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            building = building.header(name, value);
        }
        let bearer = Sensitive::new(format!("Bearer {}", credential.expose()));
        let request = building
            .header(http::header::AUTHORIZATION, bearer.expose())
            .body(stream::iter([Bytes::from(body)]))
            .map_err(|error| Error::invalid(format!("no request can be made of that: {error}")));
        run(py, blocking, async move {
            let (head, body) = opened.http()?.call(request?, None).await.into_parts();
            let body: Vec<Bytes> = body.collect().await;
            Ok(Answer { status: head.status, headers: head.headers, body: body.concat() })
        })
    }

    /// Calls `told` with a config whenever its tag is another one, or with the exception that kept it from being read.
    fn watch_config(
        &self,
        py: Python<'_>,
        project: &str,
        environment: Option<String>,
        name: &str,
        known: String,
        told: Py<PyAny>,
    ) -> PyResult<Watch> {
        let asked = ProjectId::parse(project).and_then(|project| Ok((project, Name::parse(name)?)));
        let (project, name) = asked.map_err(|error| Failure::from(error).raised(py))?;
        self.watcher(project, told).config(name, environment, known)
    }

    /// Calls `told` with `None` whenever there may be another version of a secret.
    fn watch_secret(&self, py: Python<'_>, project: &str, path: &str, told: Py<PyAny>) -> PyResult<Watch> {
        let asked = ProjectId::parse(project).and_then(|project| Ok((project, Name::parse(path)?)));
        let (project, path) = asked.map_err(|error| Failure::from(error).raised(py))?;
        self.watcher(project, told).secret(path)
    }

    /// The HTTP surface, to be mounted.
    fn surface(
        &self,
        py: Python<'_>,
        configs_only: bool,
        reads: Option<String>,
        writes: Option<String>,
    ) -> PyResult<Surface> {
        let made = Surface::new(self.opened.clone(), configs_only, (reads, writes));
        made.map_err(|failure| failure.raised(py))
    }
}

impl Client {
    fn watcher(&self, project: ProjectId, told: Py<PyAny>) -> Watcher {
        let (opened, credential) = self.shared();
        Watcher { opened, credential, project, told: Arc::new(told) }
    }

    fn shared(&self) -> (Arc<Opened>, Arc<Sensitive<String>>) {
        (self.opened.clone(), self.credential.clone())
    }
}

/// The answer to a request.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl IntoObject for Answer {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: Vec<(&str, String)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        Ok((self.status.as_u16(), headers, PyBytes::new(py, &self.body))
            .into_pyobject(py)?
            .into_any()
            .unbind())
    }
}

impl IntoObject for Client {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, self)?.into_any())
    }
}

impl IntoObject for (Client, Sensitive<String>) {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok((Py::new(py, self.0)?, self.1.expose()).into_pyobject(py)?.into_any().unbind())
    }
}

impl IntoObject for () {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(py.None())
    }
}

impl IntoObject for bool {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.into_pyobject(py)?.to_owned().into_any().unbind())
    }
}

impl IntoObject for Vec<Decision> {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.into_pyobject(py)?.unbind())
    }
}

impl IntoObject for ServedConfig {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = (PyBytes::new(py, &self.json), self.tag, self.release.to_string());
        Ok(text.into_pyobject(py)?.into_any().unbind())
    }
}

impl IntoObject for RevealedSecret {
    fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let fields = from_json(py, self.data.expose())?;
        Ok(PyTuple::new(py, [self.version.into_pyobject(py)?.into_any(), fields])?.into_any().unbind())
    }
}
