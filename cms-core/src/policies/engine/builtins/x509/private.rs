// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Private keys: in PKCS#1, PKCS#8 and SEC 1, as a JSON Web Key or in the form of Go's types.

use data_encoding::BASE64URL_NOPAD;
use regorus::Value;
use x509_parser::der_parser::ber::{BerObject, BerObjectContent};
use x509_parser::der_parser::der::parse_der;
use x509_parser::parse_x509_certificate;

use super::super::{Failure, Outcome, array_of, text};
use super::certificate;
use super::{Content, bytes, certificates, content, number, object};

/// A private key, by its numbers.
enum Key {
    /// Modulus, exponents, factors, and what follows from these, in the order of PKCS#1.
    Rsa(Vec<Vec<u8>>),
    Ec {
        curve: &'static str,
        private: Vec<u8>,
        public: Vec<u8>,
    },
    /// Seed and public key.
    Ed25519 {
        seed: Vec<u8>,
        public: Vec<u8>,
    },
}

/// The first private key in a text, as a JSON Web Key.
pub(in super::super) fn parse_rsa_private_key(arguments: &[Value]) -> Outcome {
    let keys = keys(text(arguments, 0)?)?;
    keys.first().ok_or_else(|| Failure::from("the text holds no private key"))?.jwk()
}

/// All private keys in a text, in the form of Go's types.
pub(in super::super) fn parse_private_keys(arguments: &[Value]) -> Outcome {
    let text = text(arguments, 0)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let keys = match keys(text) {
        Err(limit @ Failure::Limit(_)) => return Err(limit),
        other => other.unwrap_or_default(),
    };
    Ok(array_of(keys.iter().map(Key::fields).collect::<Result<Vec<_>, _>>()?.into_iter()))
}

/// A certificate and its private key, in the form of Go's `tls.Certificate`.
pub(in super::super) fn parse_keypair(arguments: &[Value]) -> Outcome {
    let chain = certificates(text(arguments, 0)?)?;
    let keys = keys(text(arguments, 1)?)?;
    let (Some(leaf), Some(key)) = (chain.first(), keys.first()) else {
        return Err("the texts hold no certificate and key".into());
    };
    if !key.fits(leaf)? {
        return Err("the private key does not match the public key of the certificate".into());
    }
    Ok(object([
        ("Certificate", array_of(chain.iter().map(|der| bytes(der)))),
        ("Leaf", certificate::fields(leaf)?),
        ("OCSPStaple", Value::Null),
        ("PrivateKey", key.fields()?),
        ("SignedCertificateTimestamps", Value::Null),
        ("SupportedSignatureAlgorithms", Value::Null),
    ]))
}

/// The private keys in PEM; other blocks are passed over.
fn keys(text: &str) -> Result<Vec<Key>, Failure> {
    let blocks = match content(text)? {
        Content::Pem(blocks) => blocks,
        Content::Der(der) => return Key::any(&der).map(|key| vec![key]),
    };
    let mut found = Vec::new();
    for block in blocks {
        found.push(match block.label.as_str() {
            "RSA PRIVATE KEY" => Key::pkcs1(&block.contents)?,
            "EC PRIVATE KEY" => Key::sec1(&block.contents, None)?,
            "PRIVATE KEY" => Key::pkcs8(&block.contents)?,
            _ => continue,
        });
    }
    Ok(found)
}

impl Key {
    fn any(der: &[u8]) -> Result<Self, Failure> {
        Self::pkcs8(der).or_else(|_| Self::pkcs1(der)).or_else(|_| Self::sec1(der, None))
    }

    fn pkcs1(der: &[u8]) -> Result<Self, Failure> {
        let parts = sequence(der)?;
        let numbers: Vec<Vec<u8>> = parts.iter().skip(1).take(8).filter_map(integer).collect();
        if numbers.len() == 8 { Ok(Self::Rsa(numbers)) } else { Err(unread()) }
    }

    fn pkcs8(der: &[u8]) -> Result<Self, Failure> {
        let parts = sequence(der)?;
        let algorithm = parts.get(1).and_then(|part| part.as_sequence().ok()).ok_or_else(unread)?;
        let inner = parts.get(2).and_then(|part| part.as_slice().ok()).ok_or_else(unread)?;
        let oid = |index: usize| {
            algorithm.get(index).and_then(|part| part.as_oid().ok()).map(|oid| oid.to_id_string())
        };
        match oid(0).as_deref() {
            Some("1.2.840.113549.1.1.1") => Self::pkcs1(inner),
            Some("1.2.840.10045.2.1") => Self::sec1(inner, oid(1)),
            Some("1.3.101.112") => {
                let (_, seed) = parse_der(inner).map_err(|_| unread())?;
                Self::ed25519(seed.as_slice().map_err(|_| unread())?)
            }
            _ => Err(unread()),
        }
    }

