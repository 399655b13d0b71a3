// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server as a whole: opens the store, unseals the installation, binds, serves, drains.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cms_core::audit::AuditSettings;
use cms_core::audit::sink::{AuditSink, FileSink, FileSync};
use cms_core::crypto::Seal;
use cms_core::ids::{EnvironmentId, ProjectId};
use cms_core::policies::trial::Trial;
use cms_core::store::Durability;
use cms_core::{Cms, CmsBuilder, Error};
use cms_store::redis::{RedisConfig, RedisLimits};
use tokio_util::sync::CancellationToken;

use crate::http::{Options, opa_alone, standalone};
use crate::listen::Listener;
use crate::notify::{HttpNotifier, SmtpMailer};
use crate::place::StorePlace;
use crate::settings::{AccessDurability, AuditFileSettings, Checked};
use crate::shutdown::{on_hangup, on_signal};
use crate::tls::{Tls, TlsError};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store, the seal or the installation.
    #[error("{0}")]
    Cms(#[source] Error),
    /// The store cannot be opened.
    #[error("the store `{url}` cannot be opened: {source}")]
    Store {
        /// Its URL.
        url: String,
        /// Why.
        source: cms_core::store::StoreError,
    },
    /// There is no store.
    #[error("there is nothing at `{url}`; check `store`, or make a new installation with `cms init`")]
    Absent {
        /// Where it was looked for.
        url: String,
    },
    /// The certificate or its key.
    #[error("{0}")]
    Tls(#[source] TlsError),
    /// The address.
    #[error("the address `{address}` cannot be listened on: {source}; choose another with `{flag}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that names another.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Signals.
    #[error("signals cannot be handled: {0}")]
    Signals(#[source] io::Error),
}

/// A server that is bound and ready to serve.
#[derive(Debug)]
pub struct Server {
    cms: Cms,
    listener: Listener,
    options: Options,
    tls: Option<Tls>,
    address: SocketAddr,
    opa: Option<(Listener, OpaPlace)>,
}

/// Where OPA's surface of one environment is served by itself.
#[derive(Debug, Clone)]
pub struct OpaPlace {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The project.
    pub project: ProjectId,
    /// Its environment.
    pub environment: EnvironmentId,
}

impl Server {
    /// Does everything that can fail before the port is bound, and then binds it. Policies are tried with
    /// `trial` before they are written.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn start(checked: Checked, trial: Arc<dyn Trial>) -> Result<Self, StartError> {
        let tls = checked.tls.as_ref().map(|(certificate, key)| Tls::load(certificate, key));
        let tls = tls.transpose().map_err(StartError::Tls)?;
        let audit = audit_settings(&checked.audit).await.map_err(StartError::Cms)?;
        let builder = configured(&checked).await?.wait_for_seal();
        let notifier =
            HttpNotifier::new(checked.webhooks).map_err(|error| StartError::Cms(Error::internal(error)))?;
        let mut builder = builder.audit(audit).trial(trial).notifier(Arc::new(notifier));
        if let Some(smtp) = &checked.smtp {
            let mailer = SmtpMailer::new(smtp).map_err(|error| StartError::Cms(Error::internal(error)))?;
            builder = builder.mailer(Arc::new(mailer));
        }
        let mut options = checked.options;
        if let Some(redis) = &checked.redis {
            let limits = shared_limits(redis)?;
            options.shared_limits = Some(limits.clone());
            tokio::spawn(async move {
                if let Err(error) = limits.reach().await {
                    tracing::warn!(%error, "each server counts its limits alone");
                }
            });
        }
        let cms = builder.build().await.map_err(StartError::Cms)?;
        let server = Self::bind(cms, checked.listen, tls, checked.connections, options).await?;
        match checked.opa {
            Some(place) => server.with_opa(place, checked.connections).await,
            None => Ok(server),
        }
    }

    /// Binds the port for a CMS that is open.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn bind(
        cms: Cms,
        address: SocketAddr,
        tls: Option<Tls>,
        connections: usize,
        options: Options,
    ) -> Result<Self, StartError> {
        let refused = |source| StartError::Bind { address, source, flag: "--listen" };
        let listener = Listener::bind(address, tls.clone(), connections).await.map_err(refused)?;
        let address = listener.address().map_err(refused)?;
        Ok(Self { cms, listener, options, tls, address, opa: None })
    }

    /// Binds a second port, for OPA's surface of one environment.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn with_opa(mut self, mut place: OpaPlace, connections: usize) -> Result<Self, StartError> {
        let refused = |source| StartError::Bind { address: place.listen, source, flag: "--opa-listen" };
        let listener = Listener::bind(place.listen, self.tls.clone(), connections).await.map_err(refused)?;
        place.listen = listener.address().map_err(refused)?;
        self.opa = Some((listener, place));
        Ok(self)
    }

    /// Where the server can be reached.
    pub fn url(&self) -> String {
        self.url_of(self.address)
    }

    /// Where OPA's surface of one environment can be reached, if it is served by itself.
    pub fn opa_url(&self) -> Option<String> {
        self.opa.as_ref().map(|(_, place)| self.url_of(place.listen))
    }

    fn url_of(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// The CMS behind the server.
    pub fn cms(&self) -> &Cms {
        &self.cms
    }

    /// Serves until a signal, then drains. `ready` is called once requests are answered.
    ///
    /// # Errors
    /// If signals cannot be handled.
    pub async fn run(self, ready: impl FnOnce()) -> Result<(), StartError> {
        let stop = CancellationToken::new();
        on_signal(stop.clone()).map_err(StartError::Signals)?;
        let (tls, cms) = (self.tls.clone(), self.cms.clone());
        on_hangup(move || reload(tls.as_ref(), &cms)).map_err(StartError::Signals)?;
        ready();
        self.serve(stop).await;
        Ok(())
    }

    /// Serves until `stop`, then drains.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { cms, listener, mut options, address, opa, .. } = self;
        options.closing = stop.clone();
        let whole = standalone(cms.clone(), options);
        let alone = async {
            if let Some((listener, OpaPlace { listen, project, environment })) = opa {
                tracing::info!(address = %listen, %project, %environment, "serving OPA's API");
                listener.serve(opa_alone(whole.clone(), &project, &environment), stop.clone()).await;
            }
        };
        tracing::info!(%address, "serving");
        tokio::join!(listener.serve(whole.clone(), stop.clone()), alone);
        cms.shutdown().await;
        tracing::info!("stopped");
    }
}

