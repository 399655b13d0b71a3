// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings of the server: a TOML file, then `CMS_…` variables, then flags; the later wins.
//! Everything is checked before a port is bound, and an error names the key and what to write.

mod files;
mod openbao;
mod redis;
mod seal;
mod smtp;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cms_core::ids::{EnvironmentId, ProjectId};
use cms_core::limits::Rate;
use cms_core::secrets::material::Material;
use cms_core::sensitive::Sensitive;
use cms_store::redis::RedisConfig;
use ipnet::IpNet;
use serde::Deserialize;
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use crate::http::Options;
use crate::notify::Smtp;
use crate::place::{EtcdSettings, StorePlace};
use crate::server::OpaPlace;
pub use openbao::OpenBaoSettings;
pub use redis::RedisSettings;
pub use seal::{SealPlace, SealSettings};
pub use smtp::SmtpSettings;

/// Why the settings cannot be used. The text says what to write.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// The settings as they are written. Every key may be left out here; [`Settings::check`] says which
/// may not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address to listen on.
    pub listen: Option<String>,
    /// The URL of the store.
    pub store: Option<String>,
    /// Who CMS is at etcd, where that is the store.
    pub etcd: EtcdSettings,
    /// Where OpenBao is, and what CMS uses it for.
    pub openbao: OpenBaoSettings,
    /// Where the seal key is.
    pub seal: SealSettings,
    /// The certificate, where the server speaks TLS itself.
    pub tls: TlsSettings,
    /// The audit trail.
    pub audit: AuditFileSettings,
    /// The log.
    pub log: LogSettings,
    /// Limits.
    pub limits: LimitSettings,
    /// Proxies in front.
    pub proxy: ProxySettings,
    /// Metrics.
    pub metrics: MetricsSettings,
    /// What is served beside the API.
    pub surfaces: SurfaceSettings,
    /// A listener of its own for OPA's API.
    pub opa: OpaSettings,
    /// Messages to webhooks.
    pub webhooks: WebhookSettings,
    /// Mails to people.
    pub smtp: SmtpSettings,
    /// Where servers count their limits together.
    pub redis: RedisSettings,
}

/// Messages to webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// Networks that are sent to although they are not public, also without TLS.
    pub allow: Vec<String>,
}

/// The certificate chain and its key, as PEM files: both or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The certificate chain.
    pub cert: Option<PathBuf>,
    /// The private key.
    pub key: Option<PathBuf>,
}

/// Where the audit trail goes beside the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditFileSettings {
    /// A file of JSON lines.
    pub file: Option<PathBuf>,
    /// Whether accesses survive a loss of power before they are answered: `process` or `power`.
    pub durability: AccessDurability,
}

/// What an access record rests on before the answer leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessDurability {
    /// It survives the end of the process.
    #[default]
    Process,
    /// It survives the loss of power.
    Power,
}

/// How the log is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `json` or `pretty`.
    pub format: LogFormat,
    /// What is logged, such as `info` or `info,cms::http=debug`.
    pub filter: Option<String>,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Pretty,
}

/// Limits. What is left out has the number of `http::Options`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// The largest JSON body, in bytes.
    pub body_bytes: Option<NonZeroUsize>,
    /// The largest body where documents or many inputs are sent, in bytes.
    pub large_body_bytes: Option<NonZeroUsize>,
    /// The longest time for an answer, in seconds.
    pub request_seconds: Option<NonZeroU32>,
    /// The longest long poll, in seconds.
    pub wait_seconds: Option<NonZeroU32>,
    /// How many requests are served at once.
    pub in_flight: Option<NonZeroU32>,
    /// How many long polls and event streams are held at once.
    pub waiting: Option<NonZeroU32>,
    /// How many connections are open at once.
    pub connections: Option<NonZeroUsize>,
    /// How many requests a minute each caller may make.
    pub caller_per_minute: Option<NonZeroU32>,
    /// How many requests a minute each address may make without a valid credential.
    pub stranger_per_minute: Option<NonZeroU32>,
    /// How often each caller may read at the front door for configs, such as `100/minute`.
    pub config_reads: Option<String>,
    /// How often each caller may write there, such as `20/minute`.
    pub config_writes: Option<String>,
}