    fn sec1(der: &[u8], curve: Option<String>) -> Result<Self, Failure> {
        let parts = sequence(der)?;
        let private = parts.get(1).and_then(|part| part.as_slice().ok()).ok_or_else(unread)?.to_vec();
        let tagged = |tag: u32| {
            let part =
                parts.iter().find(|part| part.header.is_contextspecific() && part.header.tag().0 == tag);
            part.and_then(|part| part.as_slice().ok())
                .and_then(|inner| parse_der(inner).ok())
                .map(|(_, inner)| inner)
        };
        let curve = curve.or_else(|| tagged(0)?.as_oid().ok().map(|oid| oid.to_id_string()));
        let curve = match curve.as_deref() {
            Some("1.2.840.10045.3.1.7") => "P-256",
            Some("1.3.132.0.34") => "P-384",
            Some("1.3.132.0.35") => "P-521",
            _ => return Err(unread()),
        };
        let public = tagged(1).and_then(|part| part.as_bitstring().ok().map(|bits| bits.data.to_vec()));
        Ok(Self::Ec { curve, private, public: public.ok_or_else(unread)? })
    }

    fn ed25519(seed: &[u8]) -> Result<Self, Failure> {
        use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unread())?;
        Ok(Self::Ed25519 { seed: seed.to_vec(), public: pair.public_key().as_ref().to_vec() })
    }

    /// Whether a certificate is for this key.
    fn fits(&self, der: &[u8]) -> Result<bool, Failure> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|_| unread())?;
        let public = &certificate.public_key().subject_public_key.data;
        Ok(match self {
            Self::Rsa(numbers) => {
                let own = numbers.first().map(|modulus| number(modulus)).transpose()?;
                Some(&certificate::public_key(certificate.public_key())?["N"]) == own.as_ref()
            }
            Self::Ec { public: own, .. } | Self::Ed25519 { public: own, .. } => public.as_ref() == own,
        })
    }

    fn jwk(&self) -> Outcome {
        let text = |bytes: &[u8]| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            Value::from(BASE64URL_NOPAD.encode(bytes.get(zeros..).unwrap_or_default()))
        };
        Ok(match self {
            Self::Rsa(numbers) => {
                let mut members = vec![("kty", Value::from("RSA"))];
                let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
                members.extend(names.into_iter().zip(numbers.iter().map(|number| text(number))));
                Value::from(
                    members
                        .into_iter()
                        .map(|(name, value)| (Value::from(name), value))
                        .collect::<regorus::value::Object>(),
                )
            }
            Self::Ec { curve, private, public } => {
                let whole = |bytes: &[u8]| Value::from(BASE64URL_NOPAD.encode(bytes));
                let (x, y) = halves(public);
                object([
                    ("kty", "EC".into()),
                    ("crv", (*curve).into()),
                    ("d", whole(private)),
                    ("x", whole(x)),
                    ("y", whole(y)),
                ])
            }
            Self::Ed25519 { seed, public } => {
                let whole = |bytes: &[u8]| Value::from(BASE64URL_NOPAD.encode(bytes));
                object([
                    ("kty", "OKP".into()),
                    ("crv", "Ed25519".into()),
                    ("d", whole(seed)),
                    ("x", whole(public)),
                ])
            }
        })
    }

    fn fields(&self) -> Outcome {
        Ok(match self {
            Self::Rsa(numbers) => {
                let numbers = numbers.iter().map(|bytes| number(bytes)).collect::<Result<Vec<_>, _>>()?;
                let at = |index: usize| numbers.get(index).cloned().unwrap_or(Value::Null);
                let precomputed = object([
                    ("CRTValues", Value::new_array()),
                    ("Dp", at(5)),
                    ("Dq", at(6)),
                    ("Qinv", at(7)),
                ]);
                object([
                    ("D", at(2)),
                    ("E", at(1)),
                    ("N", at(0)),
                    ("Precomputed", precomputed),
                    ("Primes", Value::from(vec![at(3), at(4)])),
                ])
            }
            Self::Ec { private, public, .. } => {
                let (x, y) = halves(public);
                object([
                    ("Curve", Value::new_object()),
                    ("D", number(private)?),
                    ("X", number(x)?),
                    ("Y", number(y)?),
                ])
            }
            Self::Ed25519 { seed, public } => bytes(&[seed.as_slice(), public].concat()),
        })
    }
}

/// The coordinates of an uncompressed point.
fn halves(point: &[u8]) -> (&[u8], &[u8]) {
    let coordinates = point.get(1..).unwrap_or_default();
    coordinates.split_at_checked(coordinates.len() / 2).unwrap_or_default()
}

fn sequence(der: &[u8]) -> Result<Vec<BerObject<'_>>, Failure> {
    let (_, parsed) = parse_der(der).map_err(|_| unread())?;
    match parsed.content {
        BerObjectContent::Sequence(parts) => Ok(parts),
        _ => Err(unread()),
    }
}

fn integer(part: &BerObject<'_>) -> Option<Vec<u8>> {
    match part.content {
        BerObjectContent::Integer(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

/// Says no more: details might tell of the key.
fn unread() -> Failure {
    Failure::from("the private key does not parse")
}
