// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `io.jwt.decode_verify`: verifies a token and what it says of itself against constraints.

use regorus::Value;

use super::super::{Failure, Outcome, mismatch, nearest, text};
use super::keys::{self, Key};
use super::token::Token;
use super::verifying::{self, Algorithm};
use crate::clock::{Clock, SystemClock};

/// What a token must be.
struct Constraints {
    keys: Vec<Key>,
    algorithm: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    /// The time to verify at, in nanoseconds since 1970.
    time: f64,
}

/// Whether a token verifies and meets the constraints; with its header and its payload, if so.
pub(in super::super) fn decode_verify(arguments: &[Value]) -> Outcome {
    let constraints = Constraints::read(arguments)?;
    let mut text = text(arguments, 0)?.to_owned();
    loop {
        let token = Token::split(&text)?;
        let header = token.header()?;
        if !constraints.verify(&token, &header)? {
            return Ok(refused());
        }
        if Token::is_nested(&header) {
            text = token.inner()?;
            continue;
        }
        let claims = token.claims()?;
        let meets = constraints.meets(&claims)?;
        return Ok(if meets { Value::from(vec![Value::from(true), header, claims]) } else { refused() });
    }
}

fn refused() -> Value {
    Value::from(vec![Value::from(false), Value::new_object(), Value::new_object()])
}

impl Constraints {
    fn read(arguments: &[Value]) -> Result<Self, Failure> {
        let Some(Value::Object(given)) = arguments.get(1) else {
            return Err(mismatch(arguments, 1, "object"));
        };
        let (mut keys, mut time) = (Vec::new(), None);
        let (mut algorithm, mut issuer, mut audience) = (None, None, None);
        let mut key_constraints = 0;
        for (name, value) in given.iter() {
            let name = name.as_string().map(|name| name.to_string()).unwrap_or_default();
            let text = || match value {
                Value::String(text) => Ok(text.to_string()),
                _ => Err(Failure::Failed(format!("{name} constraint: must be a string"))),
            };
            match name.as_str() {
                "cert" => {
                    keys = keys::read(&text()?)?;
                    key_constraints += 1;
                }
                "secret" => {
                    keys = vec![Key::secret(&text()?)];
                    key_constraints += 1;
                }
                "alg" => algorithm = Some(text()?),
                "iss" => issuer = Some(text()?),
                "aud" => audience = Some(text()?),
                "time" => {
                    time = Some(nearest(value).ok_or("token time constraint: must be a number")?);
                }
                _ => return Err(format!("unknown token validation constraint: {name}").into()),
            }
        }
        match key_constraints {
            1 => Ok(Self { keys, algorithm, issuer, audience, time: time.unwrap_or_else(now) }),
            0 => Err("no key constraint".into()),
            _ => Err("duplicate key constraints".into()),
        }
    }

    /// Whether the signature is by one of the keys, of an algorithm that is allowed.
    fn verify(&self, token: &Token<'_>, header: &Value) -> Result<bool, Failure> {
        let Value::String(named) = &header["alg"] else { return Ok(false) };
        if self.algorithm.as_ref().is_some_and(|wanted| wanted.as_str() != named.as_ref()) {
            return Ok(false);
        }
        let signature = token.signature()?;
        let Some(algorithm) = Algorithm::named(named) else { return Ok(false) };
        let kid = header["kid"].as_string().ok().map(AsRef::as_ref);
        Ok(verifying::by_any(&self.keys, kid, named, |key| algorithm.verify(key, token.signed, &signature)))
    }

    /// Whether the claims are for this audience, from this issuer, and of this time.
    fn meets(&self, claims: &Value) -> Result<bool, Failure> {
        let is = |value: &Value, wanted: &Option<String>| {
            wanted.as_ref().is_some_and(|wanted| *value == Value::from(wanted.as_str()))
        };
        if self.issuer.is_some() && !is(&claims["iss"], &self.issuer) {
            return Ok(false);
        }
        let for_audience = match &claims["aud"] {
            Value::Undefined => self.audience.is_none(),
            Value::Array(all) => all.iter().any(|one| is(one, &self.audience)),
            one => is(one, &self.audience),
        };
        let (expires, begins) = (seconds(claims, "exp")?, seconds(claims, "nbf")?);
        let now = self.time / 1e9;
        Ok(for_audience && expires.is_none_or(|end| now < end) && begins.is_none_or(|start| now >= start))
    }
}

/// A claim that is a time.
fn seconds(claims: &Value, name: &str) -> Result<Option<f64>, Failure> {
    match &claims[name] {
        Value::Undefined => Ok(None),
        number @ Value::Number(_) => Ok(nearest(number)),
        _ => Err(format!("{name} value must be a number").into()),
    }
}

fn now() -> f64 {
    SystemClock.now().as_millis() as f64 * 1e6
}
