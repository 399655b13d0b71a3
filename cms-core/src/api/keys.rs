// SPDX-License-Identifier: Apache-2.0 OR MIT
//! API keys on the wire.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;

/// A scope of an API key: its name alone, or narrowed to an environment and a name prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Scope {
    /// The name alone, such as `decide` or `secret:read`.
    Name(String),
    /// The name with what it is narrowed to.
    Narrowed(NarrowedScope),
}

/// A scope that holds for a part of the project only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NarrowedScope {
    /// The name, such as `secret:read`.
    pub scope: String,
    /// Only what belongs to this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only names at or under this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScopeVisitor)
    }
}

/// Reads either form and reports what is wrong within it, which an untagged enum would not.
struct ScopeVisitor;

impl<'de> Visitor<'de> for ScopeVisitor {
    type Value = Scope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a scope, or an object with `scope`, `environment` and `prefix`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scope, E> {
        Ok(Scope::Name(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scope, A::Error> {
        NarrowedScope::deserialize(de::value::MapAccessDeserializer::new(map)).map(Scope::Narrowed)
    }
}

/// Asks for an API key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What the key is for, in 1 to 128 characters.
    pub name: String,
    /// What it may do: at least one scope.
    pub scopes: Vec<Scope>,
    /// The environment that it is bound to; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// When it stops working; never, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The addresses and networks (CIDR) that it works from; none: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<Vec<String>>,
}

/// Asks for a new secret under the same id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// For how long the old secret keeps working: 0 (the default) to 2,592,000 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u64>,
}

/// Whether an API key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It works.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// An API key as it may be shown at any time: without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The stable, public id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// The project that it belongs to.
    pub project: String,
    /// The environment that it is bound to.
    pub environment: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whether it works.
    pub state: KeyState,
    /// The public beginning of its text.
    pub masked: String,
    /// The addresses and networks that it works from; empty: everywhere.
    pub allowed_ips: Vec<String>,
    /// The version, for `If-Match`.
    pub version: u64,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it stops working.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When its secret was last replaced.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// Until when the secret before the present one works as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub overlap_until: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// A new API key, or an old one with a new secret: the only time that its text is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The text to send as `Authorization: Bearer …` or `X-API-Key`. It cannot be shown again.
    pub key: String,
    /// Everything else about it.
    #[serde(flatten)]
    pub about: Key,
}

impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey").field("about", &self.about).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_in_both_forms_and_refuse_a_smuggled_field() {
        let text = r#"["decide",{"scope":"secret:read","prefix":"llm"}]"#;
        let scopes: Vec<Scope> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&scopes).unwrap(), text);
        let error = serde_json::from_str::<Scope>(r#"{"scope":"decide","project":"other"}"#).unwrap_err();
        assert!(error.to_string().contains("project"), "{error}");
        assert!(serde_json::from_str::<Scope>("7").is_err());
    }

    #[test]
    fn the_text_of_a_new_key_is_not_in_its_debug_form() {
        let about = Key {
            id: "id".into(),
            name: "n".into(),
            project: "p".into(),
            environment: None,
            scopes: vec![],
            state: KeyState::Active,
            masked: "cms_id_••••".into(),
            allowed_ips: vec![],
            version: 1,
            created_at: Timestamp::from_millis(0),
            created_by: "root".into(),
            expires_at: None,
            last_used_at: None,
            rotated_at: None,
            overlap_until: None,
            revoked_at: None,
        };
        let created = CreatedKey { key: "cms_id_TOPSECRET".into(), about };
        assert!(!format!("{created:?}").contains("TOPSECRET"));
        assert!(
            serde_json::to_string(&created).unwrap().starts_with(r#"{"key":"cms_id_TOPSECRET","id":"id""#)
        );
    }
}
