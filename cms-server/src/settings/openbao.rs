// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of OpenBao: where it is, who CMS is there, and what CMS uses it for.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cms_core::secrets::material::Material;
use cms_store::openbao::{Login, OpenBao, OpenBaoConfig, OpenBaoMaterial};
use serde::Deserialize;

use super::{SettingsError, missing, wrong};

/// Where OpenBao is, if it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenBaoSettings {
    /// Its address.
    pub address: Option<String>,
    /// The namespace that all paths are in.
    pub namespace: Option<String>,
    /// The authorities that its certificate must come from, as a PEM file.
    pub ca: Option<PathBuf>,
    /// How long a call may take, in seconds.
    pub timeout: Option<NonZeroU32>,
    /// A file with a token: one way to log in.
    pub token_file: Option<PathBuf>,
    /// The id of an AppRole: another one.
    pub role_id: Option<String>,
    /// A file with the AppRole's secret id.
    pub secret_id_file: Option<PathBuf>,
    /// A role of the Kubernetes method: a third one.
    pub kubernetes_role: Option<String>,
    /// A file with the service account's token, where it is not where Kubernetes puts it.
    pub jwt_file: Option<PathBuf>,
    /// Where the method is mounted, if not under its own name.
    pub auth_mount: Option<String>,
    /// The KV engine, version 2, that keeps the values of secrets; without it, the store does.
    pub mount: Option<String>,
    /// The folder in it.
    pub prefix: Option<String>,
}

/// Where Kubernetes puts a pod's token.
const JWT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const DEFAULT_PREFIX: &str = "cms";

impl OpenBaoSettings {
    /// A client, if OpenBao is used at all. Nobody is asked yet.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn client(&self) -> Result<Option<OpenBao>, SettingsError> {
        let Some(address) = &self.address else {
            return match self {
                settings if *settings == Self::default() => Ok(None),
                _ => Err(missing("openbao.address", "https://bao.example.org:8200", "--config")),
            };
        };
        let unfit =
            |error: cms_core::Error| SettingsError(format!("`openbao` cannot be used: {}", error.message()));
        let mut config = OpenBaoConfig::new(address, self.login()?).map_err(unfit)?;
        config.namespace.clone_from(&self.namespace);
        config.ca.clone_from(&self.ca);
        config.timeout =
            self.timeout.map_or(config.timeout, |seconds| Duration::from_secs(seconds.get().into()));
        if config.is_exposed() {
            tracing::warn!(
                "tokens for OpenBao go over the network in the clear: write `openbao.address` as `https://`"
            );
        }
        OpenBao::new(config).map(Some).map_err(unfit)
    }

    /// What keeps the values of secrets there, if anything.
    ///
    /// # Errors
    /// What is wrong.
    pub fn material(&self, client: Option<&OpenBao>) -> Result<Option<Arc<dyn Material>>, SettingsError> {
        let (Some(client), Some(mount)) = (client, &self.mount) else { return Ok(None) };
        let prefix = self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX);
        let material = OpenBaoMaterial::new(client.clone(), mount, prefix);
        let material = material.map_err(|error| wrong("openbao.mount", mount, error.message()))?;
        Ok(Some(Arc::new(material)))
    }

    fn login(&self) -> Result<Login, SettingsError> {
        let mount = |own: &str| self.auth_mount.clone().unwrap_or_else(|| own.to_owned());
        match (&self.token_file, &self.role_id, &self.kubernetes_role) {
            (Some(file), None, None) => Ok(Login::Token { file: file.clone() }),
            (None, Some(role_id), None) => {
                let file = self.secret_id_file.clone();
                Ok(Login::AppRole {
                    mount: mount("approle"),
                    role_id: role_id.clone(),
                    secret_id_file: file
                        .ok_or_else(|| missing("openbao.secret_id_file", "/etc/cms/openbao.secret-id", "--config"))?,
                })
            }
            (None, None, Some(role)) => Ok(Login::Kubernetes {
                mount: mount("kubernetes"),
                role: role.clone(),
                jwt_file: self.jwt_file.clone().unwrap_or_else(|| JWT.into()),
            }),
            (None, None, None) => Err(missing("openbao.token_file", "/etc/cms/openbao.token", "--config")),
            _ => Err(SettingsError(
                "of `openbao.token_file`, `openbao.role_id` and `openbao.kubernetes_role` only one may be set"
                    .to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> OpenBaoSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn nothing_said_is_nothing_used() {
        assert!(settings("").client().unwrap().is_none());
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (text, named) in [
            ("token_file = '/t'", "openbao.address"),
            ("address = 'http://127.0.0.1:1'", "openbao.token_file"),
            ("address = 'http://127.0.0.1:1'\nrole_id = 'r'", "openbao.secret_id_file"),
            ("address = 'http://127.0.0.1:1'\nrole_id = 'r'\ntoken_file = '/t'", "only one"),
            ("address = 'bao'\ntoken_file = '/t'", "https://bao.example.org:8200"),
            ("address = 'https://bao'\ntoken_file = '/t'\nca = '/nonexistent'", "/nonexistent"),
            ("address = 'https://bao'\ntoken_file = '/t'\nnamespace = 'a//b'", "namespace"),
        ] {
            let error = settings(text).client().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_mount_makes_it_keep_the_values() {
        let text = "address = 'http://127.0.0.1:1'\ntoken_file = '/t'\n";
        let without = settings(text);
        let client = without.client().unwrap();
        assert!(without.material(client.as_ref()).unwrap().is_none());
        let with = settings(&format!("{text}mount = 'kv'"));
        assert!(with.material(client.as_ref()).unwrap().is_some());
        let bad = settings(&format!("{text}mount = '../x'"));
        assert!(bad.material(client.as_ref()).unwrap_err().to_string().contains("openbao.mount"));
    }
}
