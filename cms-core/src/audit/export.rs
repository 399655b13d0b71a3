// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The trail as a file that proves itself: JSON lines with everything that verification needs.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::HEXLOWER;

use crate::error::{Error, Result};
use crate::sensitive::Sensitive;

/// The key that signs exports.
pub(super) struct ExportKey(Ed25519KeyPair);

impl ExportKey {
    pub(super) fn new(seed: &Sensitive<[u8; 32]>) -> Result<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose()).map(Self).map_err(Error::internal)
    }

    /// The public key, in hexadecimal.
    pub(super) fn public(&self) -> String {
        HEXLOWER.encode(self.0.public_key().as_ref())
    }
}

impl fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExportKey([redacted])")
    }
}