/// Proxies in front of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// The networks whose `X-Forwarded-…` headers are believed.
    pub trusted: Vec<String>,
    /// Whether a request from this machine without a mark of a proxy is its operator's, who may unseal
    /// and read metrics; true if not given. Write `false` behind a proxy on this machine that adds no
    /// header.
    pub local_operator: Option<bool>,
}

/// Metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Whether `/metrics` needs no credential from anywhere.
    pub public: bool,
    /// A file with a bearer token that reads `/metrics` and nothing else.
    pub token_file: Option<PathBuf>,
}

/// What is served beside the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SurfaceSettings {
    /// OPA's REST API.
    pub opa: bool,
    /// The simple front door for configs.
    pub config: bool,
    /// The page that shows the API.
    pub docs: bool,
}

/// OPA's API of one environment on a listener of its own: both or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpaSettings {
    /// The address to listen on.
    pub listen: Option<String>,
    /// The environment: `PROJECT/ENVIRONMENT`.
    pub environment: Option<String>,
}

impl Default for SurfaceSettings {
    fn default() -> Self {
        Self { opa: true, config: true, docs: true }
    }
}

/// Settings that were checked: what a server is started with.
#[derive(Debug)]
pub struct Checked {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Where the store is.
    pub store: StorePlace,
    /// Where the seal key is.
    pub seal: SealPlace,
    /// Where new values of secrets lie, if not in the store.
    pub material: Option<Arc<dyn Material>>,
    /// The certificate chain and its key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The audit trail.
    pub audit: AuditFileSettings,
    /// The form of the log.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: EnvFilter,
    /// How many connections are open at once.
    pub connections: usize,
    /// The settings of the router.
    pub options: Options,
    /// A listener of its own for OPA's API.
    pub opa: Option<OpaPlace>,
    /// Networks that webhooks may be in beside the public ones.
    pub webhooks: Vec<IpNet>,
    /// Through which server mails leave, if any.
    pub smtp: Option<Smtp>,
    /// Where servers count their limits together, if anywhere.
    pub redis: Option<RedisConfig>,
}

/// Where a server listens when nothing is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7080";
/// What is logged when nothing is said. The client of OpenBao tells of each refusal several times; whoever made
/// the call tells it once.
const DEFAULT_FILTER: &str = "info,rustify=off,vaultrs=off";
/// How many connections are open at once when nothing is said.
const DEFAULT_CONNECTIONS: usize = 20_000;

/// The shortest token for metrics.
const MIN_TOKEN_BYTES: usize = 16;

/// What a variable's text is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Number,
    Truth,
    List,
}

