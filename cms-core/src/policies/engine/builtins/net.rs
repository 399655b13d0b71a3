// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `net.cidr_*` as far as the library lacks them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use regorus::Value;

use super::{Failure, Outcome, items, meter, mismatch, text};

/// Whether a network has all addresses of another one, or an address. IPv4 within IPv6 counts as IPv4.
pub(super) fn cidr_contains(arguments: &[Value]) -> Outcome {
    let (whole, part) = (network(text(arguments, 0)?)?, either(text(arguments, 1)?)?);
    Ok(Value::from(unmapped(whole).contains(&unmapped(part))))
}

/// A network of IPv4 addresses written as those of IPv6 (RFC 4291, section 2.5.5.2), as what it is.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let parts = mapped.network().to_ipv4_mapped().zip(mapped.prefix_len().checked_sub(96));
    let inner = parts.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    inner.map_or(network, IpNet::V4)
}

/// Whether two networks have an address in common.
pub(super) fn cidr_intersects(arguments: &[Value]) -> Outcome {
    let (left, right) = (network(text(arguments, 0)?)?, network(text(arguments, 1)?)?);
    Ok(Value::from(left.contains(&right.network()) || right.contains(&left.network())))
}

/// The pairs of a network and a network or address within it, each by its key in its collection.
pub(super) fn cidr_contains_matches(arguments: &[Value]) -> Outcome {
    let (networks, candidates) = (keyed(arguments, 0)?, keyed(arguments, 1)?);
    let (networks, candidates) = (
        networks
            .into_iter()
            .map(|(key, text)| Ok((key, network(&text)?)))
            .collect::<Result<Vec<_>, Failure>>()?,
        candidates
            .into_iter()
            .map(|(key, text)| Ok((key, either(&text)?)))
            .collect::<Result<Vec<_>, Failure>>()?,
    );
    meter::at_most(PAIRS, networks.len().saturating_mul(candidates.len()), "comparisons")?;
    let mut found = regorus::value::Set::new();
    for (key, network) in &networks {
        for (candidate, _) in candidates.iter().filter(|(_, address)| network.contains(address)) {
            found.insert(Value::from(vec![key.clone(), candidate.clone()]));
        }
    }
    Ok(Value::from(found))
}

/// The smallest set of networks with the same addresses. As in OPA, an IPv4 address without a prefix is of
/// the network of its class, and written as it was if that merges with no other.
pub(super) fn cidr_merge(arguments: &[Value]) -> Outcome {
    let given = items(arguments, 0)?;
    meter::afford_items(given.len())?;
    let mut networks = Vec::with_capacity(given.len());
    for item in given {
        let Value::String(item) = item else { return Err(mismatch(arguments, 0, "array or set of strings")) };
        networks.push(match item.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => classful(address)?,
            Ok(IpAddr::V6(_)) => return Err("IPv6 invalid: needs prefix length".into()),
            Err(_) => network(item)?,
        });
    }
    let merged = IpNet::aggregate(&networks).into_iter().map(|network| {
        let mut own = networks.iter().filter(|own| network.contains(*own));
        let as_given = own.next().filter(|_| own.next().is_none()).unwrap_or(&network);
        Value::from(as_given.to_string())
    });
    Ok(Value::from(merged.collect::<regorus::value::Set>()))
}

/// An address in the network of its class.
fn classful(address: Ipv4Addr) -> Result<IpNet, Failure> {
    let prefix = match address.octets() {
        [..=127, ..] => 8,
        [..=191, ..] => 16,
        _ => 24,
    };
    IpNet::new(IpAddr::V4(address), prefix).map_err(|error| Failure::Failed(error.to_string()))
}

/// Comparisons of one call.
const PAIRS: usize = 1_000_000;

fn network(text: &str) -> Result<IpNet, Failure> {
    // The parser of addresses refuses zeros in front, which could mean octal numbers; that of networks
    // does not.
    let is_address = text.split_once('/').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
    let network = text.parse().ok().filter(|_| is_address);
    network
        .map(|network: IpNet| network.trunc())
        .ok_or_else(|| Failure::Failed(format!("invalid CIDR address: {text}")))
}

/// A network, or an address as the network of itself.
fn either(text: &str) -> Result<IpNet, Failure> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => network(text),
    }
}

/// The texts of a collection with their keys. A text stands for itself, and so does an item of a set;
/// an item that is an array has its text in front.
fn keyed(arguments: &[Value], index: usize) -> Result<Vec<(Value, String)>, Failure> {
    let wrong = || mismatch(arguments, index, "one of {string, array, set, object} of networks");
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.to_string()),
        Value::Array(parts) => match parts.first() {
            Some(Value::String(text)) => Ok(text.to_string()),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    };
    match arguments.get(index) {
        Some(item @ Value::String(own)) => Ok(vec![(item.clone(), own.to_string())]),
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(key, item)| Ok((Value::from(key), text(item)?))).collect()
        }
        Some(Value::Set(items)) => items.iter().map(|item| Ok((item.clone(), text(item)?))).collect(),
        Some(Value::Object(entries)) => {
            entries.iter().map(|(key, item)| Ok((key.clone(), text(item)?))).collect()
        }
        _ => Err(wrong()),
    }
}
