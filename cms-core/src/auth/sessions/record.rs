// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sessions and their refresh tokens: as they lie in the store (sealed), and as texts.
//!
//! A refresh token is `cmsr_<session>_<secret>_<tag>`. Of the secret only a hash is kept, and only
//! of the newest one. The tag, made with a key of the session, proves that a token was issued once:
//! so an old token is told from a guess, and only the former ends the session.

use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::super::credential::{Digest, REFRESH_PREFIX, random};
use super::super::users::LiveUser;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::UserId;
use crate::sensitive::Sensitive;

/// A session on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub(crate) v: u8,
    pub(crate) sid: String,
    pub(crate) user: String,
    /// Which user of that name, see `UserRecord::uid`.
    pub(crate) uid: String,
    /// The user's epoch at login, see `UserRecord::epoch`.
    pub(crate) epoch: u64,
    pub(crate) created_at: Timestamp,
    /// When the session ends, however often it is refreshed.
    pub(crate) ends_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
}

impl SessionRecord {
    /// Whether the session is one of this user as it is now.
    pub(crate) fn belongs_to(&self, user: &LiveUser) -> bool {
        self.uid == user.uid && self.epoch == user.epoch && !user.disabled
    }
}

/// The refresh token of a session, on disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshRecord {
    pub(crate) v: u8,
    pub(crate) user: String,
    /// SHA-256 of the newest token's secret.
    pub(crate) digest: String,
    /// The key of the tags, hexadecimal.
    family: String,
    pub(crate) expires_at: Timestamp,
}

impl std::fmt::Debug for RefreshRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshRecord").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The store key of a session.
pub(crate) fn session_key(user: &UserId, sid: &str) -> String {
    format!("auth/session/{}/{sid}", user.canonical())
}

/// The store key of a session's refresh token.
pub(crate) fn refresh_key(sid: &str) -> String {
    format!("auth/refresh/{sid}")
}

/// The parts of a refresh token's text.
#[derive(Debug)]
pub(crate) struct RefreshToken<'a> {
    pub(crate) sid: &'a str,
    secret: &'a str,
    tag: Vec<u8>,
}

impl<'a> RefreshToken<'a> {
    /// Takes a text apart; `None` if it has not the form of a refresh token.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > 256 {
            return None;
        }
        let (sid, rest) = text.strip_prefix(REFRESH_PREFIX)?.split_once('_')?;
        let (secret, tag) = rest.split_once('.')?;
        let is_hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        (is_hex(sid, 32) && is_hex(secret, 64)).then_some(Self { sid, secret, tag })
    }
}

/// What became of a presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// The newest one.
    Current,
    /// One that was used before.
    Used,
    /// None of this session's.
    Foreign,
}

impl RefreshRecord {
    /// A record for a new session, without a token yet.
    pub(crate) fn new(user: &UserId) -> Result<Self> {
        Ok(Self {
            v: 1,
            user: user.to_string(),
            digest: String::new(),
            family: HEXLOWER.encode(&random::<32>()?),
            expires_at: Timestamp::from_millis(0),
        })
    }

    /// Makes the next token, which takes the place of the present one.
    pub(crate) fn next(&mut self, sid: &str, expires_at: Timestamp) -> Result<Sensitive<String>> {
        let secret = Sensitive::new(HEXLOWER.encode(&random::<32>()?));
        self.digest = Digest::of(secret.expose()).to_text();
        self.expires_at = expires_at;
        let tag = hmac::sign(&self.key(), tagged(sid, secret.expose()).as_bytes());
        let tag = BASE64URL_NOPAD.encode(tag.as_ref());
        Ok(Sensitive::new(format!("{REFRESH_PREFIX}{sid}_{}.{tag}", secret.expose())))
    }

    /// Tells what a token is to this session.
    pub(crate) fn judge(&self, token: &RefreshToken<'_>) -> Presented {
        let genuine =
            hmac::verify(&self.key(), tagged(token.sid, token.secret).as_bytes(), &token.tag).is_ok();
        let digest = Digest::of(token.secret);
        let current = Digest::from_text(&self.digest).is_some_and(|kept| kept.matches(&digest));
        match (genuine, current) {
            (true, true) => Presented::Current,
            (true, false) => Presented::Used,
            (false, _) => Presented::Foreign,
        }
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.family.as_bytes())
    }
}

fn tagged(sid: &str, secret: &str) -> String {
    format!("cms-refresh-v1.{sid}.{secret}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SID: &str = "0123456789abcdef0123456789abcdef";

    fn record() -> RefreshRecord {
        RefreshRecord::new(&UserId::parse("eve").unwrap()).unwrap()
    }

    fn judge(record: &RefreshRecord, text: &str) -> Presented {
        record.judge(&RefreshToken::parse(text).unwrap())
    }

    #[test]
    fn an_old_token_is_told_from_a_guess() {
        let mut record = record();
        let end = Timestamp::from_millis(1);
        let first = record.next(SID, end).unwrap();
        assert_eq!(judge(&record, first.expose()), Presented::Current);
        let second = record.next(SID, end).unwrap();
        assert_eq!(judge(&record, second.expose()), Presented::Current);
        assert_eq!(judge(&record, first.expose()), Presented::Used);
        let guess = first.expose().replacen('.', "0.", 1).replacen("_0", "_", 1);
        assert!(RefreshToken::parse(&guess).is_none_or(|token| record.judge(&token) == Presented::Foreign));
        let other = super::tests::record().next(SID, end).unwrap();
        assert_eq!(judge(&record, other.expose()), Presented::Foreign);
    }

    #[test]
    fn the_records_of_version_1_stay_readable() {
        let golden = include_str!("../../../testdata/session_v1.json");
        let session: SessionRecord = serde_json::from_str(golden).unwrap();
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&session).unwrap()), golden);
        let golden = include_str!("../../../testdata/refresh_v1.json");
        let refresh: RefreshRecord = serde_json::from_str(golden).unwrap();
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&refresh).unwrap()), golden);
        assert!(!format!("{refresh:?}").contains(&refresh.family));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,300}", tail in "[0-9a-f_.]{0,140}") {
            let _ = RefreshToken::parse(&text);
            let _ = RefreshToken::parse(&format!("{REFRESH_PREFIX}{tail}"));
        }

        #[test]
        fn a_token_with_a_changed_character_is_foreign(at in 0_usize..145, to in "[0-9a-zA-Z_.-]") {
            let mut record = record();
            let text = record.next(SID, Timestamp::from_millis(1)).unwrap().expose().clone();
            let changed: String = text.chars().enumerate()
                .map(|(index, c)| if index == at { to.clone() } else { c.to_string() })
                .collect();
            prop_assume!(changed != text);
            // With another session's id, the token would be looked up there.
            let judged = RefreshToken::parse(&changed).map(|token| record.judge(&token));
            prop_assert!(judged.is_none_or(|judged| judged == Presented::Foreign));
        }
    }
}
