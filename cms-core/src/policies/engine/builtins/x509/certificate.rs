// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a certificate says, field by field.

use regorus::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension, X509Extension};
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::names::{Alternatives, name};
use super::{Failure, bytes, identifier, list, number, object};

/// The fields of a certificate.
pub(super) fn fields(der: &[u8]) -> Result<Value, Failure> {
    let (_, certificate) = parse_x509_certificate(der)
        .map_err(|error| Failure::Failed(format!("the certificate does not parse: {error}")))?;
    let extended = Extended::read(&certificate);
    let info = certificate.public_key();
    let time = |time: &x509_parser::time::ASN1Time| {
        let utc = chrono::DateTime::from_timestamp(time.timestamp(), 0).unwrap_or_default();
        Value::from(utc.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    };
    let raw = |part: &[u8]| bytes(part);
    let version = i64::from(certificate.version().0) + 1;
    let members = [
        ("BasicConstraintsValid", Value::from(extended.constraints.is_some())),
        ("CRLDistributionPoints", list(extended.lists)),
        ("DNSNames", list(extended.names.dns)),
        ("EmailAddresses", list(extended.names.emails)),
        ("ExtKeyUsage", list(extended.uses)),
        ("Extensions", list(certificate.extensions().iter().map(extension).collect())),
        ("IPAddresses", list(extended.names.addresses)),
        ("IsCA", Value::from(extended.constraints.is_some_and(|(is_ca, _)| is_ca))),
        ("Issuer", name(certificate.issuer())),
        ("IssuingCertificateURL", list(extended.issuers)),
        ("KeyUsage", Value::from(i64::from(extended.usage))),
        ("MaxPathLen", Value::from(extended.constraints.map_or(0, |(_, most)| most.map_or(-1, i64::from)))),
        ("MaxPathLenZero", Value::from(extended.constraints.is_some_and(|(_, most)| most == Some(0)))),
        ("NotAfter", time(&certificate.validity().not_after)),
        ("NotBefore", time(&certificate.validity().not_before)),
        ("OCSPServer", list(extended.responders)),
        ("PolicyIdentifiers", list(extended.policies)),
        ("PublicKey", public_key(info)?),
        ("PublicKeyAlgorithm", key_algorithm(info)),
        ("Raw", raw(der)),
        ("RawIssuer", raw(certificate.issuer().as_raw())),
        ("RawSubject", raw(certificate.subject().as_raw())),
        ("RawSubjectPublicKeyInfo", raw(info.raw)),
        ("RawTBSCertificate", raw(certificate.tbs_certificate.as_ref())),
        ("SerialNumber", number(certificate.raw_serial())?),
        ("Signature", raw(&certificate.signature_value.data)),
        ("SignatureAlgorithm", signature_algorithm(&certificate.signature_algorithm)),
        ("Subject", name(certificate.subject())),
        ("AuthorityKeyId", extended.authority.unwrap_or(Value::Null)),
        ("SubjectKeyId", extended.subject.unwrap_or(Value::Null)),
        ("UnknownExtKeyUsage", list(extended.other_uses)),
        ("URIStrings", list(extended.names.uri_texts)),
        ("URIs", list(extended.names.uris)),
        ("Version", Value::from(version)),
    ];
    let mut all = object(members);
    let absent = NULL.iter().map(|name| (*name, Value::Null));
    let zero = ZERO.iter().map(|name| (*name, Value::from(0)));
    let never = FALSE.iter().map(|name| (*name, Value::from(false)));
    if let Ok(all) = all.as_object_mut() {
        absent.chain(zero).chain(never).for_each(|(name, value)| drop(all.insert(Value::from(name), value)));
    }
    Ok(all)
}

/// Fields that Go has and that are not read here.
const NULL: &[&str] = &[
    "ExcludedDNSDomains",
    "ExcludedEmailAddresses",
    "ExcludedIPRanges",
    "ExcludedURIDomains",
    "ExtraExtensions",
    "PermittedDNSDomains",
    "PermittedEmailAddresses",
    "PermittedIPRanges",
    "PermittedURIDomains",
    "Policies",
    "PolicyMappings",
    "UnhandledCriticalExtensions",
];
const ZERO: &[&str] = &["InhibitAnyPolicy", "InhibitPolicyMapping", "RequireExplicitPolicy"];
const FALSE: &[&str] = &[
    "InhibitAnyPolicyZero",
    "InhibitPolicyMappingZero",
    "PermittedDNSDomainsCritical",
    "RequireExplicitPolicyZero",
];

/// What the extensions of a certificate say.
#[derive(Default)]
struct Extended {
    /// Whether it is an authority, and how many may follow it.
    constraints: Option<(bool, Option<u32>)>,
    usage: u16,
    uses: Vec<Value>,
    other_uses: Vec<Value>,
    names: Alternatives,
    lists: Vec<Value>,
    issuers: Vec<Value>,
    responders: Vec<Value>,
    policies: Vec<Value>,
    authority: Option<Value>,
    subject: Option<Value>,
}

impl Extended {
    fn read(certificate: &X509Certificate<'_>) -> Self {
        let mut found = Self::default();
        for extension in certificate.extensions() {
            found.note(extension.parsed_extension());
        }
        found
    }

    fn note(&mut self, extension: &ParsedExtension<'_>) {
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some(Value::from(*uri)),
            _ => None,
        };
        match extension {
            ParsedExtension::BasicConstraints(given) => {
                self.constraints = Some((given.ca, given.path_len_constraint));
            }
            ParsedExtension::KeyUsage(usage) => self.usage = usage.flags,
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let known = [
                    usage.any,
                    usage.server_auth,
                    usage.client_auth,
                    usage.code_signing,
                    usage.email_protection,
                ];
                let mut uses: Vec<i64> =
                    (0..).zip(known).filter(|(_, is)| *is).map(|(number, _)| number).collect();
                uses.extend(usage.time_stamping.then_some(8));
                uses.extend(usage.ocsp_signing.then_some(9));
                self.uses = uses.into_iter().map(Value::from).collect();
                self.other_uses = usage.other.iter().map(identifier).collect();
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                self.names = Alternatives::read(&names.general_names)
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject = Some(bytes(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority = id.key_identifier.as_ref().map(|id| bytes(id.0));
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                for point in points.iter() {
                    if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                        self.lists.extend(names.iter().filter_map(uri));
                    }
                }
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                for description in access.iter() {
                    let is_responder = description.access_method.to_id_string() == "1.3.6.1.5.5.7.48.1";
                    let list = if is_responder { &mut self.responders } else { &mut self.issuers };
                    list.extend(uri(&description.access_location));
                }
            }
            ParsedExtension::CertificatePolicies(policies) => {
                self.policies = policies.iter().map(|policy| identifier(&policy.policy_id)).collect();
            }
            _ => {}
        }
    }
}

