// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the store is, and who CMS is there: opening it with what its URL must not hold.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cms_core::sensitive::Sensitive;
use cms_core::store::{Store, StoreError, StoreErrorKind, StoreResult};
use cms_store::Registry;
use cms_store::etcd::{self, EtcdConfig, EtcdStore};
use serde::Deserialize;

/// Who CMS is at etcd, and what etcd takes. Where etcd is, its URL says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdSettings {
    /// The user, where etcd asks for one.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The authorities that the members' certificates must come from, as a PEM file.
    pub ca: Option<PathBuf>,
    /// CMS's certificate chain for etcd, as a PEM file.
    pub cert: Option<PathBuf>,
    /// The certificate's key, as a PEM file.
    pub key: Option<PathBuf>,
    /// How long a call may take, in seconds.
    pub timeout: Option<NonZeroU32>,
    /// etcd's `--max-txn-ops`.
    pub max_operations: Option<NonZeroUsize>,
    /// etcd's `--max-request-bytes`.
    pub max_request_bytes: Option<NonZeroUsize>,
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlace {
    /// Its URL.
    pub url: String,
    /// What is said about etcd.
    pub etcd: EtcdSettings,
}

impl From<String> for StorePlace {
    fn from(url: String) -> Self {
        Self { url, etcd: EtcdSettings::default() }
    }
}

impl StorePlace {
    /// Opens it.
    ///
    /// # Errors
    /// Whatever the backend answers, and `Unsupported` for settings that do not fit.
    pub async fn open(&self) -> StoreResult<Arc<dyn Store>> {
        let (plain, tls) = (self.etcd.clone(), self.etcd.clone());
        Registry::builtin()
            .add(etcd::SCHEME, move |location| plain.clone().open(location, false))
            .add(etcd::TLS_SCHEME, move |location| tls.clone().open(location, true))
            .open(&self.url)
            .await
    }

    /// The directory of a store that has one.
    pub fn directory(&self) -> Option<&Path> {
        match self.url.split_once(':') {
            Some(("embedded", path)) => Some(Path::new(path.strip_prefix("//").unwrap_or(path))),
            Some(_) => None,
            None => Some(Path::new(&self.url)),
        }
    }

    /// The URL for people to read. Somebody may have written a password there, where none belongs.
    pub fn shown(&self) -> String {
        match (self.url.split_once("://"), self.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
            _ => self.url.clone(),
        }
    }
}

impl EtcdSettings {
    async fn open(self, location: String, tls: bool) -> StoreResult<Arc<dyn Store>> {
        Ok(Arc::new(EtcdStore::connect(self.config(&location, tls)?).await?))
    }

    fn config(self, location: &str, tls: bool) -> StoreResult<EtcdConfig> {
        let mut config = EtcdConfig::parse(location, tls)?;
        if !tls && (self.ca.is_some() || self.cert.is_some()) {
            return Err(wrong("`etcd.ca` and `etcd.cert` are for TLS: write the URL as `etcds://`"));
        }
        if !tls && self.password_file.is_some() && !config.is_local() {
            tracing::warn!(
                "the password for etcd goes over the network in the clear: write the URL as `etcds://`"
            );
        }
        config.password = match (&self.user, &self.password_file) {
            (Some(_), Some(path)) => Some(password(path)?),
            (None, Some(_)) => return Err(wrong("`etcd.password_file` is set, but not `etcd.user`")),
            (_, None) => None,
        };
        config.identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(wrong("of `etcd.cert` and `etcd.key` one is missing")),
        };
        (config.user, config.ca) = (self.user, self.ca);
        config.timeout =
            self.timeout.map_or(config.timeout, |seconds| Duration::from_secs(seconds.get().into()));
        config.max_operations = self.max_operations.map_or(config.max_operations, NonZeroUsize::get);
        config.max_request_bytes = self.max_request_bytes.map_or(config.max_request_bytes, NonZeroUsize::get);
        Ok(config)
    }
}

fn password(path: &Path) -> StoreResult<Sensitive<String>> {
    let text = std::fs::read_to_string(path).map(Sensitive::new).map_err(|error| {
        wrong(&format!("`etcd.password_file` is `{}`, which cannot be read", path.display()))
            .with_source(error)
    })?;
    Ok(Sensitive::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
}

fn wrong(text: &str) -> StoreError {
    StoreError::new("etcd", StoreErrorKind::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        let shown = |url: &str| StorePlace::from(url.to_owned()).shown();
        assert_eq!(shown("etcd://me:secret@a:1/x"), "etcd://…@a:1/x");
        assert_eq!(shown("embedded:/var/lib/a@b"), "embedded:/var/lib/a@b");
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_with_what_to_write() {
        let told = |settings: EtcdSettings, expected: &str| {
            let error = settings.config("//a", false).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        told(EtcdSettings { ca: Some("/ca".into()), ..EtcdSettings::default() }, "etcds://");
        told(EtcdSettings { password_file: Some("/p".into()), ..EtcdSettings::default() }, "etcd.user");
        told(EtcdSettings { key: Some("/k".into()), ..EtcdSettings::default() }, "etcd.cert");
    }

    #[test]
    fn a_password_is_read_without_the_end_of_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "two words\r\n").unwrap();
        let settings = EtcdSettings {
            user: Some("cms".into()),
            password_file: Some(file.path().into()),
            timeout: NonZeroU32::new(3),
            ..EtcdSettings::default()
        };
        let config = settings.config("//127.0.0.1", false).unwrap();
        assert_eq!(config.password.unwrap().expose(), "two words");
        assert_eq!((config.user.unwrap().as_str(), config.timeout), ("cms", Duration::from_secs(3)));
    }
}
