// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts that stand for a caller: how API keys, root credentials and refresh tokens look, how
//! they are made, and how they are compared. What they stand for is in `keys`, `root`, `sessions`.
//!
//! An API key is `cms_<id>_<secret><checksum>`: a public id of 16 characters, 190 random bits in 32
//! characters, and the CRC-32 of all before it in 6. The checksum lets clients, scanners and the
//! server tell a key from a typo without a look-up; it keeps nobody out.

use aws_lc_rs::digest;
use flate2::Crc;

use crate::error::{Error, Result};
use crate::sensitive::Sensitive;

/// How every API key begins.
pub(crate) const KEY_PREFIX: &str = "cms_";
/// How every root credential begins, unless it was chosen by hand.
pub(crate) const ROOT_PREFIX: &str = "cmsroot_";
/// How every refresh token begins.
pub(crate) const REFRESH_PREFIX: &str = "cmsr_";
/// The longest credential that is looked at.
pub(crate) const MAX_CREDENTIAL_BYTES: usize = 8 * 1024;

const ID_CHARS: usize = 16;
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The SHA-256 of a credential: enough for secrets of 128 random bits and more, and all that is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Hashes a credential.
    pub(crate) fn of(text: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// The bytes, as a key of a map.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The form in which it is kept in (sealed) records.
    pub(crate) fn to_text(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// Reads the form of [`Digest::to_text`].
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[digest]")
    }
}

/// Fills a buffer with the operating system's randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::internal("no randomness to be had"))?;
    Ok(bytes)
}

/// Random characters of an alphabet, each equally likely.
fn random_text(alphabet: &[u8], count: usize) -> Result<String> {
    // Bytes past the last whole multiple are thrown away: taking them modulo would favour some.
    let bound = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        for byte in random::<64>()? {
            let byte = usize::from(byte);
            if byte < bound && text.len() < count {
                text.extend(alphabet.get(byte % alphabet.len()).map(|b| char::from(*b)));
            }
        }
    }
    Ok(text)
}

fn checksum(text: &str) -> String {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    let mut rest = crc.sum();
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(rest % 62).unwrap_or(0);
        *digit = BASE62.get(value).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

fn with_checksum(mut text: String) -> Sensitive<String> {
    let sum = checksum(&text);
    text.push_str(&sum);
    Sensitive::new(text)
}

/// Makes the public id of a new API key.
pub(crate) fn new_key_id() -> Result<String> {
    random_text(BASE32, ID_CHARS)
}

/// Makes the text of an API key with a new secret.
pub(crate) fn new_key(id: &str) -> Result<Sensitive<String>> {
    Ok(with_checksum(format!("{KEY_PREFIX}{id}_{}", random_text(BASE62, SECRET_CHARS)?)))
}

/// Makes a root credential.
pub(crate) fn new_root() -> Result<Sensitive<String>> {
    Ok(with_checksum(format!("{ROOT_PREFIX}{}", random_text(BASE62, 43)?)))
}

/// The public part of an API key's text.
pub(crate) fn masked(id: &str) -> String {
    format!("{KEY_PREFIX}{id}_••••")
}

/// Tells whether a text has the form of a key's id.
pub(crate) fn is_key_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// Finds the id within the text of an API key; `None` if its form or checksum is wrong.
pub(crate) fn key_id(text: &str) -> Option<&str> {
    const LENGTH: usize = KEY_PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;
    if text.len() != LENGTH || !text.is_ascii() {
        return None;
    }
    let (body, sum) = text.split_at_checked(LENGTH - CHECKSUM_CHARS)?;
    let (id, secret) = body.strip_prefix(KEY_PREFIX)?.split_once('_')?;
    let whole = is_key_id(id) && secret.bytes().all(|b| b.is_ascii_alphanumeric()) && checksum(body) == sum;
    whole.then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_names_its_id_and_never_repeats() {
        let id = new_key_id().unwrap();
        let (one, two) = (new_key(&id).unwrap(), new_key(&id).unwrap());
        assert_eq!(key_id(one.expose()), Some(id.as_str()));
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), 59);
        assert!(!Digest::of(one.expose()).matches(&Digest::of(two.expose())));
    }

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Digest::of("x");
        assert_eq!(Digest::from_text(&digest.to_text()), Some(digest));
        assert_eq!(Digest::from_text("00"), None);
        assert_eq!(format!("{digest:?}"), "[digest]");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}", raw in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = key_id(&text);
            let _ = key_id(&String::from_utf8_lossy(&raw));
            let _ = key_id(&format!("cms_{text}"));
        }

        #[test]
        fn the_checksum_catches_every_change_of_one_character(at in 0_usize..59, to in "[ -~é]") {
            let text = new_key(&new_key_id().unwrap()).unwrap();
            let changed: String = text.expose().chars().enumerate()
                .map(|(index, c)| if index == at { to.clone() } else { c.to_string() })
                .collect();
            prop_assert_eq!(key_id(&changed).is_some(), &changed == text.expose());
        }

        #[test]
        fn the_checksum_catches_swapped_and_missing_characters(at in 0_usize..58) {
            let text = new_key(&new_key_id().unwrap()).unwrap().expose().clone();
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at, at + 1);
            let swapped = String::from_utf8(swapped).unwrap();
            prop_assert_eq!(key_id(&swapped).is_some(), swapped == text);
            prop_assert!(key_id(&text[..at]).is_none());
            let longer = text.clone() + " ";
            prop_assert!(key_id(&longer).is_none());
        }
    }
}
