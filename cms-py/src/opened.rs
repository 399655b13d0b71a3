// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An installation that is open in this process: shared by all clients that act in it.

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cms_core::crypto::{DevSeal, KeySeal, KeySource, Seal, create_key_file};
use cms_core::sensitive::Sensitive;
use cms_core::{Cms, CmsBuilder, Error, ErrorKind, RequestContext};
use cms_server::place::{EtcdSettings, StorePlace};
use cms_server::server::{StartError, builder, existing};
use cms_server::{InProcess, Options, router};
use pyo3::prelude::*;

use crate::errors::Failure;
use crate::running::Outcome;

/// Where the store is, who CMS is there, and what opens its seal: a dictionary of Python.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Place {
    url: String,
    #[pyo3(default)]
    seal_key_file: Option<PathBuf>,
    #[pyo3(default)]
    seal_key: Option<Vec<u8>>,
    #[pyo3(default)]
    etcd_user: Option<String>,
    #[pyo3(default)]
    etcd_password_file: Option<PathBuf>,
    /// The root credential of a new installation; a random one if not given.
    #[pyo3(default)]
    root: Option<String>,
}

/// An open installation. In a process that was forked it is neither used nor closed: its threads, locks and files
/// belong to the parent.
pub(crate) struct Opened {
    inner: ManuallyDrop<(Cms, InProcess)>,
    process: u32,
    closed: AtomicBool,
}

impl Place {
    /// Opens the installation that is there.
    ///
    /// # Errors
    /// What keeps the store or the seal from being opened.
    pub(crate) async fn open(self) -> Outcome<Opened> {
        let building = existing(&self.store(), self.seal()?).await.map_err(unopened)?;
        Ok(Opened::new(building.build().await?))
    }

    /// Makes a new installation, and a seal key where none is.
    ///
    /// # Errors
    /// `Conflict` if there is one already.
    pub(crate) async fn create(self) -> Outcome<(Opened, Sensitive<String>)> {
        if let Some(path) = self.seal_key_file.as_ref().filter(|path| !path.exists()) {
            create_key_file(path)?;
        }
        let mut building: CmsBuilder = builder(&self.store(), self.seal()?).await.map_err(unopened)?;
        if let Some(root) = self.root {
            building = building.root_credential(Sensitive::new(root));
        }
        let (cms, root) = building.initialize().await?;
        Ok((Opened::new(cms), root))
    }

    fn store(&self) -> StorePlace {
        let (user, password_file) = (self.etcd_user.clone(), self.etcd_password_file.clone());
        let etcd = EtcdSettings { user, password_file, ..EtcdSettings::default() };
        StorePlace { url: self.url.clone(), etcd }
    }

    fn seal(&self) -> Result<Arc<dyn Seal>, Error> {
        let source = match (&self.seal_key_file, &self.seal_key) {
            (Some(path), None) => KeySource::File(path.clone()),
            (None, Some(key)) => KeySource::Bytes(Sensitive::new(key.clone())),
            // What ends with the process needs no key that outlives it.
            (None, None) if self.url == "memory:" => return Ok(Arc::new(DevSeal)),
            (None, None) => {
                return Err(Error::invalid("no seal key is named").with_hint("pass `seal_key_file`"));
            }
            (Some(_), Some(_)) => return Err(Error::invalid("two seal keys are named; pass one of them")),
        };
        Ok(Arc::new(KeySeal::new(source)))
    }
}

impl Opened {
    fn new(cms: Cms) -> Self {
        let http = InProcess::new(router(cms.clone(), Options::default()));
        Self {
            inner: ManuallyDrop::new((cms, http)),
            process: std::process::id(),
            closed: AtomicBool::new(false),
        }
    }

    /// The installation, as long as it can be used here.
    ///
    /// # Errors
    /// If it was closed, or this process was forked since it was opened.
    pub(crate) fn cms(&self) -> Outcome<&Cms> {
        self.check().map(|()| &self.inner.0)
    }

    /// Its HTTP surface.
    ///
    /// # Errors
    /// As [`Opened::cms`].
    pub(crate) fn http(&self) -> Outcome<&InProcess> {
        self.check().map(|()| &self.inner.1)
    }

    /// Finds out whose credential it is, and begins a request of theirs.
    ///
    /// # Errors
    /// `Unauthenticated` if it is nobody's.
    pub(crate) async fn context(&self, credential: &str) -> Outcome<RequestContext> {
        let principal = self.cms()?.auth().authenticate(credential, None).await?;
        Ok(RequestContext::new(principal))
    }

    /// Closes it; once is enough.
    pub(crate) async fn close(&self) -> Outcome<()> {
        if self.process == std::process::id() && !self.closed.swap(true, Ordering::AcqRel) {
            self.inner.0.shutdown().await;
        }
        Ok(())
    }

    fn check(&self) -> Outcome<()> {
        if self.process != std::process::id() {
            return Err(Failure::Forked);
        }
        if self.closed.load(Ordering::Acquire) { Err(Failure::Closed) } else { Ok(()) }
    }
}

fn unopened(error: StartError) -> Error {
    match error {
        StartError::Cms(error) => error,
        StartError::Absent { .. } => Error::new(ErrorKind::NotFound, "not_initialized", error.to_string()),
        other => Error::unavailable("store_unavailable", other.to_string()),
    }
}