/// An extension as it was written.
pub(super) fn extension(extension: &X509Extension<'_>) -> Value {
    object([
        ("Critical", Value::from(extension.critical)),
        ("Id", identifier(&extension.oid)),
        ("Value", bytes(extension.value)),
    ])
}

/// A public key: its numbers.
pub(super) fn public_key(info: &SubjectPublicKeyInfo<'_>) -> Result<Value, Failure> {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => Ok(object([("E", number(key.exponent)?), ("N", number(key.modulus)?)])),
        Ok(PublicKey::EC(point)) => {
            let coordinates = point.data().get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).unwrap_or_default();
            Ok(object([("Curve", Value::new_object()), ("X", number(x)?), ("Y", number(y)?)]))
        }
        _ => Ok(bytes(&info.subject_public_key.data)),
    }
}

/// Go's number of a kind of key.
pub(super) fn key_algorithm(info: &SubjectPublicKeyInfo<'_>) -> Value {
    Value::from(match info.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => 1,
        "1.2.840.10040.4.1" => 2,
        "1.2.840.10045.2.1" => 3,
        "1.3.101.112" => 4,
        _ => 0,
    })
}

/// Go's number of a signature algorithm.
pub(super) fn signature_algorithm(algorithm: &AlgorithmIdentifier<'_>) -> Value {
    Value::from(match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => 2,
        "1.2.840.113549.1.1.5" => 3,
        "1.2.840.113549.1.1.11" => 4,
        "1.2.840.113549.1.1.12" => 5,
        "1.2.840.113549.1.1.13" => 6,
        "1.2.840.10045.4.1" => 9,
        "1.2.840.10045.4.3.2" => 10,
        "1.2.840.10045.4.3.3" => 11,
        "1.2.840.10045.4.3.4" => 12,
        "1.2.840.113549.1.1.10" => 13,
        "1.3.101.112" => 16,
        _ => 0,
    })
}
