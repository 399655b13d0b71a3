// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AES-256-GCM with an envelope: which key version sealed a value, under which nonce, bound to where
//! the value belongs. Knows no keyrings and no store.
//!
//! Envelope: `[format u8][key version u32 BE][nonce 12][ciphertext + tag 16]`. The associated data
//! holds the format, the key version, the record's version, the project and the full store key, each
//! of a fixed or prefixed length, so that no two bindings share an encoding.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use bytes::Bytes;

use crate::sensitive::Sensitive;

/// The length of a key in bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// The first byte of every envelope.
const FORMAT: u8 = 1;
/// The length of what stands before the ciphertext.
const HEADER_BYTES: usize = 1 + 4 + NONCE_LEN;
/// The length of the tag behind the ciphertext.
const TAG_BYTES: usize = 16;

/// How much longer a sealed value is than its plaintext.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// Where a sealed value belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    /// The project whose key seals it.
    pub(crate) project: &'a str,
    /// The full store key.
    pub(crate) key: &'a str,
    /// The version of the record.
    pub(crate) version: u64,
}

impl Binding<'_> {
    fn associated_data(&self, key_version: u32) -> Vec<u8> {
        let mut data = Vec::with_capacity(1 + 4 + 8 + 4 + self.project.len() + self.key.len());
        data.push(FORMAT);
        data.extend_from_slice(&key_version.to_be_bytes());
        data.extend_from_slice(&self.version.to_be_bytes());
        data.extend_from_slice(&u32::try_from(self.project.len()).unwrap_or(u32::MAX).to_be_bytes());
        data.extend_from_slice(self.project.as_bytes());
        data.extend_from_slice(self.key.as_bytes());
        data
    }
}

/// Why bytes could not be sealed or opened. Holds nothing of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AeadError {
    /// Shorter than any envelope.
    #[error("the sealed value is cut short")]
    Short,
    /// No envelope of ours, or of a later version.
    #[error("the sealed value has the unknown format {0}")]
    Format(u8),
    /// Altered, moved, of another version, or sealed with another key.
    #[error("the sealed value does not belong here or was altered")]
    Mismatch,
    /// The key is not 32 bytes long.
    #[error("a key is not of 32 bytes")]
    KeyLength,
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness")]
    Randomness,
}

/// A key with its schedule. The provider wipes both when it is dropped.
pub(crate) struct AeadKey(LessSafeKey);

impl AeadKey {
    pub(crate) fn new(key: &[u8]) -> Result<Self, AeadError> {
        let unbound = UnboundKey::new(&AES_256_GCM, key).map_err(|_| AeadError::KeyLength)?;
        Ok(Self(LessSafeKey::new(unbound)))
    }

    /// Seals under a fresh random nonce, asked of the operating system each time, so that neither a
    /// fork nor a cloned machine repeats one.
    pub(crate) fn seal(
        &self,
        key_version: u32,
        binding: Binding<'_>,
        plaintext: &[u8],
    ) -> Result<Bytes, AeadError> {
        let mut nonce = [0_u8; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&key_version.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let body = sealed.get_mut(HEADER_BYTES..).ok_or(AeadError::Short)?;
        let tag = self.encrypt(nonce, &binding.associated_data(key_version), body)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed.into())
    }

    /// Encrypts in place and answers the tag.
    fn encrypt(&self, nonce: [u8; NONCE_LEN], bound: &[u8], body: &mut [u8]) -> Result<Tag, AeadError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(bound), body);
        sealed.map_err(|_| AeadError::Mismatch)
    }

    /// Opens an envelope whose key version has chosen this key.
    pub(crate) fn open(&self, binding: Binding<'_>, sealed: &[u8]) -> Result<Sensitive<Vec<u8>>, AeadError> {
        let key_version = key_version(sealed)?;
        let nonce = sealed.get(HEADER_BYTES - NONCE_LEN..HEADER_BYTES).ok_or(AeadError::Short)?;
        let body = sealed.get(HEADER_BYTES..).ok_or(AeadError::Short)?;
        let (ciphertext, tag) =
            body.split_at_checked(body.len().wrapping_sub(TAG_BYTES)).ok_or(AeadError::Short)?;
        self.decrypt(nonce, &binding.associated_data(key_version), ciphertext, tag)
    }

    fn decrypt(
        &self,
        nonce: &[u8],
        bound: &[u8],
        ciphertext: &[u8],
        tag: &[u8],
    ) -> Result<Sensitive<Vec<u8>>, AeadError> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| AeadError::Short)?;
        let mut plaintext = Sensitive::new(vec![0_u8; ciphertext.len()]);
        self.0
            .open_separate_gather(nonce, Aad::from(bound), ciphertext, tag, plaintext.expose_mut())
            .map_err(|_| AeadError::Mismatch)?;
        Ok(plaintext)
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey([redacted])")
    }
}

/// The version of the key that sealed an envelope.
pub(crate) fn key_version(sealed: &[u8]) -> Result<u32, AeadError> {
    if sealed.len() < OVERHEAD_BYTES {
        return Err(AeadError::Short);
    }
    match sealed {
        [FORMAT, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        [other, ..] => Err(AeadError::Format(*other)),
        [] => Err(AeadError::Short),
    }
}

/// Fills a buffer from the operating system.
pub(crate) fn random(buffer: &mut [u8]) -> Result<(), AeadError> {
    getrandom::fill(buffer).map_err(|_| AeadError::Randomness)
}

/// A new random key.
pub(crate) fn random_key() -> Result<Sensitive<Vec<u8>>, AeadError> {
    let mut key = Sensitive::new(vec![0_u8; KEY_BYTES]);
    random(key.expose_mut())?;
    Ok(key)
}

#[cfg(test)]
#[path = "aead_tests.rs"]
mod tests;
