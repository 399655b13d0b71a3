// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls to OpenBao by somebody who is logged in. Its connections are made here, so that none of them rests on a
//! provider of cryptography that the process happens to have, nor on variables of the environment.

use std::sync::Arc;
use std::time::Duration;

use cms_core::{Error, Result};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use vaultrs::api::EndpointMiddleware;
use vaultrs::client::{VaultClient, VaultClientSettings};
use vaultrs::error::ClientError;

use super::circuit::{Circuit, chance};
use super::config::{OpenBaoConfig, is_path};
use super::error::Trouble;
use super::login::Session;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How often standbys may point to another server.
const REDIRECTS: usize = 2;

/// OpenBao, for whatever CMS uses it for. Cloning shares it.
#[derive(Debug, Clone)]
pub struct OpenBao {
    session: Arc<Session>,
    circuit: Arc<Circuit>,
}

/// Makes clients for a token.
pub(super) struct Door {
    config: OpenBaoConfig,
    http: reqwest::Client,
}

impl OpenBao {
    /// Prepares everything and asks nobody: whoever calls first logs in.
    ///
    /// # Errors
    /// `Invalid` if the authorities or the namespace cannot be used.
    pub fn new(config: OpenBaoConfig) -> Result<Self> {
        if config.namespace.as_deref().is_some_and(|namespace| !is_path(namespace)) {
            return Err(Error::invalid("OpenBao's namespace must be names with slashes between them"));
        }
        let door = Door { http: http(&config)?, config };
        Ok(Self { session: Session::new(door), circuit: Arc::default() })
    }

    /// Why calls would fail at once, if they would.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        self.circuit.check()
    }

    /// Makes a call. What a new login or a moment may mend is tried once more: neither has changed anything.
    pub(super) async fn call<T, C, F>(&self, call: C) -> Result<T, Trouble>
    where
        C: Fn(Arc<VaultClient>) -> F + Send + Sync,
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let pass = self.circuit.enter()?;
        let answer = self.attempt(call).await;
        match &answer {
            Err(trouble) if !trouble.is_answer() => pass.failed(trouble),
            _ => pass.answered(),
        }
        answer
    }

    async fn attempt<T, C, F>(&self, call: C) -> Result<T, Trouble>
    where
        C: Fn(Arc<VaultClient>) -> F + Send + Sync,
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let token = self.session.token().await?;
        let answer = call(token.client.clone()).await.map_err(Trouble::from);
        match answer {
            Err(Trouble::Forbidden(_)) => {
                let renewed = self.session.instead_of(&token).await?;
                Ok(call(renewed.client.clone()).await?)
            }
            Err(Trouble::Behind(_)) => {
                tokio::time::sleep(Duration::from_millis(100 + chance(100))).await;
                Ok(call(token.client.clone()).await?)
            }
            other => other,
        }
    }
}

impl Door {
    pub(super) fn config(&self) -> &OpenBaoConfig {
        &self.config
    }

    /// A client with a token; an empty one is none.
    pub(super) fn client(&self, token: &str) -> VaultClient {
        let address = self.config.address.clone();
        let namespace = self.config.namespace.clone();
        VaultClient {
            http: rustify::Client::new(address.as_str(), self.http.clone()),
            middle: EndpointMiddleware {
                token: token.to_owned(),
                version: String::from("v1"),
                wrap: None,
                namespace: namespace.clone(),
            },
            settings: VaultClientSettings {
                address,
                ca_certs: Vec::new(),
                identity: None,
                timeout: Some(self.config.timeout),
                token: String::new(),
                verify: true,
                version: 1,
                wrapping: false,
                namespace,
                proxy: None,
            },
        }
    }
}

fn http(config: &OpenBaoConfig) -> Result<reqwest::Client> {
    let scheme = config.address.scheme().to_owned();
    let redirect = Policy::custom(move |attempt| {
        if attempt.url().scheme() != scheme || attempt.previous().len() > REDIRECTS {
            return attempt.stop();
        }
        attempt.follow()
    });
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(config)?)
        .redirect(redirect)
        .no_proxy()
        .connect_timeout(CONNECT.min(config.timeout))
        .timeout(config.timeout)
        .user_agent("cms/1")
        .build()
        .map_err(Error::internal)
}

fn tls(config: &OpenBaoConfig) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &config.ca {
        Some(path) => {
            let unusable = |why: &str| {
                let shown = path.display();
                Error::invalid(format!("`{shown}` holds no certificates for OpenBao that can be used: {why}"))
            };
            let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error.to_string()))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| unusable(&error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(&error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("it has none"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(Error::internal)?.with_root_certificates(roots).with_no_client_auth())
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("address", &self.config.address.as_str()).finish_non_exhaustive()
    }
}
