// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a keyring holds in the clear, as bytes that exist only while a keyring is wrapped or
//! unwrapped. Binary on purpose: text formats leave copies of keys in buffers that nobody wipes.
//!
//! `[format u8][secret length u8][secret][count u32 BE]`, then per key
//! `[number u32 BE][created i64 BE][key 32]`.

use super::aead::{AeadError, KEY_BYTES, random_key};
use crate::clock::Timestamp;
use crate::sensitive::Sensitive;

const FORMAT: u8 = 1;
const ENTRY_BYTES: usize = 4 + 8 + KEY_BYTES;

/// One version of a key, in the clear.
#[derive(Debug, Clone)]
pub(super) struct KeyMaterial {
    pub(super) number: u32,
    pub(super) created: Timestamp,
    pub(super) key: Sensitive<Vec<u8>>,
}

/// A keyring in the clear: the last version is the current one.
#[derive(Debug, Clone)]
pub(super) struct Material {
    /// The installation secret; of the root keyring only.
    pub(super) secret: Option<Sensitive<Vec<u8>>>,
    pub(super) keys: Vec<KeyMaterial>,
}

impl Material {
    /// A keyring with one new key.
    pub(super) fn generate(created: Timestamp, with_secret: bool) -> Result<Self, AeadError> {
        let secret = if with_secret { Some(random_key()?) } else { None };
        let keys = vec![KeyMaterial { number: 1, created, key: random_key()? }];
        Ok(Self { secret, keys })
    }

    /// The number of the current key.
    pub(super) fn current(&self) -> u32 {
        self.keys.last().map_or(0, |key| key.number)
    }

    /// Adds a new key, which becomes the current one.
    pub(super) fn rotate(&mut self, created: Timestamp) -> Result<u32, AeadError> {
        let number = self.current().saturating_add(1);
        self.keys.push(KeyMaterial { number, created, key: random_key()? });
        Ok(number)
    }

    pub(super) fn encode(&self) -> Sensitive<Vec<u8>> {
        let secret = self.secret.as_ref().map_or(&[][..], |secret| secret.expose());
        // The exact capacity: growing would leave a copy behind that is not wiped.
        let capacity = 1 + 1 + secret.len() + 4 + self.keys.len() * ENTRY_BYTES;
        let mut bytes = Sensitive::new(Vec::with_capacity(capacity));
        let out = bytes.expose_mut();
        out.push(FORMAT);
        out.push(u8::try_from(secret.len()).unwrap_or(0));
        out.extend_from_slice(secret);
        out.extend_from_slice(&u32::try_from(self.keys.len()).unwrap_or(0).to_be_bytes());
        for key in &self.keys {
            out.extend_from_slice(&key.number.to_be_bytes());
            out.extend_from_slice(&key.created.as_millis().to_be_bytes());
            out.extend_from_slice(key.key.expose());
        }
        bytes
    }

    /// Reads what [`Material::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&format, rest) = bytes.split_first()?;
        if format != FORMAT {
            return None;
        }
        let (&length, rest) = rest.split_first()?;
        let (secret, rest) = rest.split_at_checked(usize::from(length))?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
        if count == 0 || rest.len() != count.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        let keys: Option<Vec<_>> = rest.chunks_exact(ENTRY_BYTES).map(decode_key).collect();
        let keys = keys.filter(|keys| keys.is_sorted_by(|a, b| a.number < b.number))?;
        let secret = (!secret.is_empty()).then(|| Sensitive::new(secret.to_vec()));
        Some(Self { secret, keys })
    }
}

fn decode_key(bytes: &[u8]) -> Option<KeyMaterial> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    let (created, key) = rest.split_first_chunk::<8>()?;
    Some(KeyMaterial {
        number: u32::from_be_bytes(*number),
        created: Timestamp::from_millis(i64::from_be_bytes(*created)),
        key: Sensitive::new(key.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_round_trips_and_refuses_anything_else() {
        let mut material = Material::generate(Timestamp::from_millis(7), true).unwrap();
        material.rotate(Timestamp::from_millis(9)).unwrap();
        let bytes = material.encode();
        let back = Material::decode(bytes.expose()).unwrap();
        assert_eq!(back.current(), 2);
        assert_eq!(back.secret.unwrap().expose(), material.secret.as_ref().unwrap().expose());
        assert_eq!(back.keys[0].key.expose(), material.keys[0].key.expose());
        assert_eq!(back.keys[1].created, Timestamp::from_millis(9));
        for end in 0..bytes.expose().len() {
            assert!(Material::decode(&bytes.expose()[..end]).is_none(), "cut at {end}");
        }
        let longer = [bytes.expose().as_slice(), &[0]].concat();
        assert!(Material::decode(&longer).is_none());
    }
}
