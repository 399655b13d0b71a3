// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `uri.*`, which take apart what Go's `net/url` does, and refuse what it refuses: the parsers of other
//! languages follow other rules (WHATWG) or repair what is wrong.

use std::borrow::Cow;

use regorus::Value;

use super::{Failure, Outcome, text};

/// The parts of a URI, without those that are empty.
pub(super) fn parse(arguments: &[Value]) -> Outcome {
    let whole = text(arguments, 0)?;
    let uri = Uri::parse(whole).map_err(|why| Failure::Failed(format!("parse {whole:?}: {why}")))?;
    let parts = [
        ("scheme", uri.scheme),
        ("hostname", uri.hostname),
        ("port", uri.port),
        ("path", uri.path),
        ("raw_path", uri.raw_path),
        ("raw_query", uri.raw_query),
        ("fragment", uri.fragment),
    ];
    let parts = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let parts = parts.map(|(name, value)| (Value::from(name), Value::from(value)));
    Ok(Value::from(parts.collect::<regorus::value::Object>()))
}

/// Whether a text is a URI. The empty one is none.
pub(super) fn is_valid(arguments: &[Value]) -> Outcome {
    Ok(Value::from(match arguments {
        [Value::String(text)] => !text.is_empty() && Uri::parse(text).is_ok(),
        _ => false,
    }))
}

#[derive(Debug, Default)]
struct Uri {
    scheme: String,
    hostname: String,
    port: String,
    path: String,
    raw_path: String,
    raw_query: String,
    fragment: String,
}

impl Uri {
    fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut uri = Self { fragment: unescaped(fragment)?.into_owned(), ..Self::default() };
        let (scheme, rest) = scheme(text)?;
        uri.scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        query.clone_into(&mut uri.raw_query);
        if !rest.starts_with('/') && !scheme.is_empty() {
            // What follows has a form of its own, as in `mailto:a@b.example`.
            return Ok(uri);
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
        let has_authority = rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///"));
        let path = match rest.strip_prefix("//").filter(|_| has_authority) {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (uri.hostname, uri.port) = host_and_port(authority)?;
                path
            }
            None => rest,
        };
        uri.path = unescaped(path)?.into_owned();
        uri.raw_path = if escaped(&uri.path) == path { uri.path.clone() } else { path.to_owned() };
        Ok(uri)
    }
}

/// The scheme, which may be missing, and the rest.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
    match end.map(|end| (text.split_at(end), end)) {
        Some(((_, rest), 0)) if rest.starts_with(':') => Err("missing protocol scheme".to_owned()),
        Some(((scheme, rest), _)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok(rest.strip_prefix(':').map_or(("", text), |rest| (scheme, rest)))
        }
        _ => Ok(("", text)),
    }
}

/// What stands between the slashes and the path, without who asks.
fn host_and_port(authority: &str) -> Result<(String, String), String> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !user.chars().all(|c| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    unescaped(user)?;
    let (name, port) = match host.strip_prefix('[') {
        Some(inner) => {
            let (address, port) = inner.rsplit_once(']').ok_or("missing ']' in host")?;
            let (address, zone) = match address.find("%25") {
                Some(at) => address.split_at(at),
                None => (address, ""),
            };
            (host_name(address)? + &unescaped(zone)?, port)
        }
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (host_name(name)?, port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (digits == port && !port.is_empty()) {
        return Err(format!("invalid port {port:?} after host"));
    }
    Ok((name, digits.to_owned()))
}

/// A host's name. Only what is no ASCII may be escaped in it, and the percent sign.
fn host_name(name: &str) -> Result<String, String> {
    for (at, _) in name.match_indices('%') {
        let escape = name.get(at..at + 3).unwrap_or_else(|| name.get(at..).unwrap_or_default());
        let is_ascii = escape.as_bytes().get(1).is_some_and(|byte| (b'0'..=b'7').contains(byte));
        if is_ascii && escape != "%25" {
            return Err(format!("invalid URL escape {escape:?}"));
        }
    }
    let allowed =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c);
    match name.chars().find(|c| !allowed(*c)) {
        Some(wrong) => Err(format!("invalid character {:?} in host name", wrong.to_string())),
        None => Ok(unescaped(name)?.into_owned()),
    }
}

/// Puts characters for their escapes.
fn unescaped(text: &str) -> Result<Cow<'_, str>, String> {
    for (at, _) in text.match_indices('%') {
        let rest = text.get(at..).unwrap_or_default();
        let is_escape = rest.as_bytes().get(1..3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if !is_escape {
            return Err(format!("invalid URL escape {:?}", rest.chars().take(3).collect::<String>()));
        }
    }
    Ok(percent_encoding::percent_decode_str(text).decode_utf8_lossy())
}

/// A path as Go would write it.
fn escaped(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

    const PATH: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b',')
        .remove(b'/')
        .remove(b':')
        .remove(b';')
        .remove(b'=')
        .remove(b'@');
    utf8_percent_encode(path, PATH).to_string()
}
