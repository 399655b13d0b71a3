// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is it? Takes an access token, an API key or the root credential, and says whose it is. What
//! they may do is asked elsewhere, request by request.
//!
//! Whatever is wrong with a credential, the answer is one and the same, and so is its time: a key
//! that does not exist costs a look-up in the store, and so does a wrong secret of one that does.

use std::net::IpAddr;
use std::sync::Arc;

use super::Principal;
use super::credential::{self, Digest, KEY_PREFIX, MAX_CREDENTIAL_BYTES};
use super::keys::{LiveKey, Usage, index_key, record_key};
use super::root;
use super::sealed::Sealed;
use super::sessions::Sessions;
use super::tokens::Tokens;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::kit::Kit;
use crate::store::Entry;

/// Tells callers apart. Cloning shares what it remembers.
#[derive(Debug, Clone)]
pub struct Authenticator {
    kit: Kit,
    sealed: Sealed,
    tokens: Tokens,
    sessions: Sessions,
    usage: Usage,
}

/// Where the record of an API key lies.
#[derive(Debug)]
struct Located {
    record_key: String,
}

impl Authenticator {
    pub(crate) fn new(kit: Kit, tokens: Tokens, sessions: Sessions, usage: Usage) -> Self {
        let sealed = Sealed::of(&kit);
        Self { kit, sealed, tokens, sessions, usage }
    }

    /// Says whose credential it is. The address is compared with a key's address list.
    ///
    /// # Errors
    /// `Unauthenticated`, in one form, if it is nobody's; `Sealed` while nothing can be checked.
    pub async fn authenticate(&self, credential: &str, address: Option<IpAddr>) -> Result<Arc<Principal>> {
        if self.kit.barrier.is_sealed() {
            return Err(self.kit.barrier.sealed());
        }
        let found = if credential.len() > MAX_CREDENTIAL_BYTES {
            None
        } else if credential.starts_with(KEY_PREFIX) {
            self.key(credential, address).await?
        } else if credential.starts_with("ey") {
            self.token(credential).await?
        } else if root::matches(&self.sealed, credential).await? {
            Some(Principal::root())
        } else {
            None
        };
        found.ok_or_else(Error::unauthenticated)
    }

    async fn key(&self, text: &str, address: Option<IpAddr>) -> Result<Option<Arc<Principal>>> {
        let Some(id) = credential::key_id(text) else { return Ok(None) };
        let index = index_key(id);
        let presented = Digest::of(text);
        let remembered = self.kit.db.peek(&index).is_some();
        if let Some(key) = self.live_key(id, &index).await? {
            let now = self.kit.now();
            if key.admits(&presented, now, address) {
                self.usage.note(&key, now);
                return Ok(Some(key.principal.clone()));
            }
        }
        // Whether the id exists must not show in the time: each failure costs one read.
        if remembered {
            self.kit.db.fresh(&index).await?;
        }
        Ok(None)
    }

    async fn live_key(&self, id: &str, index: &str) -> Result<Option<Arc<LiveKey>>> {
        let locate = |entry: &Entry| locate(entry, id);
        let Some(located) = self.kit.db.cached(index).await?.parsed(locate)? else { return Ok(None) };
        let build = |record, _| LiveKey::new(&record);
        self.sealed.cached(&ProjectId::platform(), &located.record_key, build).await
    }

    async fn token(&self, text: &str) -> Result<Option<Arc<Principal>>> {
        let Some(verified) = self.tokens.verify(text).await? else { return Ok(None) };
        let found = self.sessions.session(&verified.user, &verified.session).await?;
        Ok(found.map(|(_, user)| Arc::new(user.principal(verified.session.clone()))))
    }
}

fn locate(entry: &Entry, id: &str) -> Result<Located> {
    let project = std::str::from_utf8(&entry.value).map_err(Error::internal)?;
    Ok(Located { record_key: record_key(&ProjectId::parse(project)?, id) })
}
