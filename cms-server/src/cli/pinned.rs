// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Trust in the certificates of a file: as authorities, and one that a server shows itself. `openssl
//! req -x509` marks what it makes as an authority, which a strict reader refuses from a server.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What the strict verifier says of an authority's certificate that a server shows as its own.
const SHOWN_BY_A_SERVER: &str = "CaUsedAsEndEntity";

/// Verifies as usual; in addition, a server may show one of the certificates of the file itself.
#[derive(Debug)]
pub(super) struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Pinned {
    /// Trusts these certificates and no others.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn new(
        named: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Self, rustls::client::VerifierBuilderError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { usual, named })
    }

    /// Whether the only objection is that the certificate is an authority's, and the user named
    /// exactly this one. By then the verifier has found it valid at this time.
    fn is_named(&self, shown: &CertificateDer<'_>, objection: &Error) -> bool {
        let Error::InvalidCertificate(CertificateError::Other(reason)) = objection else { return false };
        reason.to_string() == SHOWN_BY_A_SERVER && self.named.iter().any(|named| named == shown)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.usual.verify_server_cert(shown, intermediates, name, ocsp, now) {
            Err(objection) if self.is_named(shown, &objection) => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verify(
        named: &CertificateDer<'static>,
        shown: &CertificateDer<'_>,
        name: &str,
        now: UnixTime,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pinned = Pinned::new(vec![named.clone()], roots, provider).unwrap();
        pinned.verify_server_cert(shown, &[], &name.to_owned().try_into().unwrap(), &[], now).is_ok()
    }

    #[test]
    fn only_the_named_certificate_is_taken_and_only_for_its_name_and_time() {
        let (named, other) = (authority("localhost"), authority("localhost"));
        let now = UnixTime::now();
        assert!(verify(&named, &named, "localhost", now));
        assert!(!verify(&named, &named, "elsewhere.test", now), "another name");
        assert!(!verify(&named, &other, "localhost", now), "another certificate");
        let never = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
        assert!(!verify(&named, &named, "localhost", never), "not valid yet");
    }
}
