// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of Redis.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use cms_store::redis::RedisConfig;
use serde::Deserialize;

use super::files::{read_bytes, read_password};
use super::{SettingsError, needs, wrong};

/// Where the servers count their limits together. Without a URL, each counts alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSettings {
    /// `redis://HOST[:PORT][/DATABASE]`, or with TLS `rediss://`.
    pub url: Option<String>,
    /// The user, where Redis has users.
    pub user: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// The authorities that its certificate must come from, as a PEM file.
    pub ca: Option<PathBuf>,
    /// What all keys begin with: one for each installation.
    pub prefix: Option<String>,
    /// How long a request waits for Redis, in milliseconds.
    pub timeout_ms: Option<NonZeroU32>,
}

impl RedisSettings {
    /// How Redis is reached, if it is named.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub(super) fn config(&self) -> Result<Option<RedisConfig>, SettingsError> {
        let Some(url) = &self.url else {
            return match self {
                settings if *settings == Self::default() => Ok(None),
                _ => Err(needs("redis.url", "rediss://redis.example.org", "the other keys of `redis` are")),
            };
        };
        let invalid = |error| SettingsError(format!("`redis` cannot be used: {error}"));
        let mut config = RedisConfig::parse(url).map_err(invalid)?;
        if self.ca.is_some() && !config.is_tls() {
            return Err(wrong("redis.url", url, "a URL with `rediss://` where `redis.ca` is set"));
        }
        if self.user.is_some() && self.password_file.is_none() {
            return Err(needs("redis.password_file", "/etc/cms/redis.password", "`redis.user` is"));
        }
        config.user = self.user.clone();
        config.password = self
            .password_file
            .as_deref()
            .map(|path| read_password("redis.password_file", path))
            .transpose()?;
        config.ca = self.ca.as_deref().map(|path| read_bytes("redis.ca", path)).transpose()?;
        if let Some(prefix) = &self.prefix {
            config.prefix.clone_from(prefix);
        }
        if let Some(timeout) = self.timeout_ms {
            config.timeout = Duration::from_millis(timeout.get().into());
        }
        Ok(Some(config))
    }
}
