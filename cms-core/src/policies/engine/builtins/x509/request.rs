// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests for certificates.

use regorus::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use super::super::{Failure, Outcome, array_of, text};
use super::certificate::{extension, key_algorithm, public_key, signature_algorithm};
use super::names::{Alternatives, name};
use super::{Content, bytes, content, identifier, list, object};

/// What a request says, in PEM or DER.
pub(in super::super) fn parse_certificate_request(arguments: &[Value]) -> Outcome {
    let der = match content(text(arguments, 0)?)? {
        Content::Pem(blocks) => match blocks.into_iter().next() {
            Some(block) if block.label == "CERTIFICATE REQUEST" => block.contents,
            _ => return Err("the PEM holds no certificate request".into()),
        },
        Content::Der(der) => der,
    };
    let (_, request) = X509CertificationRequest::from_der(&der)
        .map_err(|error| Failure::Failed(format!("the certificate request does not parse: {error}")))?;
    let info = &request.certification_request_info;
    let mut names = Alternatives::default();
    for asked in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(given) = asked {
            names = Alternatives::read(&given.general_names);
        }
    }
    let extensions: Vec<Value> = info
        .iter_attributes()
        .filter_map(|attribute| match attribute.parsed_attribute() {
            x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(asked) => Some(asked),
            _ => None,
        })
        .flat_map(|asked| asked.extensions.iter().map(extension))
        .collect();
    let key = &info.subject_pki;
    Ok(object([
        ("Attributes", attributes(&extensions)),
        ("DNSNames", list(names.dns)),
        ("EmailAddresses", list(names.emails)),
        ("Extensions", list(extensions)),
        ("ExtraExtensions", Value::Null),
        ("IPAddresses", list(names.addresses)),
        ("PublicKey", public_key(key)?),
        ("PublicKeyAlgorithm", key_algorithm(key)),
        ("Raw", bytes(&der)),
        ("RawSubject", bytes(info.subject.as_raw())),
        ("RawSubjectPublicKeyInfo", bytes(key.raw)),
        ("RawTBSCertificateRequest", bytes(info.raw)),
        ("Signature", bytes(&request.signature_value.data)),
        ("SignatureAlgorithm", signature_algorithm(&request.signature_algorithm)),
        ("Subject", name(&info.subject)),
        ("URIs", list(names.uris)),
        ("Version", Value::from(i64::from(info.version.0))),
    ]))
}

/// The one attribute that is in use: the extensions that are asked for.
fn attributes(extensions: &[Value]) -> Value {
    if extensions.is_empty() {
        return Value::Null;
    }
    let asked = extensions
        .iter()
        .map(|extension| object([("Type", extension["Id"].clone()), ("Value", extension["Value"].clone())]));
    let kind = identifier(&x509_parser::oid_registry::OID_PKCS9_EXTENSION_REQUEST);
    Value::from(vec![object([("Type", kind), ("Value", Value::from(vec![array_of(asked)]))])])
}
