// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys that sign a project's bundles: kept sealed as one record of the project, replaced on demand.
//!
//! Whoever verifies bundles has the public keys configured. So a new key can be shown for a while before
//! it signs, and the public half of a replaced one stays, for bundles that were fetched before.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::Releases;
use crate::api::releases::{BundleKey, BundleKeys, RotateBundleKey};
use crate::audit::NewRecord;
use crate::auth::sealed::Sealed;
use crate::auth::{Action, Principal, Target, random};
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Outcome, Transaction};

/// How many keys are shown: those that were replaced longest ago go first.
const MAX_KEYS: usize = 8;
/// The longest time that a new key is shown before it signs.
const MAX_NOTICE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often a change is tried again when others change the keys at the same time.
const ATTEMPTS: usize = 16;

/// The signing keys on disk, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SigningRecord {
    v: u8,
    keys: Vec<KeyRecord>,
}

/// One signing key on disk.
#[derive(Clone, Serialize, Deserialize)]
struct KeyRecord {
    kid: String,
    /// The public key (SubjectPublicKeyInfo), base64.
    public: String,
    /// The key pair (PKCS#8), base64; gone once another key has replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<String>,
    created_at: Timestamp,
    /// From when on it signs.
    signs_from: Timestamp,
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

/// The signing keys in memory.
pub(super) struct SigningKeys {
    keys: Vec<SigningKey>,
}

/// One signing key in memory.
pub(super) struct SigningKey {
    shown: BundleKey,
    signs: Option<EncodingKey>,
}

impl Releases {
    /// Shows the public halves of the keys that sign the project's bundles; the first one signs now.
    ///
    /// # Errors
    /// `NotFound` if there is no such project.
    pub async fn bundle_keys(&self, ctx: &RequestContext, project: &ProjectId) -> Result<BundleKeys> {
        self.kit.authorize(ctx, Action::BundleRead, Target::new(project, "bundle-key")).await?;
        Ok(self.signing_keys(project).await?.shown(self.kit.now()))
    }