/// Begins to build a CMS on a store that is there: opening one would make it, also for a URL with a
/// slip in it.
///
/// # Errors
/// If there is none, or it cannot be opened.
pub async fn existing(place: &StorePlace, seal: Arc<dyn Seal>) -> Result<CmsBuilder, StartError> {
    if place.directory().is_some_and(|path| !path.exists()) {
        return Err(StartError::Absent { url: place.shown() });
    }
    builder(place, seal).await
}

/// The same with everything that the settings say of where things lie.
///
/// # Errors
/// As [`existing`].
pub async fn configured(checked: &Checked) -> Result<CmsBuilder, StartError> {
    let builder = existing(&checked.store, checked.seal.seal()).await?;
    Ok(match &checked.material {
        Some(material) => builder.material(material.clone()),
        None => builder,
    })
}

/// Begins to build a CMS on a store.
///
/// # Errors
/// If the store cannot be opened.
pub async fn builder(place: &StorePlace, seal: Arc<dyn Seal>) -> Result<CmsBuilder, StartError> {
    let store = place.open().await.map_err(|source| StartError::Store { url: place.shown(), source })?;
    Ok(Cms::builder(store, seal))
}

/// The limits that all servers with the same Redis share. Redis need not be there.
///
/// # Errors
/// For settings that cannot be used.
pub fn shared_limits(config: &RedisConfig) -> Result<Arc<RedisLimits>, StartError> {
    let limits = RedisLimits::new(config);
    limits.map(Arc::new).map_err(|error| StartError::Cms(Error::invalid(error.to_string())))
}

/// How the audit trail is kept, as the settings say.
///
/// # Errors
/// If its file cannot be opened.
pub async fn audit_settings(settings: &AuditFileSettings) -> Result<AuditSettings, Error> {
    let (access_durability, sync) = match settings.durability {
        AccessDurability::Process => (Durability::Process, FileSync::default()),
        AccessDurability::Power => (Durability::Power, FileSync::Always),
    };
    let mut sinks: Vec<Arc<dyn AuditSink>> = Vec::new();
    if let Some(path) = &settings.file {
        let opened = FileSink::open(path, sync).await;
        sinks.push(Arc::new(opened.map_err(|error| unwritable(path, &error))?));
    }
    Ok(AuditSettings { access_durability, sinks, ..AuditSettings::default() })
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let text = format!("the audit file `{}` cannot be opened: {error}; mend `audit.file`", path.display());
    Error::unavailable("audit_file", text)
}

/// Reads the certificate again and opens the audit files anew.
fn reload(tls: Option<&Tls>, cms: &Cms) {
    let cms = cms.clone();
    tokio::spawn(async move {
        if let Err(error) = cms.reopen_audit().await {
            tracing::error!(%error, "the audit file cannot be opened anew");
        }
    });
    if let Some(tls) = tls {
        match tls.reload() {
            Ok(()) => tracing::info!("read the certificate again"),
            Err(error) => tracing::error!(%error, "the certificate cannot be used; the one before stays"),
        }
    }
}
