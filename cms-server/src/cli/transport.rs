// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection to a server: TLS roots, time limits, and words for a connection that fails.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use rustls::{ClientConfig, InvalidMessage, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::failure::{Exit, Failure};
use super::pinned::Pinned;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds the HTTP client for one server.
///
/// # Errors
/// A failure when the certificate file cannot be used.
pub(crate) fn client(address: &Url, ca_cert: Option<&Path>) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(ca_cert)?)
        // A redirect could lead the token elsewhere; the address must be right at first.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("cms/", env!("CARGO_PKG_VERSION")));
    if is_loopback(address) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Failure::error(format!("cannot set up HTTP: {error}")))
}

/// Reads the address of a server, which may carry a path prefix.
///
/// # Errors
/// A usage error when it is no `http` or `https` URL, or carries credentials.
pub(crate) fn address(text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| Failure::usage(format!("`{text}` is not the address of a server: {why}"));
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it must start with `http://` or `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::usage("the address must not hold credentials; use `cms login` or CMS_TOKEN"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must not have a query or fragment"));
    }
    Ok(url)
}

/// Tells whether the address is this machine itself.
pub(crate) fn is_loopback(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Puts a failed exchange into words, with what to do next.
pub(crate) fn explain(error: &reqwest::Error, address: &Url) -> Failure {
    let unavailable = |words: String| Failure::new(Exit::Unavailable, words);
    if speaks_plain_http(error) {
        let plain = address.as_str().replacen("https://", "http://", 1);
        return unavailable(format!("the server at {address} answered plain HTTP, not TLS"))
            .hint(format!("try `--addr {plain}`, or put TLS on the server"));
    }
    if address.scheme() == "http" && speaks_no_http(error) {
        let secure = address.as_str().replacen("http://", "https://", 1);
        return unavailable(format!("the server at {address} did not answer in HTTP; it may want TLS"))
            .hint(format!("try `--addr {secure}`"));
    }
    if let Some(rustls::Error::InvalidCertificate(reason)) = tls_error(error) {
        return unavailable(format!("the certificate of {address} is not trusted: {reason}"))
            .hint("name the authority that signed it with `--ca-cert FILE`");
    }
    if error.is_timeout() {
        return unavailable(format!("the server at {address} did not answer in time"));
    }
    if error.is_connect() {
        return unavailable(format!("cannot reach the server at {address}: {}", root_cause(error)))
            .hint("is it running? `cms dev` starts one; `--addr` and CMS_ADDR name another");
    }
    unavailable(format!("the exchange with {address} broke off: {}", root_cause(error)))
}

fn tls(ca_cert: Option<&Path>) -> Result<ClientConfig, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::error(format!("cannot set up TLS: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_cert else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    };
    let named = add_roots(&mut roots, path)?;
    let pinned = Pinned::new(named, roots, provider).map_err(|error| failed(&error))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth())
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong =
        |why: String| Failure::error(format!("cannot use the certificates in `{}`: {why}", path.display()));
    let mut named = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
        named.push(certificate);
    }
    if named.is_empty() { Err(wrong("there is no PEM certificate in it".to_owned())) } else { Ok(named) }
}

fn speaks_plain_http(error: &reqwest::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)))
}

// A TLS server answers a plain request with an alert, which hyper cannot parse, or hangs up.
fn speaks_no_http(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_parse() || e.is_incomplete_message())
    })
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    chain(error).find_map(inside)
}

// `io::Error` hides the error that it carries from the chain of sources, and may carry another one.
fn inside<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    match cause.downcast_ref::<io::Error>() {
        Some(carrier) => inside(carrier.get_ref()?),
        None => cause.downcast_ref(),
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_scheme_and_no_credentials() {
        assert_eq!(address("https://cms.example/base").unwrap().path(), "/base");
        for wrong in ["cms.example", "127.0.0.1:8080", "ftp://x", "http://u:p@x", "http://x/?a=1", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (text, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://localhost", true),
            ("http://[::1]:80", true),
            ("http://10.0.0.1", false),
            ("http://localhost.evil.example", false),
        ] {
            assert_eq!(is_loopback(&address(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = tls(Some(file.path())).unwrap_err().to_string();
        assert!(refused.contains("no PEM certificate"), "{refused}");
    }
}