/// Every key: its table, its name, its form. The variable is `CMS_`, the table, the name.
const KEYS: &[(&str, &str, Form)] = &[
    ("", "listen", Form::Text),
    ("", "store", Form::Text),
    ("seal", "key_file", Form::Text),
    ("seal", "key_env", Form::Text),
    ("seal", "credential", Form::Text),
    ("seal", "transit", Form::Text),
    ("openbao", "address", Form::Text),
    ("openbao", "namespace", Form::Text),
    ("openbao", "ca", Form::Text),
    ("openbao", "timeout", Form::Number),
    ("openbao", "token_file", Form::Text),
    ("openbao", "role_id", Form::Text),
    ("openbao", "secret_id_file", Form::Text),
    ("openbao", "kubernetes_role", Form::Text),
    ("openbao", "jwt_file", Form::Text),
    ("openbao", "auth_mount", Form::Text),
    ("openbao", "mount", Form::Text),
    ("openbao", "prefix", Form::Text),
    ("etcd", "user", Form::Text),
    ("etcd", "password_file", Form::Text),
    ("etcd", "ca", Form::Text),
    ("etcd", "cert", Form::Text),
    ("etcd", "key", Form::Text),
    ("etcd", "timeout", Form::Number),
    ("etcd", "max_operations", Form::Number),
    ("etcd", "max_request_bytes", Form::Number),
    ("tls", "cert", Form::Text),
    ("tls", "key", Form::Text),
    ("audit", "file", Form::Text),
    ("audit", "durability", Form::Text),
    ("log", "format", Form::Text),
    ("log", "filter", Form::Text),
    ("limits", "body_bytes", Form::Number),
    ("limits", "large_body_bytes", Form::Number),
    ("limits", "request_seconds", Form::Number),
    ("limits", "wait_seconds", Form::Number),
    ("limits", "in_flight", Form::Number),
    ("limits", "waiting", Form::Number),
    ("limits", "connections", Form::Number),
    ("limits", "caller_per_minute", Form::Number),
    ("limits", "stranger_per_minute", Form::Number),
    ("limits", "config_reads", Form::Text),
    ("limits", "config_writes", Form::Text),
    ("proxy", "trusted", Form::List),
    ("proxy", "local_operator", Form::Truth),
    ("metrics", "public", Form::Truth),
    ("metrics", "token_file", Form::Text),
    ("surfaces", "opa", Form::Truth),
    ("surfaces", "config", Form::Truth),
    ("surfaces", "docs", Form::Truth),
    ("opa", "listen", Form::Text),
    ("opa", "environment", Form::Text),
    ("webhooks", "allow", Form::List),
    ("smtp", "host", Form::Text),
    ("smtp", "port", Form::Number),
    ("smtp", "tls", Form::Text),
    ("smtp", "ca_file", Form::Text),
    ("smtp", "user", Form::Text),
    ("smtp", "password_file", Form::Text),
    ("smtp", "from", Form::Text),
    ("redis", "url", Form::Text),
    ("redis", "user", Form::Text),
    ("redis", "password_file", Form::Text),
    ("redis", "ca", Form::Text),
    ("redis", "prefix", Form::Text),
    ("redis", "timeout_ms", Form::Number),
];

/// A rate as it is written, or the one that there is.
fn rate(key: &str, text: Option<&str>, otherwise: Rate) -> Result<Rate, SettingsError> {
    let Some(text) = text else { return Ok(otherwise) };
    text.parse().map_err(|_| wrong(key, text, "a rate such as `200/minute`"))
}

impl Settings {
    /// Reads a file, if one is named, and then the variables that `variable` knows.
    ///
    /// # Errors
    /// If the file cannot be read, holds an unknown key or a value of the wrong form.
    pub fn load(
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut table = match file {
            None => Table::new(),
            Some(path) => read(path)?,
        };
        for (section, name, form) in KEYS {
            let variable_name = variable_name(section, name);
            let Some(text) = variable(&variable_name).filter(|text| !text.is_empty()) else { continue };
            let value = form.parse(&text).ok_or_else(|| {
                SettingsError(format!(
                    "the variable `{variable_name}` is `{text}`, but must be {}",
                    form.words()
                ))
            })?;
            set(&mut table, section, name, value);
        }
        table.try_into().map_err(|error: toml::de::Error| {
            SettingsError(format!("the settings cannot be used: {}", error.to_string().trim()))
        })
    }

