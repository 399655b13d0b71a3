// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS for the listener: rustls with its provider named explicitly, TLS 1.2 and 1.3, and a
//! certificate that can be exchanged while the server runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use cms_core::clock::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a certificate or key cannot be used. The texts name the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of the kind.
    #[error("the file `{}` holds no usable {what}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `certificate chain` or `private key`.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// The key does not belong to the certificate, or TLS refuses it.
    #[error("the certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// What a TLS listener needs. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Tls {
    acceptor: Acceptor,
    certificate: Arc<Current>,
    files: Arc<(PathBuf, PathBuf)>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Tls {
    /// Loads the certificate chain and the key from PEM files.
    ///
    /// # Errors
    /// If a file cannot be used, or the key is not the certificate's.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Arc::new(Current(ArcSwap::from_pointee(load(certificate, key, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| TlsError::Unusable(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
            certificate: current,
            files: Arc::new((certificate.to_owned(), key.to_owned())),
        })
    }

    /// Reads the files again; new connections get the new certificate. After an error the old one
    /// stays in use.
    ///
    /// # Errors
    /// As [`Tls::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let (certificate, key) = &*self.files;
        let fresh = load(certificate, key, &aws_lc_rs::default_provider())?;
        self.certificate.0.store(Arc::new(fresh));
        Ok(())
    }

    /// Makes a TLS stream of an accepted connection. Who speaks plain HTTP is told so.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0_u8; 1];
        let peeked = stream.peek(&mut first).await?;
        if peeked == 1 && first.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(tell_plain(stream).await);
        }
        self.acceptor.0.accept(stream).await
    }
}

const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 54\r\n\r\nthis port speaks TLS: use an address with `https://`.\n";

async fn tell_plain(mut stream: TcpStream) -> io::Error {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut head = [0_u8; 4096];
    // The answer is a courtesy: whether it arrives changes nothing.
    let _ = stream.read(&mut head).await;
    let _ = stream.write_all(PLAIN).await;
    let _ = stream.shutdown().await;
    io::Error::new(io::ErrorKind::InvalidData, "the client spoke plain HTTP")
}

fn load(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let file = |path: &Path, what, cause: String| TlsError::File { path: path.to_owned(), what, cause };
    let chain = chain(certificate).map_err(|cause| file(certificate, "certificate chain", cause))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, "private key", error.to_string()))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| TlsError::Unusable(error.to_string()))
}

/// Reads the certificates of a PEM file, the server's own first.
pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let chain: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(chain) }
}

/// When the first certificate of a PEM file ends.
///
/// # Errors
/// Why it cannot be told.
pub(crate) fn expiry(path: &Path) -> Result<Timestamp, String> {
    let chain = chain(path)?;
    let own = chain.first().ok_or("there is no certificate in it")?;
    let (_, certificate) = x509_parser::parse_x509_certificate(own).map_err(|error| error.to_string())?;
    Ok(Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1000)))
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = write(dir.path(), "a.example");
        let tls = Tls::load(&certificate, &key).unwrap();
        let first = tls.certificate.0.load_full();
        write(dir.path(), "b.example");
        tls.reload().unwrap();
        let second = tls.certificate.0.load_full();
        assert_ne!(first.cert, second.cert);
        std::fs::write(&certificate, "no certificate").unwrap();
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains("cert.pem"), "{error}");
        assert_eq!(tls.certificate.0.load_full().cert, second.cert);
    }

    #[test]
    fn the_courtesy_counts_its_bytes() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
