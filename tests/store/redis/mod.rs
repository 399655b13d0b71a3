// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Limits that servers count together in a real Redis, and what happens when it fails.

mod faults;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use cms_core::limits::RateLimiter;
use cms_core::testing::limiter_conformance::cases;
use cms_store::redis::{RedisConfig, RedisLimits};
use cms_tests::{Redis, redis};
use libtest_mimic::{Failed, Trial};
use tokio::runtime::Runtime;

type Test = fn() -> Result<(), Failed>;

const TESTS: &[(&str, Test)] = &[
    ("redis::access::by_tls_and_password_and_no_other", faults::by_tls_and_password),
    ("redis::faults::what_others_put_under_its_keys_counts_as_nothing", faults::foreign_values),
    ("redis::faults::an_emptied_server_begins_anew", faults::flushed),
    ("redis::faults::a_killed_server_is_told_at_once_and_found_again", faults::killed),
    ("redis::faults::a_server_that_stands_still_is_waited_for_as_long_as_was_said", faults::paused),
    ("redis::servers::two_servers_allow_what_one_may", servers::together),
    ("redis::servers::without_redis_each_server_goes_on_alone_and_says_so", servers::alone),
];

/// The trials; without Redis on this machine they are shown as ignored.
pub fn trials() -> impl Iterator<Item = Trial> {
    let suite = cases().into_iter().map(|case| {
        let run = move || {
            let redis = Redis::start();
            let runtime = Runtime::new()?;
            runtime.block_on(async { (case.run)(limits(&redis)).await }).map_err(Failed::from)
        };
        trial(format!("redis::suite::{}", case.name), run)
    });
    suite.chain(TESTS.iter().map(|(name, test)| trial((*name).to_owned(), *test)))
}

fn trial(name: String, run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    match redis::missing() {
        Some(reason) => Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true),
        None => Trial::test(name, run),
    }
}

/// Limits in this server, with patience for a machine under load.
fn limits(redis: &Redis) -> Arc<dyn RateLimiter> {
    let mut config = RedisConfig::parse(&redis.url()).unwrap();
    config.timeout = Duration::from_secs(5);
    Arc::new(RedisLimits::new(&config).unwrap())
}
