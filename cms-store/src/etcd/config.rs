// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a user may choose about etcd: where it is (the URL), and who CMS is there (never in the URL).

use std::path::PathBuf;
use std::time::Duration;

use cms_core::sensitive::Sensitive;
use cms_core::store::{MAX_KEY_BYTES, StoreError, StoreErrorKind, StoreResult};

use super::error::fail;

/// The folder of CMS in a cluster when the URL names none.
const DEFAULT_PREFIX: &str = "cms";
/// etcd's port for clients.
const DEFAULT_PORT: &str = "2379";
/// What etcd takes unless its operator says otherwise: `--max-txn-ops` and `--max-request-bytes`.
const DEFAULT_OPERATIONS: usize = 128;
const DEFAULT_REQUEST_BYTES: usize = 1536 * 1024;

/// How etcd is reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EtcdConfig {
    /// The members, each `HOST:PORT`, the first one preferred.
    pub endpoints: Vec<String>,
    /// Whether they are spoken to by TLS.
    pub tls: bool,
    /// The folder that all keys lie in, without its last slash.
    pub prefix: String,
    /// The user, where etcd asks for one.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Sensitive<String>>,
    /// A PEM file with the authorities that members' certificates must come from; otherwise the machine's.
    pub ca: Option<PathBuf>,
    /// PEM files with the client's certificate chain and its key, where members ask for them.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// How long a call may take, over all members that are tried.
    pub timeout: Duration,
    /// etcd's `--max-txn-ops`.
    pub max_operations: usize,
    /// etcd's `--max-request-bytes`.
    pub max_request_bytes: usize,
}

impl EtcdConfig {
    /// Reads `HOST:PORT[,HOST:PORT…][/PREFIX]`: what follows `etcd://`, or with `tls`, `etcds://`.
    ///
    /// # Errors
    /// `Unsupported` with what to write.
    pub fn parse(location: &str, tls: bool) -> StoreResult<Self> {
        let location = location.strip_prefix("//").unwrap_or(location);
        let (hosts, prefix) = location.split_once('/').unwrap_or((location, ""));
        if location.contains('@') {
            return Err(wrong(
                "names a user: write it as `etcd.user`, and its password as `etcd.password_file`",
            ));
        }
        if location.contains(['?', '#']) {
            return Err(wrong("has parameters: write `etcds://` for TLS, and all else under `[etcd]`"));
        }
        let endpoints: Vec<String> = hosts.split(',').map(endpoint).collect::<StoreResult<_>>()?;
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { DEFAULT_PREFIX } else { prefix };
        if prefix.len() > MAX_KEY_BYTES {
            return Err(wrong("has a prefix that is too long"));
        }
        Ok(Self {
            endpoints,
            tls,
            prefix: prefix.to_owned(),
            user: None,
            password: None,
            ca: None,
            identity: None,
            timeout: Duration::from_secs(9),
            max_operations: DEFAULT_OPERATIONS,
            max_request_bytes: DEFAULT_REQUEST_BYTES,
        })
    }

    /// Whether all members are on this machine.
    pub fn is_local(&self) -> bool {
        let local = |endpoint: &String| {
            ["localhost:", "127.", "[::1]:"].iter().any(|start| endpoint.starts_with(start))
        };
        self.endpoints.iter().all(local)
    }

    /// The members' URLs.
    pub(super) fn urls(&self) -> impl Iterator<Item = String> {
        let scheme = if self.tls { "https" } else { "http" };
        self.endpoints.iter().map(move |endpoint| format!("{scheme}://{endpoint}"))
    }
}

/// Checks one `HOST[:PORT]`, where a host of IPv6 stands in brackets.
fn endpoint(text: &str) -> StoreResult<String> {
    let outside = text.rsplit(']').next().unwrap_or(text);
    let with_port = if outside.contains(':') { text.to_owned() } else { format!("{text}:{DEFAULT_PORT}") };
    let authority: Option<tonic::codegen::http::uri::Authority> = with_port.parse().ok();
    match authority {
        Some(authority) if !authority.host().is_empty() && authority.port_u16().is_some() => Ok(with_port),
        _ => Err(wrong("names no member: write `etcd://HOST:PORT[,HOST:PORT…][/PREFIX]`")),
    }
}

fn wrong(what: &str) -> StoreError {
    fail(StoreErrorKind::Unsupported, format!("the URL {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_members_and_a_folder() {
        let config = EtcdConfig::parse("//a:1,b,[::1]:3,[::2]/prod/cms/", true).unwrap();
        assert_eq!(config.endpoints, ["a:1", "b:2379", "[::1]:3", "[::2]:2379"]);
        assert_eq!(config.prefix, "prod/cms");
        assert_eq!(config.urls().next().unwrap(), "https://a:1");
        assert_eq!(EtcdConfig::parse("//a", false).unwrap().prefix, "cms");
    }

    #[test]
    fn what_is_no_url_is_refused_with_what_to_write() {
        let cases = [
            ("//", "HOST:PORT"),
            ("//a,,b", "HOST:PORT"),
            ("//a:x", "HOST:PORT"),
            ("//me:pw@a", "password_file"),
        ];
        for (location, expected) in cases {
            let error = EtcdConfig::parse(location, false).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{location}");
            assert!(error.to_string().contains(expected) && !error.to_string().contains("pw"), "{error}");
        }
    }
}
