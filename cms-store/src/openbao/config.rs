// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a user may choose about OpenBao: where it is, and who CMS is there.

use std::path::PathBuf;
use std::time::Duration;

use cms_core::{Error, Result};
use reqwest::Url;

/// How OpenBao is reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenBaoConfig {
    /// Its address, such as `https://bao.example.org:8200`.
    pub address: Url,
    /// The namespace that all paths are in, if any.
    pub namespace: Option<String>,
    /// Who CMS is there.
    pub login: Login,
    /// A PEM file with the authorities that its certificate must come from; otherwise the machine's.
    pub ca: Option<PathBuf>,
    /// How long a call may take.
    pub timeout: Duration,
}

/// Who CMS is at OpenBao. Files are read at each login, so that others may replace what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Whoever holds the token in a file.
    Token {
        /// The file.
        file: PathBuf,
    },
    /// An AppRole.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// The role's id.
        role_id: String,
        /// A file with the secret id.
        secret_id_file: PathBuf,
    },
    /// The service account of a Kubernetes pod.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// A file with the account's token.
        jwt_file: PathBuf,
    },
}

impl OpenBaoConfig {
    /// Checks an address and takes everything else as it usually is.
    ///
    /// # Errors
    /// `Invalid` with what to write.
    pub fn new(address: &str, login: Login) -> Result<Self> {
        let must = "an address such as `https://bao.example.org:8200`, without user, path or parameters";
        let url = Url::parse(address).ok().filter(is_plain);
        let address = url.ok_or_else(|| Error::invalid(format!("OpenBao's address must be {must}")))?;
        Ok(Self { address, namespace: None, login, ca: None, timeout: Duration::from_secs(5) })
    }

    /// Whether it is spoken to in the clear on another machine.
    pub fn is_exposed(&self) -> bool {
        let host = self.address.host_str().unwrap_or_default();
        let is_local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        self.address.scheme() == "http" && !is_local
    }
}

fn is_plain(url: &Url) -> bool {
    ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Whether a text can be a mount, a prefix or a namespace: names with slashes between them.
pub(super) fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !name.starts_with('.')
    };
    text.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> Result<OpenBaoConfig> {
        OpenBaoConfig::new(address, Login::Token { file: "/token".into() })
    }

    #[test]
    fn an_address_is_a_host_and_nothing_else() {
        for good in ["http://127.0.0.1:8200", "https://bao.example.org", "https://[::1]:8200/"] {
            assert!(config(good).is_ok(), "{good}");
        }
        for bad in ["bao:8200", "ftp://bao", "https://me:pw@bao", "https://bao/v1", "https://bao?x", ""] {
            let error = config(bad).unwrap_err();
            assert!(error.message().contains("https://bao.example.org:8200"), "{bad}");
            assert!(!error.message().contains("pw"));
        }
    }

    #[test]
    fn only_this_machine_may_be_spoken_to_in_the_clear() {
        for (address, exposed) in [
            ("http://127.0.0.1:1", false),
            ("http://localhost", false),
            ("http://bao", true),
            ("https://bao", false),
        ] {
            assert_eq!(config(address).unwrap().is_exposed(), exposed, "{address}");
        }
    }

    #[test]
    fn paths_are_names_with_slashes() {
        for good in ["secret", "team-a/kv_v2", "a.b"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "a b", "a?b", "ä"] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
