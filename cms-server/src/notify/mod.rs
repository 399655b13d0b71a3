// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sending messages to webhooks over HTTP; mails are in `smtp`. A receiver's address is its owner's choice, so nothing is taken
//! from it on trust: names are resolved once and the checked address is dialled, redirects are not followed,
//! what comes back is not read.

mod address;
mod smtp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cms_core::webhooks::{Message, Notifier};
use cms_core::{Error, Result};
use ipnet::IpNet;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};

use address::is_public;
pub use smtp::{Smtp, SmtpMailer, SmtpTls};

/// How long one message may take, from the look-up of the name to the head of the answer.
const TIME: Duration = Duration::from_secs(10);

/// What every address must be. The one text for whatever is wrong, so that nobody learns from it what is
/// there.
const RULE: &str = "a webhook's `url` must be `https://` with a public host, without credentials; \
    this server's settings may allow others with `webhooks.allow`";

/// Sends messages over HTTP.
#[derive(Debug)]
pub struct HttpNotifier {
    allowed: Vec<IpNet>,
    tls: ClientConfig,
}

impl HttpNotifier {
    /// A notifier that reaches public addresses, and private ones in these networks.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(allowed: Vec<IpNet>) -> std::result::Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Self { allowed, tls: builder.with_root_certificates(roots).with_no_client_auth() })
    }

    fn is_allowed(&self, ip: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&ip.to_canonical()))
    }

    /// The address to dial: of those that a name has, all must be fit, so that which one is taken does not
    /// matter.
    async fn resolve(&self, url: &Url) -> Option<SocketAddr> {
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, port)).await.ok()?.collect();
        let is_fit = |address: &SocketAddr| {
            let ip = address.ip();
            self.is_allowed(ip) || (url.scheme() == "https" && is_public(ip))
        };
        found.iter().all(is_fit).then(|| found.first().copied()).flatten()
    }

    async fn exchange(&self, message: &Message) -> std::result::Result<(), &'static str> {
        let refused = "the address is none that this server sends to";
        let url = self.parsed(&message.url).ok_or(refused)?;
        let address = self.resolve(&url).await.ok_or(refused)?;
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .resolve(url.host_str().unwrap_or_default(), address)
            .connect_timeout(TIME)
            .timeout(TIME)
            .user_agent("cms-webhooks/1")
            .build()
            .map_err(|_| "the connection could not be set up")?;
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", message.timestamp.to_string())
            .header("webhook-signature", &message.signature)
            .body(message.body.clone())
            .send()
            .await;
        // The body of the answer is never read: the connection goes with the client.
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) if answer.status().is_redirection() => {
                Err("the receiver redirected, which is not followed")
            }
            Ok(_) => Err("the receiver did not accept it"),
            Err(error) if error.is_timeout() => Err("the receiver did not answer in time"),
            Err(_) => Err("the receiver could not be reached"),
        }
    }

    /// The address, if its form is one that is sent to.
    fn parsed(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_known = url.scheme() == "https" || (url.scheme() == "http" && !self.allowed.is_empty());
        (is_plain && is_known && url.has_host()).then_some(url)
    }
}

#[async_trait]
impl Notifier for HttpNotifier {
    fn check(&self, url: &str) -> Result<()> {
        let refused = || Error::unprocessable("webhook_address", RULE);
        let url = self.parsed(url).ok_or_else(refused)?;
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(ip) if !is_public(ip) && !self.is_allowed(ip) => Err(refused()),
            Err(_) if is_local_name(host) && self.allowed.is_empty() => Err(refused()),
            _ => Ok(()),
        }
    }

    async fn send(&self, message: &Message) -> std::result::Result<(), String> {
        match tokio::time::timeout(TIME, self.exchange(message)).await {
            Ok(sent) => sent.map_err(str::to_owned),
            Err(_) => Err(String::from("the receiver did not answer in time")),
        }
    }
}

/// Whether a name means this machine or its neighbours whatever it resolves to.
fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let is_under =
        |zone: &str| host.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !host.contains('.') || ["localhost", "local", "internal", "home.arpa"].iter().any(|zone| is_under(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_could_lead_inside_are_refused_with_one_text() {
        let notifier = HttpNotifier::new(Vec::new()).unwrap();
        for bad in [
            "http://example.org/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://017700000001/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://255.255.255.255/",
            "https://localhost/",
            "https://a.localhost./",
            "https://metadata.google.internal/",
            "https://printer.local/",
            "https://intranet/",
            "https://user@example.org/",
            "https://user:password@example.org/",
            "gopher://example.org/",
            "file:///etc/passwd",
            "ftp://example.org/",
            "example.org",
            "https://",
            "",
        ] {
            let error = notifier.check(bad).expect_err(bad);
            assert_eq!((error.code(), error.message()), ("webhook_address", RULE), "{bad}");
        }
        for good in ["https://example.org/hook?token=1", "https://1.1.1.1/", "https://[2606:4700::1111]/"] {
            assert!(notifier.check(good).is_ok(), "{good}");
        }
        let inside = HttpNotifier::new(vec!["127.0.0.0/8".parse().unwrap()]).unwrap();
        assert!(inside.check("http://127.0.0.1:8080/").is_ok());
        assert!(inside.check("http://10.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_dialled() {
        let notifier = HttpNotifier::new(Vec::new()).unwrap();
        let url = Url::parse("https://localhost:1/").unwrap();
        assert_eq!(notifier.resolve(&url).await, None);
    }
}
