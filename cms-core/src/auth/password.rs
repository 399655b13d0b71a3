// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Passwords: hashed with argon2id on threads of their own, never more than a few at a time, so
//! that a burst of logins neither stalls the requests of others nor fills the memory.

use std::sync::{Arc, OnceLock};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::credential::random;
use crate::error::{Error, Place, Result};
use crate::ids::UserId;
use crate::sensitive::Sensitive;

/// The shortest and the longest password, in characters.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;
/// How many passwords are hashed at the same time; each takes 19 MiB.
const CONCURRENT: usize = 4;
/// How many callers may wait for their turn.
const WAITING: usize = 256;

/// Hashes and checks passwords. Cloning shares the queue.
#[derive(Debug, Clone)]
pub(crate) struct Passwords(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    running: Semaphore,
    waiting: Semaphore,
    /// A hash that no password has, for users who do not exist.
    nobody: OnceLock<String>,
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Queued<'a> {
    passwords: &'a Passwords,
    _waiting: SemaphorePermit<'a>,
}

/// A turn: whoever holds it may check one password.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    passwords: &'a Passwords,
    _running: SemaphorePermit<'a>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            running: Semaphore::new(CONCURRENT),
            waiting: Semaphore::new(WAITING),
            nobody: OnceLock::new(),
        }))
    }

    /// Takes a place in the queue.
    ///
    /// # Errors
    /// `Unavailable` if it is full.
    pub(crate) fn queue(&self) -> Result<Queued<'_>> {
        let busy = || Error::unavailable("login_busy", "too many logins at once; try again in a moment");
        let waiting = self.0.waiting.try_acquire().map_err(|_| busy())?;
        Ok(Queued { passwords: self, _waiting: waiting })
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, password: &Sensitive<String>) -> Result<String> {
        let _turn = self.queue()?.turn().await?;
        let password = password.clone();
        tokio::task::spawn_blocking(move || hash(&password)).await.map_err(Error::internal)?
    }
}

impl<'a> Queued<'a> {
    /// Waits for the turn.
    pub(crate) async fn turn(self) -> Result<Turn<'a>> {
        let running = self.passwords.0.running.acquire().await.map_err(Error::internal)?;
        Ok(Turn { passwords: self.passwords, _running: running })
    }
}

impl Turn<'_> {
    /// Checks a password against a hash. Without one it takes as long and answers no.
    pub(crate) async fn verify(&self, password: &Sensitive<String>, hash: Option<&str>) -> Result<bool> {
        let password = password.clone();
        let known = hash.map(str::to_owned);
        let inner = self.passwords.0.clone();
        let work = move || -> Result<bool> {
            let found = known.is_some();
            let hash = match known {
                Some(hash) => hash,
                None => inner.nobody()?,
            };
            let matches = argon2()?.verify_password(password.expose().as_bytes(), hash.as_str()).is_ok();
            Ok(matches & found)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }
}

impl Inner {
    fn nobody(&self) -> Result<String> {
        if let Some(hash) = self.nobody.get() {
            return Ok(hash.clone());
        }
        let text = Sensitive::new(data_encoding::HEXLOWER.encode(&random::<32>()?));
        Ok(self.nobody.get_or_init(|| hash(&text).unwrap_or_default()).clone())
    }
}

/// OWASP's parameters: 19 MiB, two passes, one lane.
fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Sensitive<String>) -> Result<String> {
    let salt = random::<16>()?;
    let hash = argon2()?.hash_password_with_salt(password.expose().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
}

/// Checks whether a text may be a user's password.
///
/// # Errors
/// `Unprocessable` if it is too short, too long, or the user's own name.
pub(crate) fn check(user: &UserId, password: &Sensitive<String>) -> Result<()> {
    let text = password.expose();
    let message = if !PASSWORD_CHARS.contains(&text.chars().count()) {
        format!("a password has {} to {} characters", PASSWORD_CHARS.start(), PASSWORD_CHARS.end())
    } else if text.to_lowercase() == user.as_str().to_lowercase() {
        "a password must not be the user's name".to_owned()
    } else {
        return Ok(());
    };
    let place = Place { path: Some("/password".to_owned()), message: message.clone(), ..Place::default() };
    Err(Error::unprocessable("invalid_password", message).with_places(vec![place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Sensitive<String> {
        Sensitive::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_matches_and_no_one_matches_nobody() {
        let passwords = Passwords::new();
        let hash = passwords.hash(&secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let turn = passwords.queue().unwrap().turn().await.unwrap();
        assert!(turn.verify(&secret("correct horse"), Some(&hash)).await.unwrap());
        assert!(!turn.verify(&secret("Correct horse"), Some(&hash)).await.unwrap());
        assert!(!turn.verify(&secret("correct horse"), None).await.unwrap());
        assert!(!turn.verify(&secret("x"), Some("no hash")).await.unwrap());
    }

    #[tokio::test]
    async fn a_crowd_is_turned_away_instead_of_piling_up() {
        let passwords = Passwords::new();
        let mut held = Vec::new();
        for _ in 0..CONCURRENT {
            held.push(passwords.queue().unwrap().turn().await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(passwords.queue().unwrap().turn())).collect();
        for turn in &mut waiting {
            assert!(futures_util::poll!(turn.as_mut()).is_pending());
        }
        assert_eq!(passwords.queue().unwrap_err().code(), "login_busy");
        drop(held);
        assert!(waiting.remove(0).await.is_ok());
    }

    #[test]
    fn passwords_keep_to_their_rule() {
        let user = UserId::parse("Eve.Adams").unwrap();
        for bad in ["", "1234567", "eve.adams", "EVE.ADAMS", &"x".repeat(257)] {
            assert_eq!(check(&user, &secret(bad)).unwrap_err().code(), "invalid_password", "{bad}");
        }
        for good in ["12345678", "pässwörd", &"x".repeat(256)] {
            assert!(check(&user, &secret(good)).is_ok(), "{good}");
        }
    }
}
