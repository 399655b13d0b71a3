// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logging in, tokens and the caller itself on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::Scope;
use crate::auth::Role;

/// Asks for a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name, in any case.
    pub username: String,
    /// The password.
    pub password: String,
    /// A one-time code, for users who have registered a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otp: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Asks for the next pair of tokens of a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token of the last answer; it works once.
    pub refresh_token: String,
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}

/// The tokens of a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenPair {
    /// What to send as `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// For how many seconds the access token works.
    pub expires_in: u64,
    /// What to send for the next pair; it works once.
    pub refresh_token: String,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The kinds of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerKind {
    /// A person.
    User,
    /// An API key.
    Key,
    /// The root credential.
    Root,
}

/// A role, and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldRole {
    /// The role.
    pub role: Role,
    /// The project that it holds in; everywhere, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// The caller, as CMS knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// What kind of caller it is.
    pub kind: CallerKind,
    /// The user's name, the key's id, or `root`.
    pub id: String,
    /// The roles of a user.
    pub roles: Vec<HeldRole>,
    /// The scopes of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// The project of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The environment that a key is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// The public keys that verify access tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwks {
    /// The keys; the one that signs now comes first.
    pub keys: Vec<Jwk>,
}

/// A public key (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Always `EdDSA`.
    pub alg: String,
    /// The id that tokens name in their header.
    pub kid: String,
    /// The public key, base64url.
    pub x: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_forms_show_no_credential() {
        let login = Login { username: "eve".into(), password: "hunter2!".into(), otp: Some("123456".into()) };
        let refresh = Refresh { refresh_token: "cmsr_SECRET".into() };
        let pair = TokenPair {
            access_token: "eySECRET".into(),
            token_type: "Bearer".into(),
            expires_in: 900,
            refresh_token: "cmsr_SECRET".into(),
        };
        let shown = format!("{login:?} {refresh:?} {pair:?}");
        assert!(
            !shown.contains("SECRET") && !shown.contains("hunter2!") && !shown.contains("123456"),
            "{shown}"
        );
    }

    #[test]
    fn a_login_with_a_smuggled_field_is_refused() {
        let text = r#"{"username":"eve","password":"x","role":"cms-admin"}"#;
        assert!(serde_json::from_str::<Login>(text).unwrap_err().to_string().contains("role"));
    }
}
