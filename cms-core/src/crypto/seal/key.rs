// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key seal: AES-256-GCM with one key that the operator keeps outside of the store.
//!
//! Wrapped form: `[key check 8][envelope]`. The key check is a keyed hash of a constant, so that the
//! wrong key is told apart from a damaged record.

use async_trait::async_trait;
use aws_lc_rs::hmac;

use super::{KeySource, Seal, wrong_key};
use crate::crypto::aead::{AeadKey, Binding};
use crate::error::{Error, Result};
use crate::sensitive::Sensitive;

/// Wraps with a key that is read from its source at every use, and kept by nobody in between.
#[derive(Debug, Clone)]
pub struct KeySeal {
    source: KeySource,
}

impl KeySeal {
    /// A seal with the key of this source. The key is read, and refused if it is none, at first use.
    pub fn new(source: KeySource) -> Self {
        Self { source }
    }
}

const NAME: &str = "key";
const CHECK_BYTES: usize = 8;
const CHECK_LABEL: &[u8] = b"cms seal key check";

#[async_trait]
impl Seal for KeySeal {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn wrap(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>> {
        wrap_with(self.source.read()?.expose(), plaintext, context)
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Sensitive<Vec<u8>>> {
        unwrap_with(NAME, self.source.read()?.expose(), wrapped, context)
    }
}

pub(super) fn wrap_with(key: &[u8], plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>> {
    let context = context_text(context)?;
    let sealed = AeadKey::new(key)
        .and_then(|aead| aead.seal(1, binding(&context), plaintext))
        .map_err(Error::internal)?;
    let mut wrapped = key_check(key).to_vec();
    wrapped.extend_from_slice(&sealed);
    Ok(wrapped)
}

pub(super) fn unwrap_with(
    seal: &str,
    key: &[u8],
    wrapped: &[u8],
    context: &[u8],
) -> Result<Sensitive<Vec<u8>>> {
    let context = context_text(context)?;
    let damaged = || Error::internal("the sealed root keyring is damaged");
    let (check, sealed) = wrapped.split_at_checked(CHECK_BYTES).ok_or_else(damaged)?;
    if check != key_check(key) {
        return Err(wrong_key(seal));
    }
    AeadKey::new(key)
        .and_then(|aead| aead.open(binding(&context), sealed))
        .map_err(|error| damaged().with_source(error))
}

fn binding(context: &str) -> Binding<'_> {
    Binding { project: "", key: context, version: 0 }
}

fn context_text(context: &[u8]) -> Result<String> {
    String::from_utf8(context.to_vec()).map_err(Error::internal)
}

fn key_check(key: &[u8]) -> [u8; CHECK_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), CHECK_LABEL);
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn seal(byte: u8) -> KeySeal {
        let key: Vec<u8> = (0..32).map(|i| byte ^ i).collect();
        KeySeal::new(KeySource::Bytes(Sensitive::new(key)))
    }

    #[tokio::test]
    async fn only_the_same_key_under_the_same_context_unwraps() {
        let wrapped = seal(1).wrap(b"root", b"here").await.unwrap();
        assert_eq!(seal(1).unwrap(&wrapped, b"here").await.unwrap().expose(), b"root");
        let moved = seal(1).unwrap(&wrapped, b"there").await.unwrap_err();
        assert_eq!(moved.kind(), ErrorKind::Internal);
        let wrong = seal(2).unwrap(&wrapped, b"here").await.unwrap_err();
        assert_eq!((wrong.kind(), wrong.code()), (ErrorKind::Sealed, "wrong_seal_key"));
        for end in 0..wrapped.len() {
            assert!(seal(1).unwrap(&wrapped[..end], b"here").await.is_err(), "cut at {end}");
        }
    }

    #[tokio::test]
    async fn it_takes_no_shares() {
        let error = seal(1).offer(Sensitive::new(vec![1])).await.unwrap_err();
        assert_eq!(error.code(), "seal_takes_no_shares");
    }
}
