// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `crypto.x509.*` and `crypto.parse_private_keys`: certificates, requests and private keys, in the form
//! that Go's types have in JSON.

mod certificate;
mod chain;
mod names;
mod private;
mod request;

use data_encoding::BASE64;
use regorus::Value;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

use super::{Failure, Outcome, array_of, meter, text};

pub(super) use self::chain::{parse_and_verify_certificates, parse_and_verify_certificates_with_options};
pub(super) use self::private::{parse_keypair, parse_private_keys, parse_rsa_private_key};
pub(super) use self::request::parse_certificate_request;

/// Certificates of one call, and bytes of a text.
const CERTIFICATES: usize = 1_000;
const BYTES: usize = 1 << 20;

/// The certificates in PEM, or one after the other in DER.
pub(super) fn parse_certificates(arguments: &[Value]) -> Outcome {
    let all = certificates(text(arguments, 0)?)?;
    let parsed = all.iter().map(|der| certificate::fields(der)).collect::<Result<Vec<_>, _>>()?;
    Ok(array_of(parsed.into_iter()))
}

/// The DER of each certificate in a text: PEM, base64 of PEM, or base64 of DER.
fn certificates(text: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let blocks = match content(text)? {
        Content::Pem(blocks) => blocks,
        Content::Der(der) => return split(&der),
    };
    let wrong = blocks.iter().find(|block| block.label != "CERTIFICATE");
    match wrong {
        Some(block) => Err(format!("a PEM block `{}` is no certificate", block.label).into()),
        None => blocks
            .iter()
            .map(|block| split(&block.contents))
            .collect::<Result<Vec<_>, _>>()
            .map(|all| all.concat()),
    }
}

/// Splits certificates that follow each other.
fn split(mut der: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, _) = parse_x509_certificate(der)
            .map_err(|error| Failure::Failed(format!("the certificate does not parse: {error}")))?;
        found.push(der.get(..der.len() - rest.len()).unwrap_or_default().to_vec());
        meter::at_most(CERTIFICATES, found.len(), "certificates")?;
        der = rest;
    }
    Ok(found)
}

enum Content {
    Pem(Vec<Pem>),
    Der(Vec<u8>),
}

/// What a text holds: PEM, or base64 of PEM or of DER.
fn content(text: &str) -> Result<Content, Failure> {
    meter::at_most(BYTES, text.len(), "bytes of certificates")?;
    if text.contains("-----BEGIN") {
        return pem(text.as_bytes()).map(Content::Pem);
    }
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| Failure::from("illegal base64 data"))?;
    if bytes.windows(10).any(|part| part == b"-----BEGIN") {
        pem(&bytes).map(Content::Pem)
    } else {
        Ok(Content::Der(bytes))
    }
}

fn pem(bytes: &[u8]) -> Result<Vec<Pem>, Failure> {
    let blocks = Pem::iter_from_buffer(bytes).collect::<Result<Vec<_>, _>>();
    blocks.map_err(|error| Failure::Failed(format!("the PEM does not parse: {error}")))
}

/// An object with these members.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::from(
        members
            .into_iter()
            .map(|(name, value)| (Value::from(name), value))
            .collect::<regorus::value::Object>(),
    )
}

/// Bytes in base64, as Go writes them.
fn bytes(bytes: &[u8]) -> Value {
    Value::from(BASE64.encode(bytes))
}

/// A number of any size, from its bytes.
fn number(bytes: &[u8]) -> Result<Value, Failure> {
    let digits = x509_parser::num_bigint::BigUint::from_bytes_be(bytes).to_string();
    Value::from_numeric_string(&digits).map_err(|_| Failure::from("the number does not parse"))
}

/// A list; `null` if it is empty, as Go writes one that was never filled.
fn list(items: Vec<Value>) -> Value {
    if items.is_empty() { Value::Null } else { Value::from(items) }
}

/// An object identifier.
fn identifier(oid: &x509_parser::asn1_rs::Oid<'_>) -> Value {
    array_of(oid.iter().into_iter().flatten().map(Value::from))
}
