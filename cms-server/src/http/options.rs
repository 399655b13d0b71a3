// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a host can choose when it mounts the router. Every limit has a number here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cms_core::limits::{Rate, RateLimiter};
use cms_core::sensitive::Sensitive;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

/// Settings of the router. Begin with `Options::default()` and change fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How large a JSON body may be, in bytes.
    pub body_bytes: usize,
    /// How large a body may be where documents or many inputs are sent, in bytes.
    pub large_body_bytes: usize,
    /// How long a body may pause.
    pub body_idle: Duration,
    /// How long an answer may take.
    pub request_time: Duration,
    /// How long a long poll may wait.
    pub wait_time: Duration,
    /// How many requests are served at once.
    pub in_flight: u32,
    /// How many long polls and event streams are held at once.
    pub waiting: u32,
    /// How many requests each caller may make a minute. `None`: a generous limit that answers do
    /// not mention.
    pub caller_per_minute: Option<NonZeroU32>,
    /// How many requests without a valid credential each address may make a minute.
    pub stranger_per_minute: NonZeroU32,
    /// Who counts these limits for all servers together. While it does not answer, each counts alone.
    pub shared_limits: Option<Arc<dyn RateLimiter>>,
    /// The proxies whose `X-Forwarded-For` and the like are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a request from this machine itself, without a mark of a proxy, is its operator's, who
    /// may unseal and read metrics without a credential. Not so behind a proxy on this machine that
    /// leaves no mark.
    pub local_operator: bool,
    /// Whether `/metrics` needs no credential from anywhere; else only from the machine itself.
    pub public_metrics: bool,
    /// A bearer token that reads `/metrics` and nothing else, for Prometheus.
    pub metrics_token: Option<Sensitive<String>>,
    /// Whether answers tell browsers to insist on TLS. For servers that speak TLS.
    pub strict_transport: bool,
    /// Whether OPA's REST API is served under `/opa`.
    pub opa: bool,
    /// Whether the simple front door for configs is served under `/config`.
    pub config: bool,
    /// How often each caller may read at the front door for configs.
    pub config_reads: Rate,
    /// How often each caller may write there.
    pub config_writes: Rate,
    /// Whether the page that shows the API is served.
    pub docs: bool,
    /// Cancelled when the server is about to stop: long polls and event streams end then, and the
    /// server says that it is not ready.
    pub closing: CancellationToken,
    /// Which request headers forward authentication hands to policies, in lower case.
    pub verify_headers: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            large_body_bytes: 4 * 1024 * 1024,
            body_idle: Duration::from_secs(30),
            request_time: Duration::from_secs(30),
            wait_time: Duration::from_secs(60),
            in_flight: 1024,
            waiting: 10_000,
            caller_per_minute: None,
            stranger_per_minute: STRANGER_PER_MINUTE,
            shared_limits: None,
            trusted_proxies: Vec::new(),
            local_operator: true,
            public_metrics: false,
            metrics_token: None,
            strict_transport: false,
            opa: true,
            config: true,
            config_reads: Rate::per_minute(CONFIG_READS),
            config_writes: Rate::per_minute(CONFIG_WRITES),
            docs: true,
            closing: CancellationToken::new(),
            verify_headers: ["accept", "content-type", "host", "origin", "user-agent", "x-request-id"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

/// What the front door for configs allows when nothing is said, each minute.
const CONFIG_READS: NonZeroU32 = non_zero(100);
const CONFIG_WRITES: NonZeroU32 = non_zero(20);
/// What each caller may ask a minute when nothing else is said: more than one server answers.
pub(crate) const CALLER_PER_MINUTE: NonZeroU32 = non_zero(12_000_000);
const STRANGER_PER_MINUTE: NonZeroU32 = non_zero(6_000);

const fn non_zero(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
