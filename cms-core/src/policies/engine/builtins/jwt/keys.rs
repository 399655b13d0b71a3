// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys as policies give them: a certificate or a public key in PEM, a JSON Web Key, or a set of them.

use serde_json::Value as Json;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;

use super::super::Failure;
use super::token::decoded;

/// A key to verify with.
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The only algorithm that it is meant for, if it says so.
    pub(super) algorithm: Option<String>,
    pub(super) material: Material,
}

pub(super) enum Material {
    Secret(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of a curve, uncompressed.
    Point(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    /// A `SubjectPublicKeyInfo` in DER, which says itself what it is.
    Info(Vec<u8>),
    /// A kind of key that no algorithm takes.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    /// The bytes of a coordinate.
    pub(super) fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl Key {
    pub(super) fn secret(text: &str) -> Self {
        Self { id: None, algorithm: None, material: Material::Secret(text.as_bytes().to_vec()) }
    }
}

/// Reads keys.
pub(super) fn read(text: &str) -> Result<Vec<Key>, Failure> {
    if text.contains("-----BEGIN") {
        return from_pem(text).map(|material| vec![Key { id: None, algorithm: None, material }]);
    }
    let parsed: Json = serde_json::from_str(text)
        .map_err(|error| Failure::Failed(format!("the key is neither PEM nor a JWK: {error}")))?;
    match parsed.get("keys").and_then(Json::as_array) {
        Some(keys) => keys.iter().map(from_jwk).collect(),
        None => Ok(vec![from_jwk(&parsed)?]),
    }
}

fn from_pem(text: &str) -> Result<Material, Failure> {
    let (rest, pem) = parse_x509_pem(text.as_bytes()).map_err(|_| Failure::from("the key is no PEM"))?;
    if rest.iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Err("extra data after a PEM certificate block".into());
    }
    match pem.label.as_str() {
        "CERTIFICATE" => {
            let (_, certificate) = parse_x509_certificate(&pem.contents)
                .map_err(|error| Failure::Failed(format!("the certificate does not parse: {error}")))?;
            Ok(Material::Info(certificate.public_key().raw.to_vec()))
        }
        "PUBLIC KEY" => Ok(Material::Info(pem.contents)),
        other => Err(format!("a PEM block `{other}` holds no key to verify with").into()),
    }
}

fn from_jwk(jwk: &Json) -> Result<Key, Failure> {
    let text = |name: &str| jwk.get(name).and_then(Json::as_str);
    let bytes = |name: &str| member(jwk, name);
    let material = match text("kty") {
        Some("oct") => Material::Secret(bytes("k")?),
        Some("RSA") => Material::Rsa { n: unsigned(bytes("n")?), e: unsigned(bytes("e")?) },
        Some("EC") => match text("crv").and_then(Curve::named) {
            Some(curve) => Material::Point(curve, point(curve, &bytes("x")?, &bytes("y")?)),
            None => Material::Other,
        },
        Some("OKP") if text("crv") == Some("Ed25519") => Material::Ed25519(bytes("x")?),
        Some("OKP") => Material::Other,
        other => return Err(format!("unknown type of key `{}`", other.unwrap_or_default()).into()),
    };
    Ok(Key { id: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), material })
}

/// A member of a key, decoded.
pub(super) fn member(jwk: &Json, name: &str) -> Result<Vec<u8>, Failure> {
    match jwk.get(name).and_then(Json::as_str) {
        Some(text) => decoded(text),
        None => Err(format!("the key has no `{name}`").into()),
    }
}

/// Drops leading zeros.
pub(super) fn unsigned(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.into_iter().skip(zeros).collect()
}

/// A point of a curve, uncompressed.
pub(super) fn point(curve: Curve, x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], padded(x, curve.width()).as_slice(), &padded(y, curve.width())].concat()
}

/// Fills up with leading zeros.
pub(super) fn padded(bytes: &[u8], width: usize) -> Vec<u8> {
    let zeros = width.saturating_sub(bytes.len());
    std::iter::repeat_n(0, zeros).chain(bytes.iter().copied()).collect()
}
