// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a request comes from: the peer, unless that is a proxy that the settings trust. Then it is
//! the rightmost address of `X-Forwarded-For` that is no trusted proxy; whatever stands to the left
//! of it may be invented.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    /// The caller's address, if it is known.
    pub(crate) address: Option<IpAddr>,
    /// Whether it comes from this machine itself.
    pub(crate) is_local: bool,
    /// Whether the peer is a trusted proxy, so that its `X-Forwarded-…` headers count.
    pub(crate) is_proxied: bool,
}

/// Finds the origin of a request. A request is local only if no proxy has touched it, or if a trusted
/// one on this machine says that it had it from this machine.
pub(crate) fn origin(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Origin {
    let Some(peer) = peer.map(|address| address.to_canonical()) else { return Origin::default() };
    if !is_trusted(peer, trusted) {
        let is_local = peer.is_loopback() && !is_forwarded(headers);
        return Origin { address: Some(peer), is_local, is_proxied: false };
    }
    let client = client(headers, trusted);
    // Without a word on where it had the request from, a proxy may have had it from anywhere.
    let is_local = peer.is_loopback() && client.is_some_and(|address| address.is_loopback());
    Origin { address: client.or(Some(peer)), is_local, is_proxied: true }
}

/// Walks the hops from the nearest to the farthest.
fn client(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let values: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut nearest = None;
    for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        // An entry that is no address ends the walk: nothing beyond it can be believed.
        let Some(address) = parse(hop.trim()) else { return nearest };
        if !is_trusted(address, trusted) {
            return Some(address);
        }
        nearest = Some(address);
    }
    nearest
}

fn parse(hop: &str) -> Option<IpAddr> {
    let plain = hop.trim_matches(|c| c == '[' || c == ']');
    let address = plain.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// Whether a proxy has left a mark.
fn is_forwarded(headers: &HeaderMap) -> bool {
    const MARKS: [&str; 8] = [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-real-ip",
    ];
    // A request has few headers: comparing their names costs less than looking up each mark.
    headers.keys().any(|name| MARKS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Origin {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        origin(peer.parse().ok(), &headers, &trusted)
    }

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        find(peer, forwarded, trusted).address.unwrap().to_string()
    }

    #[test]
    fn strangers_cannot_choose_their_address() {
        assert_eq!(address("192.0.2.9", &["10.0.0.1"], &[]), "192.0.2.9");
        assert_eq!(address("192.0.2.9", &["10.0.0.1"], &["10.0.0.0/8"]), "192.0.2.9");
    }

    #[test]
    fn behind_proxies_the_rightmost_stranger_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(address("10.0.0.1", &["1.2.3.4, 192.0.2.9"], &trusted), "192.0.2.9");
        assert_eq!(address("10.0.0.1", &["1.2.3.4", "192.0.2.9, 10.0.0.2"], &trusted), "192.0.2.9");
        assert_eq!(address("10.0.0.1", &["1.2.3.4, rubbish, 10.0.0.2"], &trusted), "10.0.0.2");
        assert_eq!(address("10.0.0.1", &[], &trusted), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["[2001:db8::1]:4711"], &trusted), "2001:db8::1");
    }

    #[test]
    fn only_what_no_proxy_has_touched_is_local() {
        assert!(find("127.0.0.1", &[], &[]).is_local);
        assert!(find("::ffff:127.0.0.1", &[], &[]).is_local);
        assert!(!find("127.0.0.1", &["127.0.0.1"], &[]).is_local);
        assert!(!find("192.0.2.1", &[], &[]).is_local);
        for mark in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            let mut headers = HeaderMap::new();
            headers.insert(mark, "127.0.0.1".parse().unwrap());
            assert!(!origin("127.0.0.1".parse().ok(), &headers, &[]).is_local, "{mark}");
        }
    }

    #[test]
    fn behind_a_trusted_proxy_only_its_word_makes_local() {
        let trusted = ["127.0.0.0/8"];
        assert!(find("127.0.0.1", &["127.0.0.1"], &trusted).is_local);
        assert!(!find("127.0.0.1", &[], &trusted).is_local, "it may have had it from anywhere");
        assert!(!find("127.0.0.1", &["192.0.2.9"], &trusted).is_local);
        assert!(!find("127.0.0.1", &["127.0.0.1, 192.0.2.9"], &trusted).is_local);
        assert!(!find("10.0.0.1", &["127.0.0.1"], &["10.0.0.0/8"]).is_local, "local to another machine");
    }
}
