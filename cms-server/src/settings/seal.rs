// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of the seal: where its key is.

use std::path::PathBuf;
use std::sync::Arc;

use cms_core::crypto::{KeySeal, KeySource, Seal};
use cms_store::openbao::{OpenBao, TransitSeal};
use serde::Deserialize;

use super::{SettingsError, missing, wrong};

/// Where the seal key is: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealSettings {
    /// A file that only its owner can read.
    pub key_file: Option<PathBuf>,
    /// The name of an environment variable.
    pub key_env: Option<String>,
    /// The name of a systemd credential.
    pub credential: Option<String>,
    /// A key of OpenBao's Transit engine: `KEY`, or `MOUNT/KEY`.
    pub transit: Option<String>,
}

/// Where the seal key is.
#[derive(Debug, Clone)]
pub enum SealPlace {
    /// Here.
    Key(KeySource),
    /// At OpenBao.
    Transit(Arc<TransitSeal>),
}

impl SealSettings {
    /// Where the key is.
    ///
    /// # Errors
    /// If none or several places are named, or the one at OpenBao without OpenBao.
    pub fn place(&self, openbao: Option<&OpenBao>) -> Result<SealPlace, SettingsError> {
        match (&self.key_file, &self.key_env, &self.credential, &self.transit) {
            (Some(path), None, None, None) => Ok(SealPlace::Key(KeySource::File(path.clone()))),
            (None, Some(name), None, None) => Ok(SealPlace::Key(KeySource::Variable(name.clone()))),
            (None, None, Some(name), None) => Ok(SealPlace::Key(KeySource::Credential(name.clone()))),
            (None, None, None, Some(key)) => transit(key, openbao),
            (None, None, None, None) => Err(missing("seal.key_file", "/etc/cms/seal.key", "--seal-key-file")),
            _ => Err(SettingsError(
                "of `seal.key_file`, `seal.key_env`, `seal.credential` and `seal.transit` only one may be set"
                    .to_owned(),
            )),
        }
    }

    /// Takes the key from a file, whatever else is said.
    pub fn use_file(&mut self, file: PathBuf) {
        *self = Self { key_file: Some(file), ..Self::default() };
    }
}

impl SealPlace {
    /// The seal.
    pub fn seal(&self) -> Arc<dyn Seal> {
        match self {
            Self::Key(source) => Arc::new(KeySeal::new(source.clone())),
            Self::Transit(seal) => seal.clone(),
        }
    }
}

fn transit(key: &str, openbao: Option<&OpenBao>) -> Result<SealPlace, SettingsError> {
    let openbao =
        openbao.ok_or_else(|| missing("openbao.address", "https://bao.example.org:8200", "--config"))?;
    let (mount, name) = key.rsplit_once('/').unwrap_or(("transit", key));
    let seal = TransitSeal::new(openbao.clone(), mount, name);
    let seal = seal.map_err(|error| wrong("seal.transit", key, error.message()))?;
    Ok(SealPlace::Transit(Arc::new(seal)))
}
