// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often one caller may ask, and one address with a wrong credential or with none. This process always
//! counts; where servers share a limiter, its word goes before, as long as it answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use cms_core::auth::Principal;
use cms_core::limits::{Limit, Rate, Verdict, Who};
use cms_core::{Error, ErrorKind};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::super::options::{CALLER_PER_MINUTE, Options};
use super::shared_limits::SharedLimits;

/// After how many questions the callers that were not seen lately are forgotten.
const SWEEP_EVERY: u32 = 65_536;

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
#[derive(Debug)]
pub(crate) struct Limiter {
    callers: Counted,
    strangers: Counted,
    config_reads: Counted,
    config_writes: Counted,
    shared: Option<SharedLimits>,
}

impl Limiter {
    /// The limits that the options name.
    pub(crate) fn new(options: &Options) -> Self {
        let caller = Rate::per_minute(options.caller_per_minute.unwrap_or(CALLER_PER_MINUTE));
        let limit = |name, rate| Counted::new(Limit { name, rate });
        Self {
            callers: limit("caller", caller),
            strangers: limit("stranger", Rate::per_minute(options.stranger_per_minute)),
            config_reads: limit("config-read", options.config_reads),
            config_writes: limit("config-write", options.config_writes),
            shared: options.shared_limits.clone().map(SharedLimits::new),
        }
    }

    /// Who counts for all servers, if anybody does.
    pub(crate) fn shared(&self) -> Option<&SharedLimits> {
        self.shared.as_ref()
    }

    /// Counts a request of a known caller, or of an address where nobody need be known.
    ///
    /// # Errors
    /// `TooMany`, with the time after which there is room again.
    pub(crate) async fn count(
        &self,
        principal: &Principal,
        address: Option<IpAddr>,
    ) -> Result<Allowance, Error> {
        self.ask(&self.callers, &Who::of(principal, address), "this caller asks").await
    }

    /// What a caller is told whose limit is used up.
    pub(crate) fn used_up(&self) -> Allowance {
        Allowance { limit: self.callers.limit.rate.count.get(), remaining: 0 }
    }

    /// Counts a request without a valid credential.
    ///
    /// # Errors
    /// `TooMany`, with the time after which there is room again.
    pub(crate) async fn count_stranger(&self, address: Option<IpAddr>) -> Result<(), Error> {
        let Some(address) = address else { return Ok(()) };
        let who = Who::Address(Some(prefix(address)));
        self.ask(&self.strangers, &who, "requests without a valid credential come").await.map(|_| ())
    }

    /// Counts a read at the front door for configs.
    ///
    /// # Errors
    /// `TooMany`, with the time after which there is room again.
    pub(crate) async fn count_config_read(
        &self,
        principal: &Principal,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        self.ask(&self.config_reads, &Who::of(principal, address), "this caller reads").await.map(|_| ())
    }

    /// Counts a write there.
    ///
    /// # Errors
    /// `TooMany`, with the time after which there is room again.
    pub(crate) async fn count_config_write(
        &self,
        principal: &Principal,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        self.ask(&self.config_writes, &Who::of(principal, address), "this caller writes").await.map(|_| ())
    }

    /// Counts here as well where all count together, so that these limits go on from what was used.
    async fn ask(&self, counted: &Counted, who: &Who, what: &str) -> Result<Allowance, Error> {
        let limit = counted.limit;
        let here = counted.count(who);
        let together = match &self.shared {
            // So high a limit is no limit: it keeps one process from being flooded.
            Some(shared) if limit.rate.count < CALLER_PER_MINUTE => shared.count(limit, who).await,
            _ => None,
        };
        match together.unwrap_or(here) {
            Verdict::Allowed { remaining } => Ok(Allowance { limit: limit.rate.count.get(), remaining }),
            Verdict::Refused { wait } => Err(too_many(what, wait)),
        }
    }
}

/// One limit, as this process counts it.
struct Counted {
    limit: Limit,
    keyed: RateLimiter<Who, DashMapStateStore<Who>, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl Counted {
    fn new(limit: Limit) -> Self {
        let Rate { count, period } = limit.rate;
        // The time is never nothing, so there is such a quota.
        let quota = Quota::with_period(period / count.get())
            .map_or(Quota::per_minute(count), |quota| quota.allow_burst(count));
        Self {
            limit,
            keyed: RateLimiter::dashmap(quota).with_middleware(),
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        }
    }

    fn count(&self, who: &Who) -> Verdict {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.keyed.retain_recent();
        }
        match self.keyed.check_key(who) {
            Ok(left) => Verdict::Allowed { remaining: left.remaining_burst_capacity() },
            Err(until) => Verdict::Refused { wait: until.wait_time_from(self.clock.now()) },
        }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("limit", &self.limit).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use async_trait::async_trait;
    use cms_core::limits::NoAnswer;
    use cms_core::testing::limiter_conformance::{cases, limits};

    use super::*;

    fn limiter(caller: u32, stranger: u32) -> Limiter {
        Limiter::new(&Options {
            caller_per_minute: NonZeroU32::new(caller),
            stranger_per_minute: NonZeroU32::new(stranger).unwrap(),
            ..Options::default()
        })
    }

    #[tokio::test]
    async fn each_caller_has_a_limit_of_its_own() {
        let limiter = limiter(2, 10);
        let (root, nobody) = (Principal::root(), Principal::anonymous());
        assert_eq!(limiter.count(&root, None).await.unwrap().remaining, 1);
        assert!(limiter.count(&root, None).await.is_ok());
        let error = limiter.count(&root, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooMany);
        assert!(error.retry_after().unwrap() >= Duration::from_secs(1));
        assert!(limiter.count(&nobody, None).await.is_ok());
    }

    #[tokio::test]
    async fn strangers_are_counted_by_address_and_network() {
        let limiter = limiter(10, 1);
        let at = |text: &str| text.parse::<IpAddr>().ok();
        assert!(limiter.count_stranger(at("192.0.2.1")).await.is_ok());
        assert!(limiter.count_stranger(at("192.0.2.1")).await.is_err());
        assert!(limiter.count_stranger(at("192.0.2.2")).await.is_ok());
        assert!(limiter.count_stranger(at("2001:db8::1")).await.is_ok());
        assert!(limiter.count_stranger(at("2001:db8::2")).await.is_err());
    }

    /// What one process counts, as a limiter of its own.
    #[derive(Debug)]
    struct Local(Vec<Counted>);

    #[async_trait]
    impl cms_core::limits::RateLimiter for Local {
        fn name(&self) -> &'static str {
            "local"
        }

        async fn count(&self, limit: Limit, who: &Who) -> Result<Verdict, NoAnswer> {
            let counted = self.0.iter().find(|counted| counted.limit == limit);
            counted.map(|counted| counted.count(who)).ok_or(NoAnswer("no such limit".to_owned()))
        }

        async fn check(&self) -> Result<(), NoAnswer> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_process_counts_as_every_limiter_must() {
        let local = Arc::new(Local(limits().into_iter().map(Counted::new).collect()));
        for case in cases() {
            (case.run)(local.clone()).await.unwrap_or_else(|wrong| panic!("{}: {wrong}", case.name));
        }
    }
}
