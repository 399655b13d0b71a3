// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Access tokens: signed with Ed25519, for 15 minutes, and only ever of the one form that is made
//! here. Whether the session behind a token still stands is `authenticate`'s to ask.
//!
//! The cryptography is called through an explicit provider: the process-wide default of the JWT
//! library belongs to whoever embeds this crate.

mod signing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::credential::{Digest, random};
use super::sealed::Sealed;
use super::{Principal, Target, event};
use crate::api::auth::Jwks;
use crate::audit::NewRecord;
use crate::clock::Timestamp;
use crate::context::RequestContext;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};
use crate::kit::Kit;
use crate::store::{Outcome, Transaction};
use signing::SigningKeys;

pub(crate) use signing::SigningRecord;

/// The type that the header of every access token names (RFC 9068).
const TOKEN_TYPE: &str = "at+jwt";
/// For how long an access token works.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The longest token that is looked at; ours have about 500 bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How many verified tokens are remembered.
const REMEMBERED: usize = 100_000;
/// Where the signing keys are kept.
pub(crate) const SIGNING_KEY: &str = "auth/signing/keys";
const ATTEMPTS: usize = 16;

/// What an access token says. Nothing may be missing and nothing else may be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) sid: String,
}

/// A token that was verified, as far as requests need it.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) user: UserId,
    pub(crate) session: Arc<str>,
    kid: String,
    expires: Timestamp,
}

/// Issues and verifies access tokens. Cloning shares the memory of verified ones.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    kit: Kit,
    sealed: Sealed,
    issuer: Arc<str>,
    remembered: Arc<Cache<[u8; 32], Arc<Verified>>>,
}

impl Tokens {
    /// Tokens that name `issuer` as who made them and whom they are for.
    pub(crate) fn new(kit: Kit, issuer: impl Into<Arc<str>>) -> Self {
        let sealed = Sealed::of(&kit);
        Self { kit, sealed, issuer: issuer.into(), remembered: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// Signs a token for a session.
    pub(crate) async fn issue(&self, user: &UserId, session: &str) -> Result<String> {
        let now = self.kit.now();
        let keys = self.keys(now).await?;
        let key = keys.current(now).ok_or_else(|| Error::internal("no key signs"))?;
        let claims = Claims {
            iss: self.issuer.to_string(),
            sub: user.to_string(),
            aud: self.issuer.to_string(),
            iat: now.as_secs(),
            exp: now.after(ACCESS_LIFETIME).as_secs(),
            jti: HEXLOWER.encode(&random::<16>()?),
            sid: session.to_owned(),
        };
        let claims = serde_json::to_vec(&claims).map_err(Error::internal)?;
        let message = format!("{}.{}", key.header, BASE64URL_NOPAD.encode(&claims));
        let signer =
            (DEFAULT_PROVIDER.signer_factory)(&Algorithm::EdDSA, &key.signs).map_err(Error::internal)?;
        let signature = signer.try_sign(message.as_bytes()).map_err(Error::internal)?;
        Ok(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    /// Verifies a token; `None` if it is not one of ours, or its time is over.
    pub(crate) async fn verify(&self, token: &str) -> Result<Option<Arc<Verified>>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Ok(None);
        }
        let now = self.kit.now();
        let Some(keys) = self.read().await? else { return Ok(None) };
        let digest = Digest::of(token).to_bytes();
        if let Some(known) = self.remembered.get(&digest) {
            if known.expires > now && keys.knows(&known.kid) {
                return Ok(Some(known));
            }
            self.remembered.remove(&digest);
            return Ok(None);
        }
        let Some(verified) = self.check(&keys, token, now) else { return Ok(None) };
        let verified = Arc::new(verified);
        self.remembered.insert(digest, verified.clone());
        Ok(Some(verified))
    }

    /// Checks a token from scratch. The header must be, to the letter, one that we write: there is
    /// nothing in it to choose from.
    fn check(&self, keys: &SigningKeys, token: &str, now: Timestamp) -> Option<Verified> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let key = keys.by_header(header)?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        if !is_signed(&key.verifies, message.as_bytes(), &signature) {
            return None;
        }
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let ours = claims.iss == *self.issuer && claims.aud == *self.issuer;
        let lifetime = i64::try_from(ACCESS_LIFETIME.as_secs()).ok()?;
        let bounded = claims.exp.checked_sub(claims.iat).is_some_and(|span| (0..=lifetime).contains(&span));
        let alive = claims.exp > now.as_secs();
        let user = UserId::parse(&claims.sub).ok()?;
        (ours && bounded && alive && !claims.jti.is_empty()).then(|| Verified {
            user,
            session: Arc::from(claims.sid),
            kid: key.kid.clone(),
            expires: Timestamp::from_millis(claims.exp.saturating_mul(1000)),
        })
    }

    /// The public keys, for others.
    pub(crate) async fn jwks(&self) -> Result<Jwks> {
        Ok(self.keys(self.kit.now()).await?.public())
    }

    /// The transaction that replaces the signing key. With `at_once`, every access token that was
    /// issued before stops working.
    async fn rotate(&self, at_once: bool) -> Result<Transaction> {
        let platform = ProjectId::platform();
        let read = self.sealed.fresh::<SigningRecord>(&platform, SIGNING_KEY).await?;
        let (entry, mut record) = match read {
            Some(fresh) => (Some(fresh.entry), fresh.record),
            None => (None, SigningRecord::empty()),
        };
        record.rotate(self.kit.now(), ACCESS_LIFETIME, at_once)?;
        self.sealed.write(&platform, SIGNING_KEY, entry.as_ref(), &record).await
    }

    /// Replaces the signing key on request.
    pub(crate) async fn rotate_now(&self, ctx: &RequestContext, at_once: bool) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let change = self.rotate(at_once).await?;
            if let Outcome::Committed { .. } = self.kit.commit(ctx, rotation(), change).await? {
                return Ok(());
            }
        }
        Err(Error::conflict("too_many_writers", "others keep changing the signing keys; try again"))
    }

    async fn read(&self) -> Result<Option<Arc<SigningKeys>>> {
        let build = |record: SigningRecord, _| SigningKeys::new(&record);
        self.sealed.cached(&ProjectId::platform(), SIGNING_KEY, build).await
    }

    /// The signing keys, after making one if it is time.
    async fn keys(&self, now: Timestamp) -> Result<Arc<SigningKeys>> {
        for _ in 0..ATTEMPTS {
            if let Some(keys) = self.read().await?.filter(|keys| keys.current(now).is_some()) {
                return Ok(keys);
            }
            // Whoever loses the race finds the winner's key on the next turn.
            let change = self.rotate(false).await?;
            let ctx = RequestContext::new(Principal::system());
            if let Outcome::Committed { .. } = self.kit.commit(&ctx, rotation(), change).await? {
                tracing::info!("a new key signs access tokens");
            }
        }
        Err(Error::unavailable("no_signing_key", "no signing key could be made; try again"))
    }
}

/// Whether a signature (Ed25519) is the key's over a message.
fn is_signed(key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&Algorithm::EdDSA, key);
    verifier.is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
}

/// The record of a new signing key.
fn rotation() -> NewRecord {
    event("auth:rotate-signing-key", Target::platform("signing-key"))
}
