// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `io.jwt.*`: reads, verifies and signs JSON Web Tokens, with aws-lc-rs.
//!
//! What a token's own header says never chooses the key: a policy names the algorithm, or gives keys
//! of which each fits one kind of algorithm.

mod constraints;
mod keys;
mod signing;
mod token;
mod verifying;

use regorus::Value;

use self::keys::Key;
use self::token::Token;
use self::verifying::Algorithm;
use super::{Failure, Outcome, text};

pub(super) use self::constraints::decode_verify;
pub(super) use self::signing::{encode_sign, encode_sign_raw};

/// The header, the payload and the signature of a token; of the innermost one, if they nest.
pub(super) fn decode(arguments: &[Value]) -> Outcome {
    let mut text = text(arguments, 0)?.to_owned();
    loop {
        let token = Token::split(&text)?;
        let header = token.header()?;
        if Token::is_nested(&header) {
            text = token.inner()?.trim_matches('"').to_owned();
            continue;
        }
        let signature = data_encoding::HEXLOWER.encode(&token.signature()?);
        return Ok(Value::from(vec![header, token.claims()?, Value::from(signature)]));
    }
}

/// Whether a token has a signature of this algorithm by one of the keys.
fn verified(algorithm: &str, arguments: &[Value]) -> Outcome {
    let token = Token::split(text(arguments, 0)?)?;
    let key = text(arguments, 1)?;
    let algorithm = Algorithm::named(algorithm).ok_or_else(|| Failure::from("unknown algorithm"))?;
    let keys = if algorithm.is_symmetric() { vec![Key::secret(key)] } else { keys::read(key)? };
    let signature = token.signature()?;
    let Ok(header) = token.header() else { return Ok(Value::from(false)) };
    let Value::String(named) = &header["alg"] else { return Ok(Value::from(false)) };
    let valid = verifying::by_any(&keys, header["kid"].as_string().ok().map(AsRef::as_ref), named, |key| {
        algorithm.verify(key, token.signed, &signature)
    });
    Ok(Value::from(valid))
}

/// Defines the functions that verify one algorithm each.
macro_rules! verifying {
    ($($function:ident $algorithm:literal)*) => {
        $(pub(super) fn $function(arguments: &[Value]) -> Outcome {
            verified($algorithm, arguments)
        })*
    };
}

verifying! {
    verify_hs256 "HS256" verify_hs384 "HS384" verify_hs512 "HS512"
    verify_rs256 "RS256" verify_rs384 "RS384" verify_rs512 "RS512"
    verify_ps256 "PS256" verify_ps384 "PS384" verify_ps512 "PS512"
    verify_es256 "ES256" verify_es384 "ES384" verify_es512 "ES512"
    verify_eddsa "EdDSA"
}
