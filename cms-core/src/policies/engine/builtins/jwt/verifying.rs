// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verifies signatures: which algorithm takes which kind of key.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::keys::{Curve, Key, Material};

/// A signature algorithm.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    Ecdsa(Curve, &'static EcdsaVerificationAlgorithm),
    EdDsa,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hmac(hmac::HMAC_SHA256),
            "HS384" => Self::Hmac(hmac::HMAC_SHA384),
            "HS512" => Self::Hmac(hmac::HMAC_SHA512),
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::Ecdsa(Curve::P256, &signature::ECDSA_P256_SHA256_FIXED),
            "ES384" => Self::Ecdsa(Curve::P384, &signature::ECDSA_P384_SHA384_FIXED),
            "ES512" => Self::Ecdsa(Curve::P521, &signature::ECDSA_P521_SHA512_FIXED),
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    pub(super) fn is_symmetric(self) -> bool {
        matches!(self, Self::Hmac(_))
    }

    /// Whether a signature is one of this algorithm by this key. A key of another kind made none.
    pub(super) fn verify(self, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (self, &key.material) {
            (Self::Hmac(algorithm), Material::Secret(secret)) => {
                hmac::verify(&hmac::Key::new(algorithm, secret), message, signature).is_ok()
            }
            (Self::Rsa(parameters), Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Self::Rsa(parameters), Material::Info(info)) => by(parameters, info),
            (Self::Ecdsa(curve, algorithm), Material::Point(of, point)) if curve == *of => {
                by(algorithm, point)
            }
            (Self::Ecdsa(_, algorithm), Material::Info(info)) => by(algorithm, info),
            (Self::EdDsa, Material::Ed25519(point)) => by(&signature::ED25519, point),
            (Self::EdDsa, Material::Info(info)) => by(&signature::ED25519, info),
            _ => false,
        }
    }
}

/// Whether one of the keys verifies: the one that the header names, if there is such a key, else any
/// that is not meant for another algorithm.
pub(super) fn by_any(
    keys: &[Key],
    kid: Option<&str>,
    algorithm: &str,
    verify: impl Fn(&Key) -> bool,
) -> bool {
    let named = kid.filter(|kid| !kid.is_empty());
    if let Some(key) = named.and_then(|kid| keys.iter().find(|key| key.id.as_deref() == Some(kid))) {
        return verify(key);
    }
    let meant = |key: &&Key| key.algorithm.as_deref().is_none_or(|own| own == algorithm);
    keys.iter().filter(meant).any(verify)
}
