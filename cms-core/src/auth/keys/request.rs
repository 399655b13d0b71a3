// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked of a new key, checked and parsed.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::super::{KeyScope, ScopeName};
use super::{MAX_ADDRESSES, MAX_SCOPES};
use crate::api::keys as wire;
use crate::clock::Timestamp;
use crate::error::{Error, Place, Result};
use crate::ids::{EnvironmentId, Name};

/// A key that may be made as it stands.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    /// What it is for.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scopes: Vec<KeyScope>,
    /// The environment that it is bound to.
    pub(crate) environment: Option<EnvironmentId>,
    /// When it stops working.
    pub(crate) expires_at: Option<Timestamp>,
    /// From where it works.
    pub(crate) allowed_ips: Vec<IpNet>,
    /// Who makes it.
    pub(crate) created_by: String,
}

impl NewKey {
    /// A key that may do one thing, everywhere in its project and without end.
    pub(crate) fn with_scope(name: &str, scope: ScopeName, created_by: &str) -> Self {
        Self {
            name: name.to_owned(),
            scopes: vec![KeyScope { name: scope, environment: None, prefix: None }],
            environment: None,
            expires_at: None,
            allowed_ips: Vec::new(),
            created_by: created_by.to_owned(),
        }
    }

    /// Checks what was asked for.
    ///
    /// # Errors
    /// `Unprocessable` with the place of everything that is wrong.
    pub(crate) fn parse(request: wire::CreateKey, created_by: String, now: Timestamp) -> Result<Self> {
        let mut faults = Faults::default();
        faults.check_name(&request.name);
        let scopes = faults.scopes(&request.scopes);
        let environment = request.environment.as_deref().and_then(|text| {
            faults.keep("/environment", EnvironmentId::parse(text).map_err(|error| error.to_string()))
        });
        if request.expires_at.is_some_and(|end| end <= now) {
            faults.add("/expires_at", "the key would already have expired".to_owned());
        }
        let allowed_ips = faults.addresses(&request.allowed_ips.unwrap_or_default());
        faults.into_result()?;
        Ok(Self {
            name: request.name,
            scopes,
            environment,
            expires_at: request.expires_at,
            allowed_ips,
            created_by,
        })
    }
}

/// Everything that is wrong with a request, so that the caller hears of it at once.
#[derive(Default)]
struct Faults(Vec<Place>);

impl Faults {
    fn add(&mut self, path: &str, message: String) {
        self.0.push(Place { path: Some(path.to_owned()), message, ..Place::default() });
    }

    fn keep<T>(&mut self, path: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(path, message)).ok()
    }

    fn check_name(&mut self, name: &str) {
        if name.trim().is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
            self.add("/name", "a key's name has 1 to 128 characters, none of them a control".to_owned());
        }
    }

    fn scopes(&mut self, scopes: &[wire::Scope]) -> Vec<KeyScope> {
        if scopes.is_empty() || scopes.len() > MAX_SCOPES {
            self.add("/scopes", format!("a key has 1 to {MAX_SCOPES} scopes, not {}", scopes.len()));
        }
        let parsed = scopes.iter().take(MAX_SCOPES).enumerate();
        parsed.filter_map(|(at, scope)| self.keep(&format!("/scopes/{at}"), parse_scope(scope))).collect()
    }

    fn addresses(&mut self, addresses: &[String]) -> Vec<IpNet> {
        if addresses.len() > MAX_ADDRESSES {
            self.add("/allowed_ips", format!("a key has at most {MAX_ADDRESSES} addresses and networks"));
        }
        let parsed = addresses.iter().take(MAX_ADDRESSES).enumerate();
        parsed
            .filter_map(|(at, text)| self.keep(&format!("/allowed_ips/{at}"), parse_network(text)))
            .collect()
    }

    fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = self.0.iter().map(|place| place.message.as_str()).collect();
        Err(Error::unprocessable("invalid_key", texts.join("; ")).with_places(self.0))
    }
}

fn parse_scope(scope: &wire::Scope) -> Result<KeyScope, String> {
    let (name, environment, prefix) = match scope {
        wire::Scope::Name(name) => (name, None, None),
        wire::Scope::Narrowed(narrowed) => {
            (&narrowed.scope, narrowed.environment.as_deref(), narrowed.prefix.as_deref())
        }
    };
    let name = ScopeName::parse(name).ok_or_else(|| {
        let known: Vec<_> = ScopeName::ALL.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
        let shown: String = name.chars().take(40).flat_map(char::escape_default).collect();
        format!("no scope is called `{shown}`; there are {}", known.join(", "))
    })?;
    let environment = environment.map(EnvironmentId::parse).transpose().map_err(|error| error.to_string())?;
    let prefix = prefix.map(|text| Name::parse(text.strip_suffix('/').unwrap_or(text))).transpose();
    let prefix = prefix.map_err(|error| error.to_string())?.map(|name| Arc::from(name.as_str()));
    Ok(KeyScope { name, environment, prefix })
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(|network| network.trunc()).ok_or_else(|| {
        let shown: String = text.chars().take(60).flat_map(char::escape_default).collect();
        format!("`{shown}` is neither an address nor a network such as `10.0.0.0/8`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> wire::CreateKey {
        wire::CreateKey {
            name: "gateway".into(),
            scopes: vec![wire::Scope::Name("decide".into())],
            ..wire::CreateKey::default()
        }
    }

    fn paths(request: wire::CreateKey) -> Vec<String> {
        let now = Timestamp::from_millis(1_000);
        match NewKey::parse(request, "user:eve".into(), now) {
            Ok(_) => Vec::new(),
            Err(error) => error.places().iter().filter_map(|place| place.path.clone()).collect(),
        }
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        assert!(paths(request()).is_empty());
        let wrong = wire::CreateKey {
            name: "\n".into(),
            scopes: vec![
                wire::Scope::Name("decide".into()),
                wire::Scope::Name("secret:*".into()),
                wire::Scope::Narrowed(wire::NarrowedScope {
                    scope: "secret:read".into(),
                    environment: None,
                    prefix: Some("../x".into()),
                }),
            ],
            environment: Some("Prod".into()),
            expires_at: Some(Timestamp::from_millis(1_000)),
            allowed_ips: Some(vec!["10.0.0.0/8".into(), "10.0.0.0/33".into(), "example.org".into()]),
        };
        let expected = [
            "/name",
            "/scopes/1",
            "/scopes/2",
            "/environment",
            "/expires_at",
            "/allowed_ips/1",
            "/allowed_ips/2",
        ];
        assert_eq!(paths(wrong), expected);
    }

    #[test]
    fn a_key_needs_a_scope_and_has_no_more_than_its_limit() {
        assert_eq!(paths(wire::CreateKey { scopes: vec![], ..request() }), ["/scopes"]);
        let many = vec![wire::Scope::Name("decide".into()); MAX_SCOPES + 1];
        assert_eq!(paths(wire::CreateKey { scopes: many, ..request() }), ["/scopes"]);
    }

    #[test]
    fn networks_are_kept_in_one_form() {
        assert_eq!(parse_network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse_network("::1").unwrap().to_string(), "::1/128");
    }

    #[test]
    fn a_prefix_may_end_in_a_slash() {
        let scope = wire::NarrowedScope {
            scope: "policy:read".into(),
            environment: Some("prod".into()),
            prefix: Some("rag/".into()),
        };
        let parsed = parse_scope(&wire::Scope::Narrowed(scope)).unwrap();
        assert_eq!(parsed.prefix.as_deref(), Some("rag"));
    }
}
