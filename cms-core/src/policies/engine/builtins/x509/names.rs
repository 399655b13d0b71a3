// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Distinguished names and alternative names.

use std::net::{Ipv4Addr, Ipv6Addr};

use regorus::Value;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

use super::{identifier, list, object};

/// A distinguished name: the well-known attributes by name, and all in their order.
pub(super) fn name(name: &X509Name<'_>) -> Value {
    let attributes: Vec<(String, Value)> = name
        .iter_attributes()
        .map(|attribute| {
            let value = attribute
                .as_str()
                .map(str::to_owned)
                .unwrap_or_else(|_| String::from_utf8_lossy(attribute.attr_value().data).into_owned());
            (attribute.attr_type().to_id_string(), Value::from(value))
        })
        .collect();
    let all = |oid: &str| {
        list(attributes.iter().filter(|(own, _)| own == oid).map(|(_, value)| value.clone()).collect())
    };
    let last = |oid: &str| {
        let found = attributes.iter().rev().find(|(own, _)| own == oid);
        found.map_or_else(|| Value::from(""), |(_, value)| value.clone())
    };
    let pairs = name.iter_attributes().zip(&attributes).map(|(attribute, (_, value))| {
        object([("Type", identifier(attribute.attr_type())), ("Value", value.clone())])
    });
    object([
        ("CommonName", last("2.5.4.3")),
        ("Country", all("2.5.4.6")),
        ("ExtraNames", Value::Null),
        ("Locality", all("2.5.4.7")),
        ("Names", list(pairs.collect())),
        ("Organization", all("2.5.4.10")),
        ("OrganizationalUnit", all("2.5.4.11")),
        ("PostalCode", all("2.5.4.17")),
        ("Province", all("2.5.4.8")),
        ("SerialNumber", last("2.5.4.5")),
        ("StreetAddress", all("2.5.4.9")),
    ])
}

/// Alternative names, by their kind.
#[derive(Default)]
pub(super) struct Alternatives {
    pub(super) dns: Vec<Value>,
    pub(super) emails: Vec<Value>,
    pub(super) addresses: Vec<Value>,
    pub(super) uris: Vec<Value>,
    /// The same, as they were written.
    pub(super) uri_texts: Vec<Value>,
}

impl Alternatives {
    pub(super) fn read(names: &[GeneralName<'_>]) -> Self {
        let mut found = Self::default();
        for name in names {
            match name {
                GeneralName::DNSName(name) => found.dns.push(Value::from(*name)),
                GeneralName::RFC822Name(name) => found.emails.push(Value::from(*name)),
                GeneralName::URI(uri) => {
                    found.uris.push(url(uri));
                    found.uri_texts.push(Value::from(*uri));
                }
                GeneralName::IPAddress(bytes) => {
                    let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
                    let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
                    found.addresses.extend(v4.or(v6).ok().map(Value::from));
                }
                _ => {}
            }
        }
        found
    }
}

/// The parts of a URL.
fn url(text: &str) -> Value {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').unwrap_or(("", rest));
    let (host, path, opaque) = match rest.strip_prefix("//") {
        Some(rest) => {
            let at = rest.find('/').unwrap_or(rest.len());
            let (host, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
            (host, path, "")
        }
        None if rest.starts_with('/') => ("", rest, ""),
        None => ("", "", rest),
    };
    object([
        ("ForceQuery", Value::from(false)),
        ("Fragment", Value::from(fragment)),
        ("Host", Value::from(host)),
        ("OmitHost", Value::from(false)),
        ("Opaque", Value::from(opaque)),
        ("Path", Value::from(path)),
        ("RawFragment", Value::from("")),
        ("RawPath", Value::from("")),
        ("RawQuery", Value::from(query)),
        ("Scheme", Value::from(scheme)),
        ("User", Value::Null),
    ])
}
