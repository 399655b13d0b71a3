// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tells Python when a config or a secret has changed. What watches is a task of the runtime, not a thread of Python;
//! what it tells is called on a thread that may wait.

use std::sync::Arc;
use std::time::Duration;

use cms_core::ErrorKind;
use cms_core::configs::ReadConfig;
use cms_core::ids::{Name, ProjectId};
use cms_core::sensitive::Sensitive;
use futures_util::StreamExt;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::errors::Failure;
use crate::opened::Opened;
use crate::running::{IntoObject, Outcome};
use crate::runtime;

/// How long one look for another config waits.
const LOOK: Duration = Duration::from_secs(30);
/// After which pause a failed look is tried again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// How often a version is looked at where events may not be followed.
const VERSION_EVERY: Duration = Duration::from_secs(5);

/// Something that is watched; dropping it ends the watch.
#[pyclass(frozen, module = "cms_py._native")]
pub(crate) struct Watch(AbortHandle);

#[pymethods]
impl Watch {
    /// Ends the watch.
    fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who watches, and whom to tell: a function that takes what is new, or the exception that kept it from being read.
pub(crate) struct Watcher {
    pub(crate) opened: Arc<Opened>,
    pub(crate) credential: Arc<Sensitive<String>>,
    pub(crate) project: ProjectId,
    pub(crate) told: Arc<Py<PyAny>>,
}

impl Watcher {
    /// Watches a config: tells its text, tag and release whenever the tag is another one.
    ///
    /// # Errors
    /// If there is no runtime.
    pub(crate) fn config(self, name: Name, environment: Option<String>, known: String) -> PyResult<Watch> {
        let watching = async move {
            let read = ReadConfig { environment, ..ReadConfig::default() };
            let (mut known, mut pause) = (known, PAUSES.0);
            loop {
                match self.look(&name, &read, &known).await {
                    Ok(served) => {
                        pause = PAUSES.0;
                        if served.tag != known {
                            known.clone_from(&served.tag);
                            self.tell(Ok(served)).await;
                        }
                    }
                    Err(failure) if failure.is_final() => return,
                    Err(failure) => self.failed(failure, &mut pause).await,
                }
            }
        };
        Ok(Watch(runtime::handle()?.spawn(watching).abort_handle()))
    }

    /// Watches a secret: tells, without a value, that there may be another one.
    ///
    /// # Errors
    /// If there is no runtime.
    pub(crate) fn secret(self, path: Name) -> PyResult<Watch> {
        let watching = async move {
            let mut pause = PAUSES.0;
            loop {
                match self.events(&path, &mut pause).await {
                    Ok(()) => {}
                    Err(failure) if failure.is_final() => return,
                    // A key that may read secrets and nothing else follows no events.
                    Err(Failure::Refused(error, _)) if error.kind() == ErrorKind::Denied => {
                        return self.versions(&path).await;
                    }
                    Err(failure) => self.failed(failure, &mut pause).await,
                }
                // What happened between two streams was not seen.
                self.tell(Ok(())).await;
            }
        };
        Ok(Watch(runtime::handle()?.spawn(watching).abort_handle()))
    }

    /// Looks at the version of a secret now and then, which is no reveal.
    async fn versions(&self, path: &Name) {
        let (mut known, mut pause) = (None, PAUSES.0);
        loop {
            match self.version(path).await {
                Ok(version) => {
                    pause = PAUSES.0;
                    if known.replace(version) != Some(version) {
                        self.tell(Ok(())).await;
                    }
                    tokio::time::sleep(VERSION_EVERY).await;
                }
                Err(failure) if failure.is_final() => return,
                Err(failure) => self.failed(failure, &mut pause).await,
            }
        }
    }

    async fn version(&self, path: &Name) -> Outcome<u64> {
        let ctx = self.opened.context(self.credential.expose()).await?;
        let masked = self.opened.cms()?.secrets().masked(&ctx, &self.project, path, None).await;
        Ok(masked.map_err(|error| Failure::Refused(error, Some(ctx.request_id)))?.secret.version)
    }

    async fn look(
        &self,
        name: &Name,
        read: &ReadConfig,
        known: &str,
    ) -> Outcome<cms_core::configs::ServedConfig> {
        // Asked anew each time: a key may have been revoked.
        let ctx = self.opened.context(self.credential.expose()).await?;
        let configs = self.opened.cms()?.configs();
        let served = configs.read(&ctx, &self.project, name, read, Some(known), LOOK).await;
        served.map_err(|error| Failure::Refused(error, Some(ctx.request_id)))
    }

    async fn events(&self, path: &Name, pause: &mut Duration) -> Outcome<()> {
        let ctx = self.opened.context(self.credential.expose()).await?;
        let mut events = self.opened.cms()?.events().follow(&ctx, &self.project, None).await?;
        *pause = PAUSES.0;
        while let Some(event) = events.next().await {
            let event = event?;
            let named = event.data.get("path").and_then(|named| named.as_str());
            if event.kind == "secret" && named == Some(path.as_str()) {
                self.tell(Ok(())).await;
            }
        }
        Ok(())
    }

    async fn failed(&self, failure: Failure, pause: &mut Duration) {
        self.tell(Err::<(), _>(failure)).await;
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSES.1);
    }

    /// Calls the function, and waits until it is done: news come one after the other.
    async fn tell<T: IntoObject>(&self, news: Outcome<T>) {
        let told = self.told.clone();
        let call = move || {
            Python::try_attach(|py| {
                let news = match news {
                    Ok(news) => news.into_object(py),
                    Err(failure) => Ok(failure.raised(py).into_value(py).into_any()),
                };
                if let Err(error) = news.and_then(|news| told.call1(py, (news,))) {
                    // A callback that raises must not end the watch.
                    error.write_unraisable(py, Some(told.bind(py)));
                }
            });
        };
        // The runtime may be ending.
        let _ = tokio::task::spawn_blocking(call).await;
    }
}
