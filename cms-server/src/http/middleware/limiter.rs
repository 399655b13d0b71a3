// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often one caller may ask, and one address with a wrong credential or with none.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use cms_core::auth::{Principal, PrincipalKind};
use cms_core::{Error, ErrorKind};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::super::options::Rate;

/// After how many questions the callers that were not seen lately are forgotten.
const SWEEP_EVERY: u32 = 65_536;

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// What a caller has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// How many requests may come at once.
    pub(crate) limit: u32,
    /// How many of them are left.
    pub(crate) remaining: u32,
}

impl Allowance {
    /// Writes it as headers.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let used = u64::from(self.limit - self.remaining.min(self.limit));
        let reset = (used * 60).div_ceil(u64::from(self.limit.max(1)));
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
    }
}

/// The limits of one router.
pub(crate) struct Limiter {
    callers: Keyed<CallerKey>,
    strangers: Keyed<IpAddr>,
    caller_per_minute: NonZeroU32,
    clock: DefaultClock,
    asked: AtomicU32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum CallerKey {
    User(cms_core::ids::UserId),
    Key(std::sync::Arc<str>),
    Root,
    Address(Option<IpAddr>),
}

impl CallerKey {
    fn of(principal: &Principal, address: Option<IpAddr>) -> Self {
        match &principal.kind {
            PrincipalKind::User { user, .. } => Self::User(user.clone()),
            PrincipalKind::Key { id, .. } => Self::Key(id.clone()),
            PrincipalKind::Root => Self::Root,
            PrincipalKind::System | PrincipalKind::Anonymous => Self::Address(address),
        }
    }
}

impl Limiter {
    /// Limits each caller, and each address that shows no valid credential, per minute.
    pub(crate) fn new(caller_per_minute: NonZeroU32, stranger_per_minute: NonZeroU32) -> Self {
        Self::at(Rate::per_minute(caller_per_minute), stranger_per_minute)
    }

    /// The same for another time than a minute.
    pub(crate) fn at(callers: Rate, stranger_per_minute: NonZeroU32) -> Self {
        let strangers = Quota::per_minute(stranger_per_minute);
        // The time is never nothing, so there is such a quota.
        let keyed = Quota::with_period(callers.period / callers.count.get())
            .map_or(Quota::per_minute(callers.count), |quota| quota.allow_burst(callers.count));
        Self {
            callers: RateLimiter::dashmap(keyed).with_middleware(),
            strangers: RateLimiter::dashmap(strangers).with_middleware(),
            caller_per_minute: callers.count,
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        }
    }

    /// Counts a request of a known caller, or of an address where nobody need be known.
    ///
    /// # Errors
    /// `TooMany`, with the time after which there is room again.
    pub(crate) fn count(&self, principal: &Principal, address: Option<IpAddr>) -> Result<Allowance, Error> {
        self.sweep();
        match self.callers.check_key(&CallerKey::of(principal, address)) {
            Ok(left) => Ok(Allowance {
                limit: left.quota().burst_size().get(),
                remaining: left.remaining_burst_capacity(),
            }),
            Err(until) => Err(too_many("this caller asks", until.wait_time_from(self.clock.now()))),
        }
    }

    /// Counts a request without a valid credential.
    ///
    /// # Errors
    /// `TooMany`, with the time after which there is room again.
    pub(crate) fn count_stranger(&self, address: Option<IpAddr>) -> Result<(), Error> {
        self.sweep();
        let Some(address) = address else { return Ok(()) };
        match self.strangers.check_key(&prefix(address)) {
            Ok(_) => Ok(()),
            Err(until) => Err(too_many(
                "requests without a valid credential come",
                until.wait_time_from(self.clock.now()),
            )),
        }
    }

    /// What a caller is told whose limit is used up.
    pub(crate) fn used_up(&self) -> Allowance {
        Allowance { limit: self.caller_per_minute.get(), remaining: 0 }
    }

    fn sweep(&self) {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.callers.retain_recent();
            self.strangers.retain_recent();
        }
    }
}

/// One network of IPv6 is one stranger: whoever has an address has all of its /64.
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

fn too_many(who: &str, wait: Duration) -> Error {
    Error::new(ErrorKind::TooMany, "rate_limited", format!("{who} too often; slow down and try again later"))
        .with_retry_after(wait.max(Duration::from_secs(1)))
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(caller: u32, stranger: u32) -> Limiter {
        Limiter::new(NonZeroU32::new(caller).unwrap(), NonZeroU32::new(stranger).unwrap())
    }

    #[test]
    fn each_caller_has_a_limit_of_its_own() {
        let limiter = limiter(2, 10);
        let (root, nobody) = (Principal::root(), Principal::anonymous());
        assert_eq!(limiter.count(&root, None).unwrap().remaining, 1);
        assert!(limiter.count(&root, None).is_ok());
        let error = limiter.count(&root, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooMany);
        assert!(error.retry_after().unwrap() >= Duration::from_secs(1));
        assert!(limiter.count(&nobody, None).is_ok());
    }

    #[test]
    fn strangers_are_counted_by_address_and_network() {
        let limiter = limiter(10, 1);
        let at = |text: &str| text.parse::<IpAddr>().ok();
        assert!(limiter.count_stranger(at("192.0.2.1")).is_ok());
        assert!(limiter.count_stranger(at("192.0.2.1")).is_err());
        assert!(limiter.count_stranger(at("192.0.2.2")).is_ok());
        assert!(limiter.count_stranger(at("2001:db8::1")).is_ok());
        assert!(limiter.count_stranger(at("2001:db8::2")).is_err());
    }
}
