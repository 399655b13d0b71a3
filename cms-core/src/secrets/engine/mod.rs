// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The engine port: what a kind of secret may hold, what a reveal hands out, and how the next
//! version is made. Versions, sealing, authorization and the trail are the service's, for all engines.
//!
//! To add one: a new file here, and one entry in [`builtin`].

mod kv;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use kv::KvEngine;

use super::data::SecretData;
use crate::api::secrets::RotateSecret;
use crate::error::{Error, Result};

/// A kind of secret.
///
/// Contract:
/// - `accept` MUST refuse what `hand_out` and `rotate` could not work with later.
/// - `hand_out` MAY answer something else than what is stored (a code, a short-lived credential), but
///   MUST NOT answer more.
/// - An engine MUST NOT log, keep or show values; errors MUST NOT quote them.
/// - An engine that needs I/O takes a port of its own; this crate does none.
#[async_trait]
pub trait SecretEngine: fmt::Debug + Send + Sync {
    /// The engine's name, as records hold it.
    fn name(&self) -> &'static str;

    /// Checks the fields of a new version, within the limits that hold for every secret.
    async fn accept(&self, data: &SecretData) -> Result<()>;

    /// What a reveal of these stored fields answers.
    async fn hand_out(&self, stored: SecretData) -> Result<SecretData>;

    /// The fields of the next version.
    async fn rotate(&self, stored: &SecretData, rotation: &RotateSecret) -> Result<SecretData>;

    /// Checks a rotation before anything is read.
    fn check_rotation(&self, rotation: &RotateSecret) -> Result<()>;
}

/// Every engine of this crate, alphabetical.
pub fn builtin() -> Vec<Arc<dyn SecretEngine>> {
    vec![Arc::new(KvEngine)]
}

/// The engines of one `Cms`.
#[derive(Debug, Clone)]
pub(super) struct Engines(Arc<[Arc<dyn SecretEngine>]>);

impl Engines {
    pub(super) fn new(engines: Vec<Arc<dyn SecretEngine>>) -> Self {
        Self(engines.into())
    }

    pub(super) fn find(&self, name: &str) -> Result<&dyn SecretEngine> {
        let found = self.0.iter().find(|engine| engine.name() == name);
        found.map(|engine| &**engine).ok_or_else(|| {
            Error::unprocessable("unknown_engine", format!("this installation has no secret engine `{name}`"))
        })
    }
}
