// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OpenBao behind secrets and as the seal, with real servers: what happens when it fails, when CMS is killed, and
//! when tokens end.

mod access;
mod faults;
mod kills;
mod load;
mod proxy;
mod seal;

use cms_tests::openbao;
use libtest_mimic::{Failed, Trial};

type Test = fn() -> Result<(), Failed>;

const TESTS: &[(&str, Test)] = &[
    ("openbao::access::a_namespace_is_kept_to", access::in_a_namespace),
    ("openbao::access::a_service_account_logs_in", access::with_a_service_account),
    ("openbao::faults::sealed_under_load", faults::sealed),
    ("openbao::faults::restarted_under_load", faults::restarted),
    ("openbao::faults::a_revoked_token_is_followed_by_a_login", faults::revoked),
    ("openbao::faults::a_short_token_is_renewed", faults::short_lived),
    ("openbao::faults::errors_of_its_own_are_not_answered_by_a_storm", faults::failing),
    ("openbao::faults::a_swapped_entry_does_not_open", faults::swapped),
    ("openbao::kills::no_acknowledged_version_is_lost_and_no_orphan_is_readable", kills::under_load),
    ("openbao::seal::it_wraps_and_follows_rotations_of_its_key", seal::rotations),
    ("openbao::seal::a_server_waits_for_it_and_unseals_itself", seal::waiting),
];

/// The trials; without OpenBao on this machine they are shown as ignored.
pub fn trials() -> impl Iterator<Item = Trial> {
    TESTS.iter().map(|(name, test)| match openbao::missing() {
        Some(reason) => Trial::test(*name, || Ok(())).with_kind(reason).with_ignored_flag(true),
        None => Trial::test(*name, test),
    })
}