    /// Gives the project a new key to sign bundles with.
    ///
    /// # Errors
    /// `Invalid` for a notice of more than 90 days.
    pub async fn rotate_bundle_key(
        &self,
        ctx: &RequestContext,
        project: &ProjectId,
        rotate: RotateBundleKey,
    ) -> Result<BundleKeys> {
        let notice = Duration::from_secs(rotate.notice_seconds.unwrap_or(0).into());
        if notice > MAX_NOTICE {
            let text = format!("`notice_seconds` is at most {}", MAX_NOTICE.as_secs());
            return Err(Error::invalid(text));
        }
        let target = Target::new(project, "bundle-key");
        let proof = self.kit.authorize(ctx, Action::ProjectWrite, target).await?;
        if let Some(rotated) = ctx.given()? {
            return Ok(rotated);
        }
        for _ in 0..ATTEMPTS {
            let (change, record) = self.rotation(project, notice).await?;
            let shown = SigningKeys::new(&record)?.shown(self.kit.now());
            ctx.offer(&shown)?;
            let audited = NewRecord { action: "bundle:rotate-key".into(), ..NewRecord::of(&proof) };
            if let Outcome::Committed { .. } = self.kit.commit(ctx, audited, change).await? {
                return Ok(shown);
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing the signing keys; try again"))
    }

    /// The signing keys of a project, after making one if there is none.
    pub(super) async fn signing_keys(&self, project: &ProjectId) -> Result<Arc<SigningKeys>> {
        let sealed = Sealed::of(&self.kit);
        for _ in 0..ATTEMPTS {
            let build = |record: SigningRecord, _| SigningKeys::new(&record);
            if let Some(keys) = sealed.cached(project, &signing_key(project), build).await? {
                return Ok(keys);
            }
            // Whoever loses the race finds the winner's key on the next turn.
            let (change, _) = self.rotation(project, Duration::ZERO).await?;
            let ctx = RequestContext::new(Principal::system());
            let resource = Target::new(project, "bundle-key").to_string();
            let made = NewRecord::new("bundle:rotate-key", resource, project.clone());
            self.kit.commit(&ctx, made, change).await?;
        }
        Err(Error::unavailable("no_signing_key", "no signing key could be made; try again"))
    }

    /// Checks that the record of signing keys opens; tells whether there is one.
    pub(crate) async fn verify_signing(&self, project: &ProjectId) -> Result<bool> {
        let read = Sealed::of(&self.kit).fresh::<SigningRecord>(project, &signing_key(project)).await?;
        read.map_or(Ok(false), |fresh| SigningKeys::new(&fresh.record).map(|_| true))
    }

    async fn rotation(&self, project: &ProjectId, notice: Duration) -> Result<(Transaction, SigningRecord)> {
        let (sealed, key) = (Sealed::of(&self.kit), signing_key(project));
        let (entry, mut record) = match sealed.fresh::<SigningRecord>(project, &key).await? {
            Some(fresh) => (Some(fresh.entry), fresh.record),
            None => (None, SigningRecord { v: 1, keys: Vec::new() }),
        };
        record.rotate(self.kit.now(), notice)?;
        Ok((sealed.write(project, &key, entry.as_ref(), &record).await?, record))
    }
}

impl SigningRecord {
    /// Adds a new key that signs after the notice, in the place of one that was still to come. Those that
    /// sign no more lose their private halves.
    fn rotate(&mut self, now: Timestamp, notice: Duration) -> Result<()> {
        self.keys.retain(|key| key.signs_from <= now);
        self.keys.insert(0, KeyRecord::generate(now, now.after(notice))?);
        self.keys.truncate(MAX_KEYS);
        let signing = self.keys.iter().position(|key| key.signs_from <= now).unwrap_or(0);
        for key in self.keys.iter_mut().skip(signing + 1) {
            key.private.zeroize();
            key.private = None;
        }
        Ok(())
    }
}

impl KeyRecord {
    fn generate(now: Timestamp, signs_from: Timestamp) -> Result<Self> {
        let failed = |_| Error::internal("no signing key can be made");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
        Ok(Self {
            kid: HEXLOWER.encode(&random::<8>()?),
            public: BASE64.encode(public.as_ref()),
            private: Some(BASE64.encode(pair.to_pkcs8v1().map_err(failed)?.as_ref())),
            created_at: now,
            signs_from,
        })
    }
}

impl SigningKeys {
    fn new(record: &SigningRecord) -> Result<Self> {
        Ok(Self { keys: record.keys.iter().map(SigningKey::new).collect::<Result<_>>()? })
    }

    /// The key that signs now: the newest whose time has come.
    pub(super) fn current(&self, now: Timestamp) -> Result<&SigningKey> {
        let signs = |key: &&SigningKey| key.signs.is_some() && key.shown.signs_from <= now;
        // A clock that was set back must not leave nobody to sign.
        let found =
            self.keys.iter().find(signs).or_else(|| self.keys.iter().rfind(|key| key.signs.is_some()));
        found.ok_or_else(|| Error::internal("no key signs bundles"))
    }

    /// The public halves, the signing one first.
    fn shown(&self, now: Timestamp) -> BundleKeys {
        let current = self.current(now).ok().map(|key| key.shown.kid.clone());
        let mut keys: Vec<BundleKey> = self.keys.iter().map(|key| key.shown.clone()).collect();
        keys.sort_by_key(|key| Some(&key.kid) != current.as_ref());
        BundleKeys { keys }
    }
}

impl SigningKey {
    fn new(record: &KeyRecord) -> Result<Self> {
        let damaged = || Error::internal(format!("the signing key `{}` cannot be read", record.kid));
        let public = BASE64.decode(record.public.as_bytes()).map_err(|_| damaged())?;
        // The point ends the structure: its two coordinates of 32 bytes.
        let at = public.len().checked_sub(64).ok_or_else(damaged)?;
        let (x, y) = public.get(at..).and_then(|point| point.split_at_checked(32)).ok_or_else(damaged)?;
        let signs = match &record.private {
            Some(private) => {
                let der = Zeroizing::new(BASE64.decode(private.as_bytes()).map_err(|_| damaged())?);
                Some(EncodingKey::from_ec_der(&der))
            }
            None => None,
        };
        let shown = BundleKey {
            kid: record.kid.clone(),
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            usage: "sig".to_owned(),
            alg: "ES256".to_owned(),
            x: BASE64URL_NOPAD.encode(x),
            y: BASE64URL_NOPAD.encode(y),
            pem: pem(&public),
            created_at: record.created_at,
            signs_from: record.signs_from,
        };
        Ok(Self { shown, signs })
    }

    /// The id that signatures name in their header.
    pub(super) fn kid(&self) -> &str {
        &self.shown.kid
    }

    /// Signs a payload: a JWT in its compact form.
    pub(super) fn sign(&self, payload: &[u8]) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.shown.kid.clone());
        let header = serde_json::to_vec(&header).map_err(Error::internal)?;
        let message = format!("{}.{}", BASE64URL_NOPAD.encode(&header), BASE64URL_NOPAD.encode(payload));
        let key = self.signs.as_ref().ok_or_else(|| Error::internal("this key signs no more"))?;
        let signer = (DEFAULT_PROVIDER.signer_factory)(&Algorithm::ES256, key).map_err(Error::internal)?;
        let signature = signer.try_sign(message.as_bytes()).map_err(Error::internal)?;
        Ok(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature)))
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(SigningKey::kid)).finish()
    }
}

