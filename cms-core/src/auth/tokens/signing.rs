// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys that sign access tokens: kept sealed as one record, replaced every 30 days or on demand.
//!
//! A replaced key stays until the last token that it signed has expired. A new key signs a minute
//! after it was made, so that others who cache the public keys know it by then.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::super::credential::random;
use crate::api::auth as wire;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// After how long a signing key is replaced.
pub(super) const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long before it signs a new key is shown among the public keys.
pub(super) const NOTICE: Duration = Duration::from_secs(60);
/// How many keys are kept; more than that were replaced by hand in a hurry.
const MAX_KEYS: usize = 16;

/// The signing keys on disk, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SigningRecord {
    pub(super) v: u8,
    pub(super) keys: Vec<KeyRecord>,
}

/// One signing key on disk.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) kid: String,
    /// The key pair (PKCS#8), base64.
    private: String,
    pub(super) created_at: Timestamp,
    /// From when on it signs.
    pub(super) signs_from: Timestamp,
}

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Drop for KeyRecord {
    fn drop(&mut self) {
        self.private.zeroize();
    }
}

impl SigningRecord {
    pub(super) fn empty() -> Self {
        Self { v: 1, keys: Vec::new() }
    }

    /// Adds a new key and forgets those whose tokens have all expired. With `at_once`, nothing that
    /// was signed before counts any more.
    pub(super) fn rotate(&mut self, now: Timestamp, token_lifetime: Duration, at_once: bool) -> Result<()> {
        let alone = at_once || self.keys.is_empty();
        let signs_from = if alone { now } else { now.after(NOTICE) };
        if at_once {
            self.keys.clear();
        }
        // The key that follows in the list is the one that a key replaced: its last token was
        // signed when the newer one took over.
        let mut successor = signs_from;
        self.keys.retain(|key| {
            let needed = successor.after(token_lifetime) > now;
            successor = key.signs_from;
            needed
        });
        self.keys.truncate(MAX_KEYS - 1);
        self.keys.insert(0, KeyRecord::generate(now, signs_from)?);
        Ok(())
    }
}

impl KeyRecord {
    fn generate(now: Timestamp, signs_from: Timestamp) -> Result<Self> {
        let pair = Ed25519KeyPair::generate().map_err(|_| Error::internal("no signing key can be made"))?;
        let document = pair.to_pkcs8v1().map_err(|_| Error::internal("the signing key cannot be written"))?;
        Ok(Self {
            kid: data_encoding::HEXLOWER.encode(&random::<8>()?),
            private: BASE64.encode(document.as_ref()),
            created_at: now,
            signs_from,
        })
    }
}

/// The signing keys in memory.
pub(super) struct SigningKeys {
    pub(super) keys: Vec<SigningKey>,
    due: Timestamp,
}

/// One signing key in memory.
pub(super) struct SigningKey {
    pub(super) kid: String,
    /// The header of every token of this key, exactly as it stands in them.
    pub(super) header: String,
    pub(super) signs: EncodingKey,
    pub(super) verifies: DecodingKey,
    public: String,
    signs_from: Timestamp,
}

impl SigningKeys {
    pub(super) fn new(record: &SigningRecord) -> Result<Self> {
        let keys = record.keys.iter().map(SigningKey::new).collect::<Result<Vec<_>>>()?;
        let due = record.keys.first().map_or(Timestamp::from_millis(0), |key| key.created_at.after(LIFETIME));
        Ok(Self { keys, due })
    }

    /// The key that signs now, unless it is time for a new one.
    pub(super) fn current(&self, now: Timestamp) -> Option<&SigningKey> {
        let signs = self.keys.iter().find(|key| key.signs_from <= now);
        // A clock that was set back must not leave nobody to sign.
        signs.or(self.keys.last()).filter(|_| self.due > now)
    }

    /// The key whose tokens have this header.
    pub(super) fn by_header(&self, header: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.header == header)
    }

    /// Whether a key is still trusted.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }

    /// The public halves.
    pub(super) fn public(&self) -> wire::Jwks {
        wire::Jwks { keys: self.keys.iter().map(SigningKey::jwk).collect() }
    }
}

impl SigningKey {
    fn new(record: &KeyRecord) -> Result<Self> {
        let damaged = || Error::internal(format!("the signing key `{}` cannot be read", record.kid));
        let der = zeroize::Zeroizing::new(BASE64.decode(record.private.as_bytes()).map_err(|_| damaged())?);
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| damaged())?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(super::TOKEN_TYPE.to_owned());
        header.kid = Some(record.kid.clone());
        Ok(Self {
            kid: record.kid.clone(),
            header: BASE64URL_NOPAD.encode(&serde_json::to_vec(&header).map_err(Error::internal)?),
            signs: EncodingKey::from_ed_der(&der),
            verifies: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            public: BASE64URL_NOPAD.encode(pair.public_key().as_ref()),
            signs_from: record.signs_from,
        })
    }

    fn jwk(&self) -> wire::Jwk {
        wire::Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            usage: "sig".to_owned(),
            alg: "EdDSA".to_owned(),
            kid: self.kid.clone(),
            x: self.public.clone(),
        }
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Duration = Duration::from_secs(900);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_first_key_signs_at_once_and_later_ones_after_the_notice() {
        let mut record = SigningRecord::empty();
        record.rotate(at(0), TOKEN, false).unwrap();
        let first = record.keys[0].kid.clone();
        record.rotate(at(1_000), TOKEN, false).unwrap();
        let keys = SigningKeys::new(&record).unwrap();
        assert_eq!(keys.keys.len(), 2);
        assert_eq!(keys.current(at(1_059)).unwrap().kid, first);
        assert_eq!(keys.current(at(1_060)).unwrap().kid, record.keys[0].kid);
    }

    #[test]
    fn a_replaced_key_is_forgotten_when_its_last_token_has_expired() {
        let mut record = SigningRecord::empty();
        for now in [0, 1_000, 1_500, 3_000] {
            record.rotate(at(now), TOKEN, false).unwrap();
        }
        // The first was replaced at 1,060 and the second at 1,560; their tokens are gone by 3,000.
        let made: Vec<i64> = record.keys.iter().map(|key| key.created_at.as_secs()).collect();
        assert_eq!(made, [3_000, 1_500]);
    }

    #[test]
    fn an_emergency_leaves_nothing_of_the_old_keys() {
        let mut record = SigningRecord::empty();
        record.rotate(at(0), TOKEN, false).unwrap();
        record.rotate(at(10), TOKEN, true).unwrap();
        assert_eq!(record.keys.len(), 1);
        assert!(SigningKeys::new(&record).unwrap().current(at(10)).is_some());
    }

    #[test]
    fn a_key_is_due_after_its_lifetime() {
        let mut record = SigningRecord::empty();
        record.rotate(at(0), TOKEN, false).unwrap();
        let end = at(0).after(LIFETIME);
        let keys = SigningKeys::new(&record).unwrap();
        assert!(keys.current(Timestamp::from_millis(end.as_millis() - 1)).is_some());
        assert!(keys.current(end).is_none());
    }

    #[test]
    fn debug_forms_show_no_private_key() {
        let mut record = SigningRecord::empty();
        record.rotate(at(0), TOKEN, false).unwrap();
        let private = record.keys[0].private.clone();
        let shown = format!("{record:?} {:?}", SigningKeys::new(&record).unwrap());
        assert!(!shown.contains(&private) && shown.contains(&record.keys[0].kid));
    }
}
