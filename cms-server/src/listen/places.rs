// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many connections are open, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The share of all connections that one address may hold: a half. A machine's own address, where a
/// proxy may run, is not limited.
const SHARE: usize = 2;

/// The connections that may be open.
#[derive(Debug, Clone)]
pub(super) struct Places {
    limit: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// So many, and no more.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// Takes a place, if there is one left for this address.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock();
        let own = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.total >= self.limit || (own >= self.limit / SHARE && !address.is_loopback()) {
            return None;
        }
        taken.total += 1;
        taken.by_address.insert(address, own + 1);
        Some(Place { address, taken: self.taken.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(own) = taken.by_address.get_mut(&self.address) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_all_places() {
        let places = Places::new(4);
        let at = |text: &str| places.take(text.parse().unwrap());
        let first = at("192.0.2.1");
        let _second = at("192.0.2.1");
        assert!(at("192.0.2.1").is_none());
        let (_third, _fourth) = (at("192.0.2.2").unwrap(), at("::1").unwrap());
        assert!(at("192.0.2.3").is_none());
        drop(first);
        assert!(at("192.0.2.1").is_some());
    }
}