/// The key of the record.
pub(super) fn signing_key(project: &ProjectId) -> String {
    format!("p/{project}/sign/bundle")
}

/// A public key as OPA's configuration takes it (RFC 7468).
fn pem(public: &[u8]) -> String {
    let text = BASE64.encode(public);
    let mut lines = String::from("-----BEGIN PUBLIC KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at(rest.len().min(64));
        lines.push_str(line);
        lines.push('\n');
        rest = further;
    }
    lines + "-----END PUBLIC KEY-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn record(rotations: &[(i64, u64)]) -> SigningRecord {
        let mut record = SigningRecord { v: 1, keys: Vec::new() };
        for (now, notice) in rotations {
            record.rotate(at(*now), Duration::from_secs(*notice)).unwrap();
        }
        record
    }

    #[test]
    fn a_new_key_signs_after_its_notice_and_the_old_one_until_then() {
        let record = record(&[(0, 0), (100, 50)]);
        let keys = SigningKeys::new(&record).unwrap();
        let (new, old) = (record.keys[0].kid.as_str(), record.keys[1].kid.as_str());
        assert_eq!(keys.current(at(149)).unwrap().kid(), old);
        assert_eq!(keys.current(at(150)).unwrap().kid(), new);
        let shown = |now: i64| keys.shown(at(now)).keys.into_iter().map(|key| key.kid).collect::<Vec<_>>();
        assert_eq!(
            (shown(149), shown(150)),
            (vec![old.to_owned(), new.to_owned()], vec![new.to_owned(), old.to_owned()])
        );
    }

    #[test]
    fn a_replaced_key_cannot_sign_any_more_and_is_shown_for_a_while() {
        let record = record(&[(0, 0), (1, 0), (2, 0)]);
        let can_sign: Vec<bool> = record.keys.iter().map(|key| key.private.is_some()).collect();
        assert_eq!(can_sign, [true, false, false]);
        let many = super::tests::record(&(0..20).map(|now| (now, 0)).collect::<Vec<_>>());
        assert_eq!(many.keys.len(), MAX_KEYS);
    }

    #[test]
    fn the_record_of_version_1_stays_readable() {
        let golden = include_str!("../../testdata/bundle_signing_v1.json");
        let record: SigningRecord = serde_json::from_str(golden).unwrap();
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&record).unwrap()), golden);
        assert_eq!(SigningKeys::new(&record).unwrap().shown(at(2_000_000_000)).keys.len(), 2);
    }

    #[test]
    fn debug_forms_show_no_private_key() {
        let record = record(&[(0, 0)]);
        let private = record.keys[0].private.clone().unwrap();
        let shown = format!("{record:?} {:?}", SigningKeys::new(&record).unwrap());
        assert!(!shown.contains(&private) && shown.contains(&record.keys[0].kid));
    }
}
