// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The root credential: printed once at initialisation, for the first steps and for emergencies.
//! It always gets the authorization policy that ships with the binary.

use serde::{Deserialize, Serialize};

use super::credential::{self, Digest, KEY_PREFIX, REFRESH_PREFIX};
use super::sealed::Sealed;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::sensitive::Sensitive;
use crate::store::Transaction;

/// Where its hash is kept.
pub(crate) const ROOT_KEY: &str = "sys/root";
/// The shortest root credential that may be chosen by hand.
const MIN_CHARS: usize = 4;
/// The longest one.
const MAX_CHARS: usize = 256;

/// The root credential on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootRecord {
    v: u8,
    digest: String,
    created_at: Timestamp,
}

/// The root credential in memory.
#[derive(Debug)]
struct LiveRoot(Option<Digest>);

/// The transaction that makes a root credential, or replaces the present one, and its text. With
/// `chosen`, that text becomes the credential: for tests and throw-away installations.
///
/// # Errors
/// `Invalid` if the chosen text could be taken for another kind of credential.
pub(crate) async fn replace(
    sealed: &Sealed,
    chosen: Option<Sensitive<String>>,
    now: Timestamp,
) -> Result<(Transaction, Sensitive<String>)> {
    let text = match chosen {
        Some(text) => check(text)?,
        None => credential::new_root()?,
    };
    let platform = ProjectId::platform();
    let read = sealed.fresh::<RootRecord>(&platform, ROOT_KEY).await?;
    let record = RootRecord { v: 1, digest: Digest::of(text.expose()).to_text(), created_at: now };
    let entry = read.as_ref().map(|read| &read.entry);
    Ok((sealed.write(&platform, ROOT_KEY, entry, &record).await?, text))
}

/// Whether a text is the root credential.
pub(crate) async fn matches(sealed: &Sealed, text: &str) -> Result<bool> {
    let build = |record: RootRecord, _| Ok(LiveRoot(Digest::from_text(&record.digest)));
    let root = sealed.cached(&ProjectId::platform(), ROOT_KEY, build).await?;
    let presented = Digest::of(text);
    Ok(root.and_then(|root| root.0).is_some_and(|digest| digest.matches(&presented)))
}

fn check(text: Sensitive<String>) -> Result<Sensitive<String>> {
    let chars = text.expose();
    let fits = (MIN_CHARS..=MAX_CHARS).contains(&chars.len()) && chars.bytes().all(|b| b.is_ascii_graphic());
    let taken = chars.starts_with(KEY_PREFIX) || chars.starts_with(REFRESH_PREFIX) || chars.starts_with("ey");
    if fits && !taken {
        return Ok(text);
    }
    let rule = "a root credential has 4 to 256 printable characters without spaces, and begins \
                neither like an API key (`cms_`) nor like a token (`cmsr_`, `ey`)";
    Err(Error::invalid(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_credential_is_told_from_all_others() {
        for good in ["root", "dev-token", "cmsroot_x"] {
            assert!(check(Sensitive::new(good.to_owned())).is_ok(), "{good}");
        }
        for bad in ["", "abc", "a b c d", "cms_x", "cmsr_x", "eyJhbGciOi", "wörld", &"x".repeat(257)] {
            assert!(check(Sensitive::new(bad.to_owned())).is_err(), "{bad}");
        }
    }
}
