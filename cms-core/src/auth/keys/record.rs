// SPDX-License-Identifier: Apache-2.0 OR MIT
//! API keys as they lie in the store (sealed), and what the authenticator keeps of them in memory.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::super::credential::Digest;
use super::super::{KeyScope, Principal, PrincipalKind, ScopeName};
use crate::api::keys as wire;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{EnvironmentId, ProjectId};

/// An API key on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    pub(crate) v: u8,
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<ScopeRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed_ips: Vec<IpNet>,
    /// SHA-256 of the text; empty once the key is revoked.
    pub(crate) digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<PreviousSecret>,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotated_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A scope on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScopeRecord {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
}

/// The secret before the present one, while it still works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreviousSecret {
    pub(crate) digest: String,
    pub(crate) until: Timestamp,
}

/// When a key was last used; kept apart, so that using a key does not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UseRecord {
    pub(crate) v: u8,
    pub(crate) at: Timestamp,
}

impl From<&KeyScope> for ScopeRecord {
    fn from(scope: &KeyScope) -> Self {
        Self {
            name: scope.name.as_str().to_owned(),
            environment: scope.environment.as_ref().map(ToString::to_string),
            prefix: scope.prefix.as_deref().map(str::to_owned),
        }
    }
}

impl ScopeRecord {
    fn to_scope(&self) -> Result<KeyScope> {
        let name = ScopeName::parse(&self.name)
            .ok_or_else(|| Error::internal(format!("no scope is called `{}`", self.name)))?;
        let environment = self.environment.as_deref().map(EnvironmentId::parse).transpose()?;
        Ok(KeyScope { name, environment, prefix: self.prefix.as_deref().map(Arc::from) })
    }

    fn to_wire(&self) -> wire::Scope {
        if self.environment.is_none() && self.prefix.is_none() {
            return wire::Scope::Name(self.name.clone());
        }
        wire::Scope::Narrowed(wire::NarrowedScope {
            scope: self.name.clone(),
            environment: self.environment.clone(),
            prefix: self.prefix.clone(),
        })
    }
}

impl KeyRecord {
    /// Whether the key works at a moment.
    pub(crate) fn state(&self, now: Timestamp) -> wire::KeyState {
        if self.revoked_at.is_some() {
            wire::KeyState::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            wire::KeyState::Expired
        } else {
            wire::KeyState::Active
        }
    }

    /// The key without its secret.
    pub(crate) fn to_wire(&self, version: u64, used: Option<Timestamp>, now: Timestamp) -> wire::Key {
        wire::Key {
            id: self.id.clone(),
            name: self.name.clone(),
            project: self.project.clone(),
            environment: self.environment.clone(),
            scopes: self.scopes.iter().map(ScopeRecord::to_wire).collect(),
            state: self.state(now),
            masked: super::super::credential::masked(&self.id),
            allowed_ips: self.allowed_ips.iter().map(ToString::to_string).collect(),
            version,
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            expires_at: self.expires_at,
            last_used_at: used,
            rotated_at: self.rotated_at,
            overlap_until: self.previous.as_ref().map(|old| old.until).filter(|until| *until > now),
            revoked_at: self.revoked_at,
        }
    }
}

/// A key as the authenticator keeps it: everything that a request needs, parsed once.
#[derive(Debug)]
pub(crate) struct LiveKey {
    pub(crate) principal: Arc<Principal>,
    pub(crate) use_key: String,
    pub(crate) record_key: String,
    digest: Option<Digest>,
    previous: Option<(Digest, Timestamp)>,
    expires_at: Option<Timestamp>,
    allowed: Vec<IpNet>,
    /// When it was last used, by this process; 0: not yet.
    used: AtomicI64,
    /// Whether the use waits to be written.
    noted: AtomicBool,
}

impl LiveKey {
    pub(crate) fn new(record: &KeyRecord) -> Result<Self> {
        let project = ProjectId::parse(&record.project)?;
        let scopes = record.scopes.iter().map(ScopeRecord::to_scope).collect::<Result<Vec<_>>>()?;
        let digest = record.revoked_at.is_none().then(|| Digest::from_text(&record.digest)).flatten();
        let previous =
            record.previous.as_ref().and_then(|old| Some((Digest::from_text(&old.digest)?, old.until)));
        Ok(Self {
            use_key: super::use_key(&project, &record.id),
            record_key: super::record_key(&project, &record.id),
            principal: Arc::new(Principal {
                kind: PrincipalKind::Key {
                    id: Arc::from(record.id.as_str()),
                    project,
                    environment: record.environment.as_deref().map(EnvironmentId::parse).transpose()?,
                    scopes: scopes.into(),
                },
            }),
            digest,
            previous: digest.and(previous),
            expires_at: record.expires_at,
            allowed: record.allowed_ips.clone(),
            used: AtomicI64::new(0),
            noted: AtomicBool::new(false),
        })
    }

