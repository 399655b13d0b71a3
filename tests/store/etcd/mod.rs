// SPDX-License-Identifier: Apache-2.0 OR MIT
//! etcd as the store, with real servers: what they refuse, and what happens when they fail.

mod access;
mod faults;
mod load;
mod refusals;

use std::sync::Arc;

use cms_core::store::{Store, StoreResult};
use cms_tests::{Etcd, etcd};
use libtest_mimic::{Failed, Trial};

type Test = fn() -> Result<(), Failed>;

const TESTS: &[(&str, Test)] = &[
    ("etcd::access::certificates_are_asked_for_and_checked", access::by_certificate),
    ("etcd::access::a_user_logs_in_and_keeps_to_its_prefix", access::by_password),
    ("etcd::faults::killed_leaders_lose_and_repeat_nothing", faults::killed_leaders),
    ("etcd::faults::a_leader_that_stands_still_is_left", faults::a_paused_leader),
    ("etcd::faults::without_a_majority_errors_are_clear_and_it_comes_back", faults::a_lost_majority),
    ("etcd::faults::a_compaction_ends_only_watches_that_lag", faults::compaction_while_watching),
    ("etcd::refusals::nobody_there_names_who_was_asked", refusals::nobody_there),
    ("etcd::refusals::a_transaction_past_a_limit_names_the_flag", refusals::past_a_limit),
    ("etcd::refusals::other_users_of_the_cluster_are_left_alone", refusals::other_users),
];

/// The trials; without etcd on this machine they are shown as ignored.
pub fn trials() -> impl Iterator<Item = Trial> {
    TESTS.iter().map(|(name, test)| match etcd::missing() {
        Some(reason) => Trial::test(*name, || Ok(())).with_kind(reason).with_ignored_flag(true),
        None => Trial::test(*name, test),
    })
}

async fn open(etcd: &Etcd) -> StoreResult<Arc<dyn Store>> {
    cms_store::open(&etcd.url("test")).await
}