    /// Checks everything that can be checked without starting.
    ///
    /// # Errors
    /// The first key that is missing or wrong, and what to write.
    pub fn check(self) -> Result<Checked, SettingsError> {
        let listen = self.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
        let listen = listen
            .parse()
            .map_err(|_| wrong("listen", listen, "an address and port such as `0.0.0.0:7080`"))?;
        let filter = self.log.filter.as_deref().unwrap_or(DEFAULT_FILTER);
        let log_filter = EnvFilter::try_new(filter)
            .map_err(|_| wrong("log.filter", filter, "a list such as `info` or `info,cms::http=debug`"))?;
        let openbao = self.openbao.client()?;
        Ok(Checked {
            listen,
            store: StorePlace { url: self.store.clone().ok_or_else(no_store)?, etcd: self.etcd.clone() },
            seal: self.seal.place(openbao.as_ref())?,
            material: self.openbao.material(openbao.as_ref())?,
            tls: self.tls.files()?,
            log_format: self.log.format,
            log_filter,
            connections: self.limits.connections.map_or(DEFAULT_CONNECTIONS, NonZeroUsize::get),
            options: self.options()?,
            opa: self.opa.place(self.surfaces.opa)?,
            webhooks: networks("webhooks.allow", &self.webhooks.allow)?,
            smtp: self.smtp.server()?,
            redis: self.redis.config()?,
            audit: self.audit,
        })
    }

    fn options(&self) -> Result<Options, SettingsError> {
        let mut options = Options::default();
        let limits = &self.limits;
        let seconds = |number: NonZeroU32| Duration::from_secs(number.get().into());
        options.body_bytes = limits.body_bytes.map_or(options.body_bytes, NonZeroUsize::get);
        options.large_body_bytes =
            limits.large_body_bytes.map_or(options.large_body_bytes, NonZeroUsize::get);
        options.large_body_bytes = options.large_body_bytes.max(options.body_bytes);
        options.request_time = limits.request_seconds.map_or(options.request_time, seconds);
        options.wait_time = limits.wait_seconds.map_or(options.wait_time, seconds);
        options.in_flight = limits.in_flight.map_or(options.in_flight, NonZeroU32::get);
        options.waiting = limits.waiting.map_or(options.waiting, NonZeroU32::get);
        options.caller_per_minute = limits.caller_per_minute;
        options.stranger_per_minute = limits.stranger_per_minute.unwrap_or(options.stranger_per_minute);
        options.trusted_proxies = networks("proxy.trusted", &self.proxy.trusted)?;
        options.local_operator = self.proxy.local_operator.unwrap_or(true);
        options.public_metrics = self.metrics.public;
        options.metrics_token = self.metrics.token()?;
        options.strict_transport = self.tls.cert.is_some();
        options.opa = self.surfaces.opa;
        options.config = self.surfaces.config;
        options.config_reads =
            rate("limits.config_reads", limits.config_reads.as_deref(), options.config_reads)?;
        options.config_writes =
            rate("limits.config_writes", limits.config_writes.as_deref(), options.config_writes)?;
        options.docs = self.surfaces.docs;
        Ok(options)
    }
}

impl TlsSettings {
    fn files(&self) -> Result<Option<(PathBuf, PathBuf)>, SettingsError> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing("tls.key", "/etc/cms/tls.key", "--tls-key")),
            (None, Some(_)) => Err(missing("tls.cert", "/etc/cms/tls.crt", "--tls-cert")),
        }
    }
}

impl OpaSettings {
    /// Where it is served, if anywhere.
    ///
    /// # Errors
    /// If one of the two is missing or wrong, or the surface is switched off.
    pub fn place(&self, is_served: bool) -> Result<Option<OpaPlace>, SettingsError> {
        let (listen, environment) = match (&self.listen, &self.environment) {
            (None, None) => return Ok(None),
            (Some(listen), Some(environment)) => (listen, environment),
            (None, Some(_)) => return Err(missing("opa.listen", "127.0.0.1:8181", "--opa-listen")),
            (Some(_), None) => return Err(missing("opa.environment", "rag/default", "--opa-environment")),
        };
        if !is_served {
            return Err(wrong("surfaces.opa", "false", "`true` where `opa.listen` is set"));
        }
        let address = listen.parse();
        let address =
            address.map_err(|_| wrong("opa.listen", listen, "an address and port such as `0.0.0.0:8181`"))?;
        let (project, name) = environment.split_once('/').unwrap_or((environment, ""));
        let (Ok(project), Ok(name)) = (ProjectId::parse(project), EnvironmentId::parse(name)) else {
            return Err(wrong(
                "opa.environment",
                environment,
                "a project and its environment such as `rag/default`",
            ));
        };
        Ok(Some(OpaPlace { listen: address, project, environment: name }))
    }
}

