// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cms serve`: runs the server with settings from a file, from variables and from flags.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cms_core::policies::trial::Trial;
use serde_json::json;

use super::app::App;
use super::failure::Failure;
use super::output::Format;
use crate::server::Server;
use crate::settings::{Checked, LogFormat, OpaSettings, Settings};
use crate::worker::Worker;
use crate::{hardening, settings, telemetry};

/// Run the server
#[derive(Args)]
#[command(
    after_help = "Every setting can stand in the file, in a variable (`CMS_STORE`, `CMS_SEAL_KEY_FILE`, …) or, \
    where there is one, in a flag; the later wins.\n\nExample:\n  cms init --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key\n  \
    cms serve --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key --listen 0.0.0.0:7080",
    after_long_help = format!("Every setting can stand in the file, in a variable or, where there is one, in a flag; the later \
    wins. In the file, what comes before the dot is the table.\n\nSettings:\n{}\nExample:\n  \
    cms init --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key\n  \
    cms serve --store embedded:/var/lib/cms --seal-key-file /etc/cms/seal.key --listen 0.0.0.0:7080", settings::listing())
)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    place: Place,
    /// Address to listen on
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    #[command(flatten)]
    opa: OpaArgs,
    /// PEM file with the certificate chain
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's key
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// URL of a Redis where servers count their limits together, such as `rediss://HOST:PORT`
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// File that gets the audit trail as JSON lines as well
    #[arg(long, value_name = "FILE")]
    audit_file: Option<PathBuf>,
    /// Form of the log
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, such as `info,cms::http=debug`
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
}

/// A listener of its own for OPA's API.
#[derive(Args)]
pub(crate) struct OpaArgs {
    /// Second address to listen on, for clients of OPA that take only host and port
    #[arg(long, value_name = "ADDR")]
    opa_listen: Option<String>,
    /// The environment that it serves
    #[arg(long, value_name = "PROJECT/ENV")]
    opa_environment: Option<String>,
}

impl OpaArgs {
    /// What is said here, over what is said elsewhere.
    pub(crate) fn over(self, settings: OpaSettings) -> OpaSettings {
        OpaSettings {
            listen: self.opa_listen.or(settings.listen),
            environment: self.opa_environment.or(settings.environment),
        }
    }
}

/// Where an installation is.
#[derive(Args)]
pub(crate) struct Place {
    /// Settings file
    #[arg(long, env = "CMS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// URL of the store, such as `embedded:/var/lib/cms` or `etcd://HOST:PORT,HOST:PORT/PREFIX`
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// File with the seal key
    #[arg(long, value_name = "FILE")]
    seal_key_file: Option<PathBuf>,
}

impl Place {
    /// Reads the settings that are said anywhere.
    ///
    /// # Errors
    /// A usage error that names the key and what to write.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let mut settings = Settings::load(self.config.as_deref(), variable).map_err(wrong)?;
        settings.store = self.store.or(settings.store);
        if let Some(file) = self.seal_key_file {
            settings.seal.use_file(file);
        }
        Ok(settings)
    }
}

/// Runs the server until a signal.
///
/// # Errors
/// A usage error for settings that cannot be used, a failure for anything that keeps it from serving.
pub(crate) async fn run(args: ServeArgs, app: &App) -> Result<(), Failure> {
    let checked = args.checked()?;
    telemetry::start(checked.log_format, checked.log_filter.clone()).map_err(failed)?;
    hardening::apply();
    let server = Server::start(checked, trial()?).await.map_err(failed)?;
    let (url, opa_url, out) = (server.url(), server.opa_url(), app.out.clone());
    let ready = move || match out.format {
        Format::Json => {
            let mut ready = json!({ "url": url });
            if let (Some(opa_url), Some(fields)) = (opa_url, ready.as_object_mut()) {
                fields.insert("opa_url".to_owned(), opa_url.into());
            }
            drop(out.text(&ready.to_string()));
        }
        Format::Table | Format::Yaml => {
            out.say(&format!("listening on {url}"));
            if let Some(opa_url) = opa_url {
                out.say(&format!("OPA's API on {opa_url}"));
            }
        }
    };
    server.run(ready).await.map_err(failed)
}

impl ServeArgs {
    fn checked(self) -> Result<Checked, Failure> {
        let mut settings = self.place.settings()?;
        settings.listen = self.listen.or(settings.listen);
        settings.opa = self.opa.over(settings.opa);
        settings.tls.cert = self.tls_cert.or(settings.tls.cert);
        settings.tls.key = self.tls_key.or(settings.tls.key);
        settings.redis.url = self.redis_url.or(settings.redis.url);
        settings.audit.file = self.audit_file.or(settings.audit.file);
        settings.log.format = self.log_format.unwrap_or(settings.log.format);
        settings.log.filter = self.log_filter.or(settings.log.filter);
        settings.check().map_err(wrong)
    }
}

/// A command line or settings that cannot be used.
pub(crate) fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::usage(error.to_string())
}

/// Anything else that went wrong.
pub(crate) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::error(error.to_string())
}

/// Where the server tries policies.
pub(crate) fn trial() -> Result<Arc<dyn Trial>, Failure> {
    match Worker::new() {
        Ok(worker) => Ok(Arc::new(worker)),
        Err(error) => Err(Failure::error(format!("cannot find the file of this program: {error}"))),
    }
}