    /// Whether a caller that presents this secret from this address is let in now.
    pub(crate) fn admits(&self, presented: &Digest, now: Timestamp, address: Option<IpAddr>) -> bool {
        // Both comparisons always run: which of the secrets it was shows in no time.
        let current = self.digest.is_some_and(|digest| digest.matches(presented));
        let previous = self.previous.is_some_and(|(digest, until)| digest.matches(presented) & (until > now));
        (current | previous) && self.expires_at.is_none_or(|end| end > now) && self.is_allowed(address)
    }

    fn is_allowed(&self, address: Option<IpAddr>) -> bool {
        if self.allowed.is_empty() {
            return true;
        }
        // An IPv4 caller on a socket for both families comes as ::ffff:a.b.c.d.
        let address = address.map(|address| address.to_canonical());
        address.is_some_and(|address| self.allowed.iter().any(|network| network.contains(&address)))
    }

    /// Notes a use; true if the caller must see to it that it is written.
    pub(crate) fn note_use(&self, now: Timestamp) -> bool {
        self.used.store(now.as_millis(), Ordering::Relaxed);
        !self.noted.load(Ordering::Relaxed) && !self.noted.swap(true, Ordering::AcqRel)
    }

    /// The noted use, which from here on counts as written.
    pub(crate) fn take_use(&self) -> Timestamp {
        self.noted.store(false, Ordering::Release);
        Timestamp::from_millis(self.used.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> KeyRecord {
        KeyRecord {
            v: 1,
            id: "abcdefghijklmnop".into(),
            project: "rag".into(),
            name: "gateway".into(),
            scopes: vec![
                ScopeRecord { name: "decide".into(), environment: None, prefix: None },
                ScopeRecord {
                    name: "secret:read".into(),
                    environment: Some("prod".into()),
                    prefix: Some("llm".into()),
                },
            ],
            environment: Some("prod".into()),
            allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            digest: Digest::of("current").to_text(),
            previous: Some(PreviousSecret {
                digest: Digest::of("old").to_text(),
                until: Timestamp::from_millis(1_000),
            }),
            created_at: Timestamp::from_millis(0),
            created_by: "user:eve".into(),
            expires_at: Some(Timestamp::from_millis(5_000)),
            rotated_at: Some(Timestamp::from_millis(500)),
            revoked_at: None,
        }
    }

    fn admits(key: &LiveKey, text: &str, at: i64, from: Option<&str>) -> bool {
        let address = from.map(|text| text.parse().unwrap());
        key.admits(&Digest::of(text), Timestamp::from_millis(at), address)
    }

    #[test]
    fn the_record_of_version_1_stays_readable() {
        let golden = include_str!("../../../testdata/key_v1.json");
        assert_eq!(serde_json::from_str::<KeyRecord>(golden).unwrap(), record());
        assert_eq!(format!("{}\n", serde_json::to_string_pretty(&record()).unwrap()), golden);
    }

    #[test]
    fn both_secrets_work_during_the_overlap_and_none_after_the_end() {
        let key = LiveKey::new(&record()).unwrap();
        let inside = Some("10.1.2.3");
        assert!(admits(&key, "current", 999, inside) && admits(&key, "old", 999, inside));
        assert!(admits(&key, "current", 1_000, inside) && !admits(&key, "old", 1_000, inside));
        assert!(!admits(&key, "current", 5_000, inside) && !admits(&key, "other", 0, inside));
    }

    #[test]
    fn the_address_list_is_enforced() {
        let key = LiveKey::new(&record()).unwrap();
        for (address, admitted) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("2001:db8::1", true),
            ("11.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(admits(&key, "current", 0, Some(address)), admitted, "{address}");
        }
        assert!(!admits(&key, "current", 0, None), "an unknown address is outside of every list");
    }

    #[test]
    fn a_revoked_key_admits_nobody() {
        let revoked = KeyRecord { revoked_at: Some(Timestamp::from_millis(1)), ..record() };
        let key = LiveKey::new(&revoked).unwrap();
        assert!(!admits(&key, "current", 0, Some("10.0.0.1")) && !admits(&key, "old", 0, Some("10.0.0.1")));
        assert_eq!(revoked.state(Timestamp::from_millis(9_999)), wire::KeyState::Revoked);
    }

    #[test]
    fn only_the_first_use_asks_to_be_written() {
        let key = LiveKey::new(&record()).unwrap();
        assert!(key.note_use(Timestamp::from_millis(1)));
        assert!(!key.note_use(Timestamp::from_millis(2)));
        assert_eq!(key.take_use(), Timestamp::from_millis(2));
        assert!(key.note_use(Timestamp::from_millis(3)));
    }
}