impl MetricsSettings {
    fn token(&self) -> Result<Option<Sensitive<String>>, SettingsError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map(Sensitive::new).map_err(|error| {
            SettingsError(format!("`metrics.token_file` is `{shown}`, which cannot be read: {error}"))
        })?;
        let token = text.expose().trim();
        if token.len() < MIN_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(
                "metrics.token_file",
                &shown,
                "a file with one line of 16 printable characters or more, such as `openssl rand -hex 32` writes",
            ));
        }
        Ok(Some(Sensitive::new(token.to_owned())))
    }
}

/// The networks of a list.
fn networks(key: &str, list: &[String]) -> Result<Vec<IpNet>, SettingsError> {
    let network = |text: &String| {
        let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
        let parsed: Option<IpNet> = text.parse().ok().or_else(address);
        parsed.ok_or_else(|| wrong(key, text, "a list of networks such as `10.0.0.0/8`"))
    };
    list.iter().map(network).collect()
}

impl Form {
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Text => Some(Value::String(text.to_owned())),
            Self::Number => text.parse().ok().map(Value::Integer),
            Self::Truth => text.parse().ok().map(Value::Boolean),
            Self::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a whole number",
            Self::Truth => "`true` or `false`",
            Self::List => "a list with commas",
        }
    }
}

/// Every setting with its variable and its form, a line each, for people to read.
pub fn listing() -> String {
    let mut lines = String::new();
    for (section, name, form) in KEYS {
        let key = if section.is_empty() { (*name).to_owned() } else { format!("{section}.{name}") };
        let variable = variable_name(section, name);
        lines.push_str(&format!("  {key:<28}{variable:<34}{}\n", form.words()));
    }
    lines
}

/// The variable of a key.
fn variable_name(section: &str, name: &str) -> String {
    let joined = if section.is_empty() { format!("CMS_{name}") } else { format!("CMS_{section}_{name}") };
    joined.to_ascii_uppercase()
}

fn read(path: &Path) -> Result<Table, SettingsError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError(format!("the settings file `{shown}` cannot be read: {error}")))?;
    // Parsed in its final form first: these errors point at the line.
    toml::from_str::<Settings>(&text)
        .map_err(|error| SettingsError(format!("the settings file `{shown}` cannot be used: {error}")))?;
    text.parse()
        .map_err(|error| SettingsError(format!("the settings file `{shown}` cannot be used: {error}")))
}

fn set(table: &mut Table, section: &str, name: &str, value: Value) {
    if section.is_empty() {
        table.insert(name.to_owned(), value);
    } else if let Value::Table(inner) =
        table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()))
    {
        inner.insert(name.to_owned(), value);
    }
}

/// What a key lacks that other keys ask for.
fn needs(key: &str, example: &str, because: &str) -> SettingsError {
    SettingsError(format!(
        "`{key}` is not set, but {because}: write it in the settings file, such as `{example}`"
    ))
}

fn no_store() -> SettingsError {
    missing("store", "embedded:/var/lib/cms", "--store")
}

fn missing(key: &str, example: &str, flag: &str) -> SettingsError {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let variable = variable_name(section, name);
    SettingsError(format!(
        "`{key}` is not set: give `{flag} {example}`, set {variable}, or write it in the settings file"
    ))
}

fn wrong(key: &str, text: &str, must: &str) -> SettingsError {
    SettingsError(format!("`{key}` is `{text}`, but must be {must}"))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
